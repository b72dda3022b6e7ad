"""Russian."""

from __future__ import annotations

from typing import Final

from chalicelib.core.words.lexicon import Field, Language, Phrases, language_of, read_words

_WORDS = read_words(
    """
каждый каждую каждое каждые каждого каждой каждым каждому раз_в_каждые = every
раз_в один_раз_в_каждые = every
в во на = at
через = in
с со начиная_с_дня от = from
по до = to
и а_также = and
или = or
который_также_и = also
один_раз однократно разово единожды = once
следующий следующую следующее ближайший ближайшую ближайшее = next
секунда секунду секунды секунд секундам сек = unit:s
минута минуту минуты минут минутам мин = unit:m
час часа часов часы часам ч = unit:h
миллисекунда миллисекунду миллисекунды миллисекунд мс = unit:ms
день дня дней дни дню сутки суток = unit:d
неделя неделю недели недель = unit:w
месяц месяца месяцев месяцы = unit:month
год года лет годы = unit:y
день_недели дня_недели дни_недели = unit:weekday
ежечасно = every unit:h
ежедневно = every unit:d
еженедельно = every unit:w
ежемесячно = every unit:month
ежегодно = every unit:y
полчаса = num:30 unit:m
числа число числам = daynumber
по_числам = daynumber
по_будням в_будни по_рабочим_дням каждый_будний_день = workday
рабочий_день рабочего_дня = workday
по_выходным в_выходные = weekend
последний последняя последнюю последнее последнего = last
ближайший_к_дню ближайший_к = near
раз раза = times
с_шагом_в с_шагом = steps
начиная_с = starting
по_правилу = rule
после_окончания_предыдущего_запуска после_завершения_предыдущего_запуска после_каждого_запуска = afterrun
после_предыдущего_запуска после_конца_предыдущего_запуска = afterrun
сегодня = today
завтра = tomorrow
полдень = time:12:00
полночь = time:00:00
утра утром ночи = am
вечера вечером дня_пополудни пополудни = pm
воскресенье = wd:0
понедельник = wd:1
вторник = wd:2
среда среду = wd:3
четверг = wd:4
пятница пятницу = wd:5
суббота субботу = wd:6
воскресенья = wd:0
понедельника = wd:1
вторника = wd:2
среды = wd:3
четверга = wd:4
пятницы = wd:5
субботы = wd:6
по_воскресеньям воскресеньям = wds:0
по_понедельникам понедельникам = wds:1
по_вторникам вторникам = wds:2
по_средам средам = wds:3
по_четвергам четвергам = wds:4
по_пятницам пятницам = wds:5
по_субботам субботам = wds:6
январь января январе = mon:1
февраль февраля феврале = mon:2
март марта марте = mon:3
апрель апреля апреле = mon:4
май мая мае = mon:5
июнь июня июне = mon:6
июль июля июле = mon:7
август августа августе = mon:8
сентябрь сентября сентябре = mon:9
октябрь октября октябре = mon:10
ноябрь ноября ноябре = mon:11
декабрь декабря декабре = mon:12
первый первую первое первого = ord:1
второй вторую второе второго = ord:2
третий третью третье третьего = ord:3
четвертый четвертую четвертое = ord:4
пятый пятую пятое = ord:5
один одну одна = num:1
два две = num:2
три = num:3
четыре = num:4
пять = num:5
шесть = num:6
десять = num:10
пятнадцать = num:15
двадцать = num:20
тридцать = num:30
по_времени по_зоне часовой_пояс времени время = zoneword
"""
)
# one, a few, many: as after "every" and "in"
_UNITS = {
    "ms": ("миллисекунду", "миллисекунды", "миллисекунд"),
    "s": ("секунду", "секунды", "секунд"),
    "m": ("минуту", "минуты", "минут"),
    "h": ("час", "часа", "часов"),
    "d": ("день", "дня", "дней"),
    "w": ("неделю", "недели", "недель"),
    "month": ("месяц", "месяца", "месяцев"),
    "y": ("год", "года", "лет"),
}
_WOMEN = frozenset({"ms", "s", "m", "w"})
_WEEK_TO = ("воскресенье", "понедельник", "вторник", "среду", "четверг", "пятницу", "субботу")
_WEEK_FROM = ("воскресенья", "понедельника", "вторника", "среды", "четверга", "пятницы", "субботы")
_WEEKLY = (
    "по воскресеньям",
    "по понедельникам",
    "по вторникам",
    "по средам",
    "по четвергам",
    "по пятницам",
    "по субботам",
)
_MONTHS_FROM = (
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
)
_MONTHS_IN = (
    "январе",
    "феврале",
    "марте",
    "апреле",
    "мае",
    "июне",
    "июле",
    "августе",
    "сентябре",
    "октябре",
    "ноябре",
    "декабре",
)
_MONTHS_TO = (
    "январь",
    "февраль",
    "март",
    "апрель",
    "май",
    "июнь",
    "июль",
    "август",
    "сентябрь",
    "октябрь",
    "ноябрь",
    "декабрь",
)


