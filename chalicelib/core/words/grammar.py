"""The grammar of schedules, over marks: the same for all languages.

A sentence is a list of clauses in any order: a period, times of day, days, months, a date. Each is read at most once.
What no clause takes is refused with its place, so nothing that was said is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Final

from chalicelib.core.words import marks_of
from chalicelib.core.words.cron_text import STAR, Term, Terms, least, most
from chalicelib.core.words.marks_of import MarkReader
from chalicelib.core.words.reading import EveryPeriod, Found

_CLOCK_UNITS: Final = ("s", "m", "h")
_LEADS: Final = ("at", "on", "in", "of", "from", "every")
_SEPARATORS: Final = ("comma", "and")


def read_clauses(cursor: MarkReader, today: date) -> Found:
    """All clauses of a sentence. Raises NotUnderstood."""
    found = Found(fields={})
    dates = partial(_dates, today=today)
    while not cursor.done:
        if found.times or found.fields or found.day or found.week or found.month or found.period or found.every_day:
            cursor.skip("comma")
        before = cursor.at
        for clause in (_once, _joiner, _period, _clock_fields, _times, dates, _days, _weekdays, _months):
            clause(cursor, found)
            if cursor.at != before:
                break
        else:
            raise cursor.wrong("does not fit here")
    return found


def _once(cursor: MarkReader, found: Found) -> None:
    if cursor.kind == "once":
        cursor.take()
        found.once = True


def _joiner(cursor: MarkReader, found: Found) -> None:
    if cursor.kind in ("or", "also") and (found.day or found.week):
        found.joiner, found.joiner_mark = cursor.kind, cursor.mark
        cursor.take()


def _period(cursor: MarkReader, found: Found) -> None:
    """``every day``, ``every 2 weeks``; an ordinal before a unit belongs to a field where ``of`` follows."""
    at = cursor.at
    if cursor.kind != "every":
        return
    cursor.take()
    n, start = 1, cursor.mark
    if cursor.kind in ("num", "ord") and cursor.peek(1).kind == "unit":
        n = cursor.whole()
    unit = cursor.mark
    ends_field = cursor.peek(1).kind in ("of", "from") and unit.value in ("s", "m", "h", "d", "weekday")
    if unit.kind != "unit" or unit.value == "weekday" or (ends_field and not _is_of_number(cursor)):
        cursor.at = at
        return
    if n < 1:
        raise cursor.wrong("must be at least 1", start)
    if found.period is not None or found.every_day:
        raise cursor.wrong("is a second period")
    cursor.take()
    if unit.value == "d" and n == 1:
        found.every_day = True
        if cursor.done and not (found.times or found.fields or found.month or found.day or found.week):
            found.period = EveryPeriod(1, "d", unit)
        return
    found.period = EveryPeriod(n, unit.value, unit)


def _is_of_number(cursor: MarkReader) -> bool:
    """Whether ``of`` begins what is no field, as in ``every 2 hours from Monday``."""
    after = cursor.peek(2)
    return cursor.peek(1).kind in ("of", "from") and after.kind in ("wd", "wds", "mon", "workday", "weekend")


def _clock_fields(cursor: MarkReader, found: Found) -> None:
    """``at second 5 of every minute of hours 9 to 17``."""
    at = cursor.at
    if cursor.kind in ("at", "on", "in"):
        cursor.take()
    unit = _unit_of_element(cursor, _CLOCK_UNITS)
    if unit is None:
        cursor.at = at
        return
    start = cursor.mark
    read: dict[str, Terms] = {}
    while unit is not None:
        read[unit] = _terms(cursor, unit)
        back = cursor.at
        cursor.skip("of", "in", "on", "at", "comma")
        following = _unit_of_element(cursor, _CLOCK_UNITS)
        if following is None or _CLOCK_UNITS.index(following) <= _CLOCK_UNITS.index(unit):
            cursor.at = back
            following = None
        unit = following
    if found.fields or found.times:
        raise cursor.wrong("is a second time of day", start)
    found.fields, found.times_mark = read, start


def _unit_of_element(cursor: MarkReader, units: Sequence[str]) -> str | None:
    """The unit of the element that begins here: ``minute 5``, ``every minute``, ``every 5th minute``."""
    i = 1 if cursor.kind == "every" else 0
    if i and cursor.peek(1).kind in ("ord", "num"):
        i = 2
    mark = cursor.peek(i)
    if mark.kind != "unit" or mark.value not in units:
        return None
    return mark.value if i or cursor.peek(1).kind in ("num", "from") else None


def _terms(cursor: MarkReader, unit: str, base: str | None = None) -> Terms:
    """A list of elements of one field."""
    name = base or unit
    terms = list(_element(cursor, unit, name))
    while cursor.kind in _SEPARATORS:
        back = cursor.at
        cursor.skip(*_SEPARATORS)
        at = cursor.at
        cursor.skip("at", "on", "in", "of")
        same = _unit_of_element(cursor, (unit,)) is not None
        if not same:
            cursor.at = at
        if not same and not _is_bare(cursor):
            cursor.at = back
            break
        terms += _element(cursor, unit, name)
    return tuple(terms)


def _is_bare(cursor: MarkReader) -> bool:
    """Whether a number goes on with the list, as in ``minutes 0, 15 and 30``; the next field may follow it."""
    following = cursor.peek(1)
    if cursor.kind != "num" or following.kind in ("mon", "daynumber", "am", "pm"):
        return False
    return following.kind != "unit" or cursor.peek(2).kind in ("num", "from")


def _element(cursor: MarkReader, unit: str, name: str) -> Terms:
    if cursor.kind == "every":
        cursor.take()
        if cursor.kind == "unit":
            cursor.take()
            return STAR
        step_mark = cursor.mark
        step = cursor.whole()
        if step < 1:
            raise cursor.wrong("must be at least 1", step_mark)
        cursor.take()  # the unit
        a, b = _since(cursor, name, lambda: _value(cursor, name))
        return (Term("star"),) if step == 1 and a < 0 else (Term("step", a, b, step),)
    if cursor.kind == "unit":
        cursor.take()
        cursor.skip("from")
    a = _value(cursor, name)
    if cursor.kind == "to" and cursor.peek(1).kind == "num":
        cursor.take()
        end = cursor.mark
        b = _value(cursor, name)
        if b <= a:
            raise cursor.wrong("comes before the beginning", end)
        return (Term("span", a, b),)
    return (Term("one", a),)


def _since(cursor: MarkReader, name: str, value: Callable[[], int]) -> tuple[int, int]:
    """Where a step begins and ends; -1 for what is not said."""
    wanted = {"month": "mon", "week": "wd"}.get(name, "num")
    is_day = name == "day" and cursor.is_unit(1, "d")
    if cursor.kind != "from" or not (cursor.peek(1).kind == wanted or is_day):
        return -1, -1
    cursor.take()
    if name == "day":
        cursor.skip_unit("d")
    a = value()
    if cursor.kind != "to" or not (cursor.peek(1).kind == wanted or (name == "day" and cursor.is_unit(1, "d"))):
        return a, -1
    cursor.take()
    if name == "day":
        cursor.skip_unit("d")
    end = cursor.mark
    b = value()
    if name == "week" and b == 0:
        b = 7
    if b <= a:
        raise cursor.wrong("comes before the beginning", end)
    return a, b


def _value(cursor: MarkReader, name: str) -> int:
    mark = cursor.mark
    number = cursor.whole()
    if not least(name) <= number <= most(name):
        raise cursor.wrong(f"must be from {least(name)} to {most(name)}", mark)
    return number


def _times(cursor: MarkReader, found: Found) -> None:
    """``at 09:00 and 17:00``, ``at 9``, ``at 9 pm``."""
    at = cursor.at
    cursor.skip("at")
    led = cursor.at != at
    first = cursor.mark
    time = marks_of.time_here(cursor, led)
    if time is None:
        cursor.at = at
        return
    times = [time]
    while cursor.kind in _SEPARATORS:
        back = cursor.at
        cursor.skip(*_SEPARATORS)
        cursor.skip("at")
        more = marks_of.time_here(cursor, True)
        if more is None:
            cursor.at = back
            break
        times.append(more)
    if found.times or found.fields:
        raise cursor.wrong("is a second time of day", first)
    found.times, found.times_mark = tuple(times), first


def _dates(cursor: MarkReader, found: Found, today: date) -> None:
    """A date: ``25 December 2026``, ``01/02``, ``today``. ``every 25 December`` is one of each year."""
    at = cursor.at
    is_every = cursor.kind == "every"
    cursor.skip("on", "every", "in", "at", "of")
    first = cursor.mark
    dates, with_year = marks_of.dates_here(cursor, today)
    if not dates:
        cursor.at = at
        return
    if found.dates or found.day or found.month:
        raise cursor.wrong("is a second date", first)
    is_yearly = is_every or (found.period is not None and found.period.unit == "y" and found.period.n == 1)
    if is_yearly and with_year:
        raise cursor.wrong("names a year, so it does not come every year", first)
    if is_yearly and len(dates) == 1:
        found.day, found.month = (Term("one", dates[0].day),), (Term("one", dates[0].month),)
        found.period, found.date_mark = EveryPeriod(1, "y", first), first
        return
    found.dates, found.date_mark = dates, first
    if is_yearly:
        found.period = EveryPeriod(1, "y", first)


def _days(cursor: MarkReader, found: Found) -> None:
    """Days of the month."""
    start = cursor.mark
    terms = marks_of.day_list(cursor, _day_element)
    if not terms:
        return
    if found.day is not None or found.dates:
        raise cursor.wrong("is a second list of days", start)
    found.day = terms
    at = cursor.at
    if cursor.kind == "of":
        cursor.take()
        is_every = cursor.kind == "every"
        cursor.skip("every")
        if cursor.mark.kind == "unit" and cursor.mark.value == "month":
            cursor.take()
            return
        cursor.at = at
        if is_every or cursor.peek(1).kind != "mon":
            return
    elif cursor.mark.kind == "unit" and cursor.mark.value == "month":
        cursor.take()  # as Russian says it, without a word for "of"


def _day_element(cursor: MarkReader) -> Terms:
    """One element of such a list; empty where none begins here."""
    at = cursor.at
    cursor.skip("on", "at", "in", "of")
    every = cursor.kind == "every"
    if every and cursor.peek(1).kind in ("ord", "num") and cursor.is_unit(2, "d"):
        return _element(cursor, "d", "day")
    if every and cursor.peek(1).kind == "unit" and cursor.peek(1).value == "d" and cursor.peek(2).kind == "of":
        cursor.take()
        cursor.take()
        return STAR
    cursor.skip("every")
    mark, following = cursor.mark, cursor.peek(1)
    if mark.kind == "last" and following.kind == "workday":
        cursor.take()
        cursor.take()
        return (Term("workday"),)
    if mark.kind == "last" and following.kind == "unit" and following.value == "d":
        cursor.take()
        cursor.take()
        return (Term("last"),)
    if mark.kind == "workday" and (following.kind == "near" or cursor.peek(2).kind == "near"):
        cursor.take()
        cursor.skip("comma")
        cursor.take()
        cursor.skip("to")
        cursor.skip_unit("d")
        return (Term("near", _value(cursor, "day")),)
    if mark.kind == "unit" and mark.value == "d" and following.kind in ("num", "from", "ord"):
        return _element(cursor, "d", "day")
    if mark.kind == "ord" and following.kind not in ("unit", "wd", "wds", "mon", "num") and not _is_of_name(cursor):
        return (Term("one", _value(cursor, "day")),)
    if mark.kind == "num" and following.kind == "daynumber":
        value = _value(cursor, "day")
        cursor.take()
        return (Term("one", value),)
    cursor.at = at
    return ()


def _is_of_name(cursor: MarkReader) -> bool:
    return cursor.peek(1).kind == "of" and cursor.peek(2).kind == "mon"


def _weekdays(cursor: MarkReader, found: Found) -> None:
    """Days of the week."""
    at = cursor.at
    element = marks_of.week_element(cursor, found, _since)
    if not element:
        cursor.at = at
        return
    terms = [*element]
    while cursor.kind in _SEPARATORS:
        back = cursor.at
        cursor.skip(*_SEPARATORS)
        more = marks_of.week_element(cursor, found, _since)
        if not more:
            cursor.at = back
            break
        terms += more
        found.is_weekly = True
    start = next(mark for mark in cursor.between(at) if mark.kind not in _LEADS)
    if found.week is not None:
        raise cursor.wrong("is a second list of weekdays", start)
    if all(term.kind == "one" for term in terms):
        terms = [Term("one", a) for a in sorted({term.a for term in terms})]
    found.week, found.week_mark = tuple(terms), start
    if len(terms) > 1 or terms[0].kind != "one":
        found.is_weekly = True


def _months(cursor: MarkReader, found: Found) -> None:
    """``in January and March``, ``from March to October``, ``in every 2nd month``."""
    at, start = cursor.at, cursor.mark
    terms = list(_month_element(cursor))
    if not terms:
        cursor.at = at
        return
    while cursor.kind in _SEPARATORS:
        back = cursor.at
        cursor.skip(*_SEPARATORS)
        more = _month_element(cursor)
        if not more:
            cursor.at = back
            break
        terms += more
    if found.month is not None:
        raise cursor.wrong("is a second list of months", start)
    if all(term.kind == "one" for term in terms):
        terms = [Term("one", a) for a in sorted({term.a for term in terms})]
    found.month = tuple(terms)


def _month_element(cursor: MarkReader) -> Terms:
    cursor.skip(*[lead for lead in _LEADS if lead != "every"])
    if cursor.kind == "every" and cursor.peek(1).kind in ("ord", "num"):
        if cursor.peek(2).kind != "unit" or cursor.peek(2).value != "month":
            return ()
        cursor.take()
        step = cursor.whole()
        cursor.take()
        a, b = _since(cursor, "month", lambda: marks_of.named(cursor, "mon"))
        return (Term("star"),) if step == 1 and a < 0 else (Term("step", a, b, step),)
    if cursor.kind == "every" and cursor.peek(1).kind == "unit" and cursor.peek(1).value == "month":
        cursor.take()
        cursor.take()
        return STAR
    cursor.skip("every")
    if cursor.kind != "mon":
        return ()
    a = marks_of.named(cursor, "mon")
    if cursor.kind == "to" and cursor.peek(1).kind == "mon":
        cursor.take()
        end = cursor.mark
        b = marks_of.named(cursor, "mon")
        if b <= a:
            raise cursor.wrong("comes before the beginning", end)
        return (Term("span", a, b),)
    return (Term("one", a),)
