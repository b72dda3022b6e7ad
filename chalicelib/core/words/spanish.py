"""Spanish."""

from __future__ import annotations

from typing import Final

from chalicelib.core.words.lexicon import Field, Language, Phrases, language_of, read_words

_WORDS = read_words(
    """
cada todos_los todas_las todo toda = every
a_las a_la a_los = at
en = on
el la los las = noise
dentro_de = in
de del = of
desde desde_el = from
hasta hasta_el a al = to
y e = and
o u = or
que_también_es que_también_sea = also
una_vez una_sola_vez una_única_vez = once
próximo próxima siguiente = next
segundo segundos seg = unit:s
minuto minutos min = unit:m
hora horas = unit:h
milisegundo milisegundos ms = unit:ms
día días = unit:d
semana semanas = unit:w
mes meses = unit:month
año años = unit:y
día_de_la_semana días_de_la_semana = unit:weekday
diariamente a_diario = every unit:d
semanalmente = every unit:w
mensualmente = every unit:month
anualmente = every unit:y
media_hora = num:30 unit:m
día_laborable días_laborables día_hábil días_hábiles días_laborales entre_semana = workday
fin_de_semana fines_de_semana = weekend
último última = last
más_cercano_al más_cercano_a = near
vez veces = times
en_pasos_de = steps
a_partir_de a_partir_del = starting
según_la_regla = rule
después_de_que_termine_la_ejecución_anterior después_del_final_de_la_ejecución_anterior = afterrun
después_de_la_ejecución_anterior después_de_cada_ejecución = afterrun
hoy = today
mañana = tomorrow
mediodía al_mediodía = time:12:00
medianoche = time:00:00
de_la_mañana de_la_madrugada = am
de_la_tarde de_la_noche = pm
domingo = wd:0
lunes = wd:1
martes = wd:2
miércoles = wd:3
jueves = wd:4
viernes = wd:5
sábado = wd:6
los_domingos domingos = wds:0
los_lunes = wds:1
los_martes = wds:2
los_miércoles = wds:3
los_jueves = wds:4
los_viernes = wds:5
los_sábados sábados = wds:6
enero = mon:1
febrero = mon:2
marzo = mon:3
abril = mon:4
mayo = mon:5
junio = mon:6
julio = mon:7
agosto = mon:8
septiembre setiembre = mon:9
octubre = mon:10
noviembre = mon:11
diciembre = mon:12
primer primero primera = ord:1
segunda = ord:2
tercer tercero tercera = ord:3
cuarto cuarta = ord:4
quinto quinta = ord:5
un uno una = num:1
dos = num:2
tres = num:3
cuatro = num:4
cinco = num:5
seis = num:6
diez = num:10
quince = num:15
veinte = num:20
treinta = num:30
hora_de horario_de zona_horaria = zoneword
"""
)
_UNITS = {
    "ms": ("milisegundo", "milisegundos"),
    "s": ("segundo", "segundos"),
    "m": ("minuto", "minutos"),
    "h": ("hora", "horas"),
    "d": ("día", "días"),
    "w": ("semana", "semanas"),
    "month": ("mes", "meses"),
    "y": ("año", "años"),
}
_WEEK: Final = ("domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado")
_MONTHS: Final = (
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
)


def _amount(n: str, unit: str) -> str:
    return f"{n} {_UNITS[unit][0 if n == '1' else 1]}"


def _field(unit: str, case: str) -> Field:
    one, many = _UNITS[unit]
    woman = unit == "h"
    the, those = ("la", "las") if woman else ("el", "los")
    before = f"de {the}" if case == "of" and woman else "del" if case == "of" else f"en {the}"
    preposition = "de" if case == "of" else "en"
    return Field(
        one=f"{before} {one} {{n}}",
        many=f"{preposition} {those} {many} {{list}}",
        span=f"{preposition} {those} {many} {{a}} a {{b}}",
        step=f"{preposition} cada {{n}}.{'ª' if woman else 'º'} {one}",
        each=f"{preposition} cada {one}",
        since=" desde {a}",
        until=" hasta {b}",
    )


SPANISH: Final[Language] = language_of(
    "es",
    _WORDS,
    Phrases(
        every={unit: f"cada {names[0]}" for unit, names in _UNITS.items()},
        every_many="cada {}",
        amount=_amount,
        after_run="{} después de que termine la ejecución anterior",
        steps="en pasos de {}",
        times=lambda n: f"{n} {'vez' if n == 1 else 'veces'}",
        starting="a partir de {}",
        rule='según la regla "{}"',
        once="una vez el {date} a las {time}",
        once_at="una vez en {}",
        date="{d} de {month} de {y}",
        month_of_date=_MONTHS,
        yearly="cada {d} de {month}",
        conjunction="y",
        every_day="cada día",
        at_time="a las {}",
        fields={f"{case} {unit}": _field(unit, case) for case in ("at", "of") for unit in "smh"},
        day=Field(
            "el día {n}",
            "los días {list}",
            "los días {a} a {b}",
            "en cada {n}.º día",
            "en cada día",
            " desde {a}",
            " hasta {b}",
        ),
        last_day="el último día",
        last_workday="el último día laborable",
        near_workday="el día laborable más cercano al día {n}",
        of_month="del mes",
        month=Field(
            "en {n}", "en {list}", "de {a} a {b}", "en cada {n}.º mes", "en cada mes", " desde {a}", " hasta {b}"
        ),
        months=_MONTHS,
        months_from=_MONTHS,
        months_to=_MONTHS,
        workdays="cada día laborable",
        weekly=[f"cada {name}" for name in _WEEK],
        week_span="de {a} a {b}",
        week_from=_WEEK,
        week_to=_WEEK,
        week_step=Field(
            "", "", "", "en cada {n}.º día de la semana", "en cada día de la semana", " desde {a}", " hasta {b}"
        ),
        nth=[f"el {{n}}.º {name} del mes" for name in _WEEK],
        last=[f"el último {name} del mes" for name in _WEEK],
        either="o",
        both="que también es",
    ),
)