def _plural(n: int, forms: tuple[str, str, str]) -> str:
    if n % 10 == 1 and n % 100 != 11:
        return forms[0]
    return forms[1] if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else forms[2]


def _amount(n: str, unit: str) -> str:
    forms = _UNITS[unit]
    return f"{n} {_plural(int(n), forms) if n.isdigit() else forms[1]}"


def _at(unit: str) -> Field:
    one, _, _ = _UNITS[unit]
    many, each, ending = {
        "s": ("секунды", "каждую", "-ю"),
        "m": ("минуты", "каждую", "-ю"),
        "h": ("часы", "каждый", "-й"),
    }[unit]
    return Field(
        one=f"в {one} {{n}}",
        many=f"в {many} {{list}}",
        span=f"в {many} с {{a}} по {{b}}",
        step=f"в {each} {{n}}{ending} {one}",
        each=f"в {each} {one}",
        since=" с {a}",
        until=" по {b}",
    )


def _of(unit: str) -> Field:
    _, one, many = _UNITS[unit]
    each, ending = ("каждой", "-й") if unit in _WOMEN else ("каждого", "-го")
    return Field(
        one=f"{one} {{n}}",
        many=f"{many} {{list}}",
        span=f"{many} с {{a}} по {{b}}",
        step=f"{each} {{n}}{ending} {one}",
        each=f"{each} {one}",
        since=" с {a}",
        until=" по {b}",
    )


def _nth(weekday: int) -> str:
    if weekday == 0:
        return f"в {{n}}-е {_WEEK_TO[weekday]} месяца"
    return f"в {{n}}-{'ю' if weekday in (3, 5, 6) else 'й'} {_WEEK_TO[weekday]} месяца"


def _last(weekday: int) -> str:
    word = "последнее" if weekday == 0 else "последнюю" if weekday in (3, 5, 6) else "последний"
    return f"в {word} {_WEEK_TO[weekday]} месяца"


RUSSIAN: Final[Language] = language_of(
    "ru",
    _WORDS,
    Phrases(
        every={unit: f"{'каждую' if unit in _WOMEN else 'каждый'} {forms[0]}" for unit, forms in _UNITS.items()},
        every_many="каждые {}",
        amount=_amount,
        after_run="через {} после окончания предыдущего запуска",
        steps="с шагом в {}",
        times=lambda n: f"{n} {_plural(n, ('раз', 'раза', 'раз'))}",
        starting="начиная с {}",
        rule='по правилу "{}"',
        once="один раз {date} в {time}",
        once_at="один раз в {}",
        date="{d} {month} {y}",
        month_of_date=_MONTHS_FROM,
        yearly="каждое {d} {month}",
        conjunction="и",
        every_day="каждый день",
        at_time="в {}",
        fields={f"at {unit}": _at(unit) for unit in "smh"} | {f"of {unit}": _of(unit) for unit in "smh"},
        day=Field(
            "в день {n}",
            "в дни {list}",
            "в дни с {a} по {b}",
            "в каждый {n}-й день",
            "в каждый день",
            " с {a}",
            " по {b}",
        ),
        last_day="в последний день",
        last_workday="в последний рабочий день",
        near_workday="в рабочий день, ближайший к дню {n}",
        of_month="месяца",
        month=Field("в {n}", "в {list}", "с {a} по {b}", "в каждый {n}-й месяц", "в каждый месяц", " с {a}", " по {b}"),
        months=_MONTHS_IN,
        months_from=_MONTHS_FROM,
        months_to=_MONTHS_TO,
        workdays="по будням",
        weekly=_WEEKLY,
        week_span="с {a} по {b}",
        week_from=_WEEK_FROM,
        week_to=_WEEK_TO,
        week_step=Field("", "", "", "в каждый {n}-й день недели", "в каждый день недели", " с {a}", " по {b}"),
        nth=[_nth(weekday) for weekday in range(7)],
        last=[_last(weekday) for weekday in range(7)],
        either="или",
        both="который также и",
    ),
)
