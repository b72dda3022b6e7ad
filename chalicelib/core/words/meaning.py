"""The clauses of a sentence put together: the schedules that they may mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from chalicelib.core.instants import to_rfc3339
from chalicelib.core.words import describe
from chalicelib.core.words.cron_text import STAR, Term, Terms, write_terms
from chalicelib.core.words.reading import EPOCH, Doubt, Found, Meaning, ReadingTime, TimeOfDay, refuse

Read = tuple[list[Meaning], list[Doubt]]
_DIVIDED: Final = {"s": 60, "m": 60, "h": 24}
_MIDNIGHT: Final = TimeOfDay(0, 0)
_MORNING: Final = TimeOfDay(9, 0)


def meanings(found: Found, moment: ReadingTime, whole: int) -> Read:
    """What the clauses mean. Raises NotUnderstood where they do not go together."""
    if found.joiner and (found.day is None or found.week is None):
        raise refuse("joins days of the month and days of the week", found.joiner_mark, whole)
    if found.day is not None and found.week is not None and not found.joiner:
        raise refuse("beside days of the month: join them by 'or' or 'that is also'", found.week_mark, whole)
    if found.dates or found.is_next:
        return _once(found, moment, whole)
    if found.period is not None:
        return _periodic(found, moment, whole)
    if found.once and not (found.week and not found.is_weekly):
        raise refuse("says 'once' without a date", None, whole)
    if found.biweekly is not None:
        return _numbered_weekday(found, moment, whole)
    if found.week is not None and not found.is_weekly:
        return _weekday(found, moment, whole)
    if len(found.times) == 1 and not (found.every_day or found.day or found.week or found.month):
        return _time_alone(found, moment, whole)
    return _cron(found, moment, whole)


def _zone(moment: ReadingTime) -> str:
    return moment.zone.name


# -- one expression of cron


def _cron(found: Found, moment: ReadingTime, whole: int) -> Read:
    if not found.times and not found.fields:
        if found.every_day and found.month is None and found.day is None and found.week is None:
            return [Meaning("RATE", "rate:1d", _zone(moment))], []
        return _without_time(found, moment, whole)
    both_days(found, whole)
    days = (("day", found.day), ("month", found.month), ("week", found.week))
    fields = dict(_clock(found, whole)) | {name: terms for name, terms in days if terms is not None}
    return [Meaning("CRON", write_terms(fields), _zone(moment))], []


def _time_alone(found: Found, moment: ReadingTime, whole: int) -> Read:
    """``at 9:00``: every day, or the next time that it is nine?"""
    daily, doubts = _cron(found, moment, whole)
    once, more = _at(moment.first_after(moment.today, found.times[0], 1), found, moment, whole)
    return [*daily, *once], [*doubts, Doubt("may be every day, or once", 0, whole), *more]


def _without_time(found: Found, moment: ReadingTime, whole: int) -> Read:
    """Days without a time of day."""
    read: list[Meaning] = []
    for _ in _offered(found):
        read += _cron(found, moment, whole)[0]
    return read, _of_no_time(found, whole)


def _offered(found: Found) -> Iterator[None]:
    """One pass with the times that were said. Where nothing says when, one with midnight and one with nine."""
    if found.times:
        yield
        return
    for time in (_MIDNIGHT, _MORNING):
        found.times = (time,)
        yield
    found.times = ()


def _of_no_time(found: Found, whole: int) -> list[Doubt]:
    return [] if found.times else [Doubt("does not say at what time of day", 0, whole)]


def both_days(found: Found, whole: int) -> None:
    """Cron joins two restricted day fields by 'or', unless one of them begins with a star."""
    if found.day is None or found.week is None:
        return
    starred = any(
        terms[0].kind == "star" or (terms[0].kind == "step" and terms[0].a < 0) for terms in (found.day, found.week)
    )
    if starred != (found.joiner == "also"):
        raise refuse("joins these days in a way that no expression of cron can say", found.joiner_mark, whole)


def _clock(found: Found, whole: int) -> list[tuple[str, Terms]]:
    """Seconds, minutes and hours."""
    if found.fields:
        fields = found.fields
        if "m" not in fields:
            if "s" in fields:
                raise refuse(
                    "names seconds and not their minutes: add 'of every minute of every hour'", found.times_mark, whole
                )
            raise refuse("names hours and not their minutes: add 'at minute 0 of'", found.times_mark, whole)
        return [(name, fields.get(name, STAR)) for name in ("s", "m", "h") if name != "s" or "s" in fields]
    hours = sorted({time.hour for time in found.times})
    minutes = sorted({time.minute for time in found.times})
    seconds = {time.second for time in found.times}
    if any(time.ms for time in found.times):
        raise refuse("has milliseconds, which no repeated time of day can have", found.times_mark, whole)
    if len(seconds) > 1 or len(hours) * len(minutes) != len({(t.hour, t.minute) for t in found.times}):
        why = "lists times of day that do not fit into one expression: make a schedule for each"
        raise refuse(why, found.times_mark, whole)
    clock = [("m", _ones(minutes)), ("h", _ones(hours))]
    second = seconds.pop()
    return clock if second is None else [("s", _ones([second])), *clock]


def _ones(values: list[int]) -> Terms:
    return tuple(Term("one", value) for value in values)


# -- weekdays


def _weekday(found: Found, moment: ReadingTime, whole: int) -> Read:
    """``on Monday at 9:00``: once, or every week?"""
    assert found.week is not None
    if found.once:
        return _next_such(found, moment, whole)
    weekly, doubts = _cron(found, moment, whole)
    if found.day is not None or found.month is not None or found.fields or len(found.times) > 1:
        return weekly, doubts  # what goes with months or several times comes again
    once, more = _next_such(found, moment, whole)
    mark = found.week_mark
    assert mark is not None
    doubt = Doubt("may be every week, or once", mark.start, mark.end)
    return [*weekly, *once], [doubt, *doubts, *(each for each in more if each not in doubts)]


def _next_such(found: Found, moment: ReadingTime, whole: int) -> Read:
    """The next day of this name, once."""
    assert found.week is not None
    said = bool(found.times)
    read, doubts = [], _of_no_time(found, whole)
    for _ in _offered(found):
        day = _next_weekday(moment, found.week[0].a, found)
        if said or moment.instants(day, found.times[0]):
            more, why = _at(day, found, moment, whole)
            read += more
            doubts += why
    return read, doubts


def _next_weekday(moment: ReadingTime, day: int, found: Found) -> date:
    today = moment.today
    first = today + timedelta(days=(day - today.isoweekday() % 7) % 7)
    if found.is_next and first == today:
        first += timedelta(days=7)  # on a Friday, the next Friday is not today
    return moment.first_after(first, found.times[0], 7)


def _numbered_weekday(found: Found, moment: ReadingTime, whole: int) -> Read:
    """``every 2nd Monday``: of each month, or every two weeks?"""
    assert found.biweekly is not None
    n, day, mark = found.biweekly
    monthly, doubts = _cron(found, moment, whole)
    if found.week is None or len(found.week) > 1 or found.day is not None or found.month is not None:
        return monthly, doubts
    weekly = [_anchored(_next_weekday(moment, day, found), found, moment, f"P{7 * n}D", whole) for _ in _offered(found)]
    return [*monthly, *weekly], [*doubts, Doubt("may count weeks of a month, or weeks", mark.start, mark.end)]


# -- periods


def _periodic(found: Found, moment: ReadingTime, whole: int) -> Read:
    period = found.period
    assert period is not None
    unit, n = period.unit, period.n
    if found.once:
        raise refuse("comes again, and once does not", period.mark, whole)
    alone = not (found.times or found.fields or found.day or found.week or found.month or found.dates)
    if alone:
        return [_alone(unit, n, moment)], []
    if unit in ("s", "m", "h") and not (found.times or found.fields):
        return _divided(found, moment, whole)
    if unit in ("ms", "s", "m", "h"):
        raise refuse("does not go with a time of day", period.mark, whole)
    if unit == "d":
        return [_anchored(_first_day(found, moment), found, moment, f"P{n}D", whole)], []
    if unit == "w":
        return _weeks(found, moment, whole)
    return _months(found, moment, whole) if unit == "month" else _years(found, moment, whole)


def _alone(unit: str, n: int, moment: ReadingTime) -> Meaning:
    if unit in ("month", "y"):
        return Meaning("ISO8601", f"P{n}{'M' if unit == 'month' else 'Y'}", _zone(moment))
    amount = f"{n * 7}d" if unit == "w" else f"{n}{unit}"
    return Meaning("RATE", f"rate:{amount}", _zone(moment))


def _divided(found: Found, moment: ReadingTime, whole: int) -> Read:
    """``every 15 minutes on weekdays``: what a rate cannot say, cron can where the step divides the hour."""
    period = found.period
    assert period is not None
    unit, n = period.unit, period.n
    if _DIVIDED[unit] % n:
        raise refuse(f"does not divide {_DIVIDED[unit]}, so it does not go with days", period.mark, whole)
    terms = STAR if n == 1 else (Term("step", -1, -1, n),)
    zero = (Term("one", 0),)
    found.fields = {
        "s": {"s": terms, "m": STAR, "h": STAR},
        "m": {"m": terms, "h": STAR},
        "h": {"m": zero, "h": terms},
    }[unit]
    return _cron(found, moment, whole)


def _weeks(found: Found, moment: ReadingTime, whole: int) -> Read:
    period = found.period
    assert period is not None
    found.is_weekly = True
    if period.n == 1:
        if found.week is not None:
            return _cron(found, moment, whole)
        return _choose(found, moment, whole, "week", [1, moment.today.isoweekday() % 7])
    if found.week is None or len(found.week) != 1 or found.week[0].kind != "one" or found.day or found.month:
        if found.week is None and not found.day and not found.month:
            first = _first_day(found, moment)
            return [_anchored(first, found, moment, f"P{7 * period.n}D", whole)], []
        raise refuse("goes with one day of the week", period.mark, whole)
    day, every = found.week[0].a, f"P{7 * period.n}D"
    read = [_anchored(_next_weekday(moment, day, found), found, moment, every, whole) for _ in _offered(found)]
    return read, _of_no_time(found, whole)


def _months(found: Found, moment: ReadingTime, whole: int) -> Read:
    period = found.period
    assert period is not None
    if found.month is not None:
        raise refuse("does not go with names of months", period.mark, whole)
    if period.n == 1:
        if found.day is not None or found.week is not None:
            return _cron(found, moment, whole)
        read, doubts = _choose(found, moment, whole, "day", [1, moment.today.day])
        found.day = (Term("last"),)
        return [*read, *_cron(found, moment, whole)[0]], doubts
    if found.day is None or len(found.day) != 1 or found.day[0].kind != "one" or found.week is not None:
        raise refuse("goes with one day of the month", period.mark, whole)
    day = found.day[0].a
    if day > 28:
        raise refuse("goes with a day that every month has", period.mark, whole)
    time = _single_time(found, whole)
    first = moment.today.replace(day=day)
    while _is_past(moment, first, time):
        first = (first.replace(day=1) + timedelta(days=32)).replace(day=day)
    return [_anchored(first, found, moment, f"P{period.n}M", whole)], []


def _years(found: Found, moment: ReadingTime, whole: int) -> Read:
    period = found.period
    assert period is not None
    if period.n > 1:
        raise refuse(
            "goes with no date: say the first one, as in 'in steps of 2 years, starting ...'", period.mark, whole
        )
    if found.dates:  # 01/02
        read: list[Meaning] = []
        doubts: list[Doubt] = []
        dates, found.dates = found.dates, ()
        for each in dates:
            found.day, found.month = (Term("one", each.day),), (Term("one", each.month),)
            more, doubts = _cron(found, moment, whole)
            read += more
        mark = found.date_mark
        assert mark is not None
        return read, [Doubt("may be either of two dates", mark.start, mark.end), *doubts]
    if found.day is not None or found.week is not None or found.month is not None:
        return _cron(found, moment, whole)
    read, doubts, today = [], [], moment.today
    for month, day in dict.fromkeys([(1, 1), (today.month, today.day)]):
        found.day, found.month = (Term("one", day),), (Term("one", month),)
        more, doubts = _cron(found, moment, whole)
        read += more
    return read, [Doubt("does not say on which date", period.mark.start, period.mark.end), *doubts]


def _choose(found: Found, moment: ReadingTime, whole: int, name: str, values: list[int]) -> Read:
    """One meaning for each day that was left open."""
    period = found.period
    assert period is not None
    read: list[Meaning] = []
    doubts: list[Doubt] = []
    for value in dict.fromkeys(values):
        terms = (Term("one", value),)
        if name == "day":
            found.day = terms
        else:
            found.week = terms
        more, doubts = _cron(found, moment, whole)
        read += more
    return read, [Doubt("does not say on which day", period.mark.start, period.mark.end), *doubts]


def _first_day(found: Found, moment: ReadingTime) -> date:
    if found.week is not None or found.day is not None or found.month is not None:
        period = found.period
        raise refuse("goes with a time of day only", None if period is None else period.mark, 0)
    return moment.first_after(moment.today, found.times[0] if found.times else _MIDNIGHT, 1)


def _is_past(moment: ReadingTime, day: date, time: TimeOfDay) -> bool:
    return (day - EPOCH).days * 86_400 + time.tod_s <= moment.wall_s


def _single_time(found: Found, whole: int) -> TimeOfDay:
    if len(found.times) != 1 or found.fields:
        raise refuse("goes with one time of day", found.times_mark, whole)
    return found.times[0]


def _anchored(first: date, found: Found, moment: ReadingTime, period: str, whole: int) -> Meaning:
    """Steps of a calendar period from a first day: what cron cannot count."""
    time = _single_time(found, whole)
    anchor = to_rfc3339(((first - EPOCH).days * 86_400 + time.tod_s) * 1000)[:19]
    return Meaning("ISO8601", f"R/{anchor}/{period}", _zone(moment))


# -- once


def _once(found: Found, moment: ReadingTime, whole: int) -> Read:
    if found.period is not None and found.dates and found.period.unit == "y":
        return _years(found, moment, whole)
    if found.period is not None or found.every_day or found.fields or found.month or found.day:
        raise refuse("comes once, and the rest comes again", found.date_mark or found.week_mark, whole)
    if found.is_next:
        assert found.week is not None
        return _next_such(found, moment, whole)
    if found.week is not None:
        wanted = found.week[0].a
        if len(found.week) != 1 or any(each.isoweekday() % 7 != wanted for each in found.dates):
            raise refuse("is not the weekday of this date", found.week_mark, whole)
    read: list[Meaning] = []
    doubts: list[Doubt] = []
    mark = found.date_mark
    if len(found.dates) > 1 and mark is not None:
        doubts.append(Doubt("may be either of two dates", mark.start, mark.end))
    for day in found.dates:
        more, why = _at(day, found, moment, whole)
        read += more
        doubts += [doubt for doubt in why if doubt not in doubts]
    return read, doubts


def _at(day: date, found: Found, moment: ReadingTime, whole: int) -> Read:
    """One instant; a wall time that comes twice is two, and nothing is guessed without a time of day."""
    times = found.times or (_MIDNIGHT, _MORNING)
    doubts = [] if found.times else [Doubt("does not say at what time of day", 0, whole)]
    if len(found.times) > 1:
        raise refuse("comes once, so it goes with one time of day", found.times_mark, whole)
    read: list[Meaning] = []
    for time in times:
        instants = moment.instants(day, time)
        if not instants and found.times:
            raise refuse("does not exist on that day: clocks are put forward", found.times_mark, whole)
        if len(instants) > 1:
            doubts.append(Doubt("comes twice on that day: clocks are put back", 0, whole))
        read += [Meaning("AT", describe.at_text(at_ms), _zone(moment)) for at_ms in instants]
    return read, doubts
