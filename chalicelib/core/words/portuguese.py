"""Portuguese."""

from __future__ import annotations

from typing import Final

from chalicelib.core.words.lexicon import Field, Language, Phrases, language_of, read_words

_WORDS = read_words(
    """
cada todo toda todos_os todas_as a_cada = every
às = at
em no na nos nas = on
o os = noise
dentro_de daqui_a = in
de do da dos das = of
desde = from
até a ao à = to
e = and
ou = or
que_também_é que_também_seja = also
uma_vez uma_única_vez uma_só_vez = once
próximo próxima = next
segundo segundos seg = unit:s
minuto minutos min = unit:m
hora horas = unit:h
milissegundo milissegundos ms = unit:ms
dia dias = unit:d
semana semanas = unit:w
mês meses = unit:month
ano anos = unit:y
dia_da_semana dias_da_semana = unit:weekday
diariamente = every unit:d
semanalmente = every unit:w
mensalmente = every unit:month
anualmente = every unit:y
meia_hora = num:30 unit:m
dia_útil dias_úteis = workday
fim_de_semana fins_de_semana = weekend
último última = last
mais_próximo_do mais_próximo_de = near
vez vezes = times
em_passos_de = steps
a_partir_de a_partir_do = starting
pela_regra = rule
depois_do_fim_da_execução_anterior após_o_fim_da_execução_anterior = afterrun
depois_da_execução_anterior após_cada_execução depois_de_cada_execução = afterrun
hoje = today
amanhã = tomorrow
ao_meio-dia meio-dia = time:12:00
à_meia-noite meia-noite = time:00:00
da_manhã da_madrugada = am
da_tarde da_noite = pm
domingo = wd:0
segunda-feira segunda = wd:1
terça-feira terça = wd:2
quarta-feira quarta = wd:3
quinta-feira quinta = wd:4
sexta-feira sexta = wd:5
sábado = wd:6
aos_domingos domingos = wds:0
às_segundas-feiras às_segundas segundas-feiras segundas nas_segundas = wds:1
às_terças-feiras às_terças terças-feiras terças nas_terças = wds:2
às_quartas-feiras às_quartas quartas-feiras quartas nas_quartas = wds:3
às_quintas-feiras às_quintas quintas-feiras quintas nas_quintas = wds:4
às_sextas-feiras às_sextas sextas-feiras sextas nas_sextas = wds:5
aos_sábados sábados = wds:6
janeiro = mon:1
fevereiro = mon:2
março = mon:3
abril = mon:4
maio = mon:5
junho = mon:6
julho = mon:7
agosto = mon:8
setembro = mon:9
outubro = mon:10
novembro = mon:11
dezembro = mon:12
primeiro primeira = ord:1
terceiro terceira = ord:3
um uma = num:1
dois duas = num:2
três = num:3
quatro = num:4
cinco = num:5
seis = num:6
dez = num:10
quinze = num:15
vinte = num:20
trinta = num:30
hora_de horário_de fuso_horário = zoneword
"""
)
_UNITS = {
    "ms": ("milissegundo", "milissegundos"),
    "s": ("segundo", "segundos"),
    "m": ("minuto", "minutos"),
    "h": ("hora", "horas"),
    "d": ("dia", "dias"),
    "w": ("semana", "semanas"),
    "month": ("mês", "meses"),
    "y": ("ano", "anos"),
}
_WEEK: Final = (
    "domingo",
    "segunda-feira",
    "terça-feira",
    "quarta-feira",
    "quinta-feira",
    "sexta-feira",
    "sábado",
)
_MONTHS: Final = (
    "janeiro",
    "fevereiro",
    "março",
    "abril",
    "maio",
    "junho",
    "julho",
    "agosto",
    "setembro",
    "outubro",
    "novembro",
    "dezembro",
)


def _amount(n: str, unit: str) -> str:
    return f"{n} {_UNITS[unit][0 if n == '1' else 1]}"


def _field(unit: str, case: str) -> Field:
    one, many = _UNITS[unit]
    the = "a" if unit == "h" else "o"
    before = f"d{the}" if case == "of" else f"n{the}"
    preposition = "de" if case == "of" else "em"
    return Field(
        one=f"{before} {one} {{n}}",
        many=f"{before}s {many} {{list}}",
        span=f"{before}s {many} {{a}} a {{b}}",
        step=f"{preposition} cada {{n}}{'ª' if the == 'a' else 'º'} {one}",
        each=f"{preposition} cada {one}",
        since=" desde {a}",
        until=" até {b}",
    )


def _is_man(weekday: int) -> bool:
    return weekday in (0, 6)


PORTUGUESE: Final[Language] = language_of(
    "pt",
    _WORDS,
    Phrases(
        every={unit: f"a cada {names[0]}" for unit, names in _UNITS.items()},
        every_many="a cada {}",
        amount=_amount,
        after_run="{} depois do fim da execução anterior",
        steps="em passos de {}",
        times=lambda n: f"{n} {'vez' if n == 1 else 'vezes'}",
        starting="a partir de {}",
        rule='pela regra "{}"',
        once="uma vez em {date} às {time}",
        once_at="uma vez em {}",
        date="{d} de {month} de {y}",
        month_of_date=_MONTHS,
        yearly="todo {d} de {month}",
        conjunction="e",
        every_day="todo dia",
        at_time="às {}",
        fields={f"{case} {unit}": _field(unit, case) for case in ("at", "of") for unit in "smh"},
        day=Field(
            "no dia {n}",
            "nos dias {list}",
            "nos dias {a} a {b}",
            "em cada {n}º dia",
            "em cada dia",
            " desde {a}",
            " até {b}",
        ),
        last_day="no último dia",
        last_workday="no último dia útil",
        near_workday="no dia útil mais próximo do dia {n}",
        of_month="do mês",
        month=Field("em {n}", "em {list}", "de {a} a {b}", "em cada {n}º mês", "em cada mês", " desde {a}", " até {b}"),
        months=_MONTHS,
        months_from=_MONTHS,
        months_to=_MONTHS,
        workdays="todo dia útil",
        weekly=[f"{'todo' if _is_man(i) else 'toda'} {name}" for i, name in enumerate(_WEEK)],
        week_span="de {a} a {b}",
        week_from=_WEEK,
        week_to=_WEEK,
        week_step=Field("", "", "", "em cada {n}º dia da semana", "em cada dia da semana", " desde {a}", " até {b}"),
        nth=[f"no {{n}}º {name} do mês" if _is_man(i) else f"na {{n}}ª {name} do mês" for i, name in enumerate(_WEEK)],
        last=[f"no último {name} do mês" if _is_man(i) else f"na última {name} do mês" for i, name in enumerate(_WEEK)],
        either="ou",
        both="que também é",
    ),
)
