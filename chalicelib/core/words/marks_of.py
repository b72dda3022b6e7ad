"""Reading marks one by one: the cursor, times of day, dates and weekdays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

from chalicelib.core.words.cron_text import STAR, Term, Terms
from chalicelib.core.words.lexer import NotUnderstood
from chalicelib.core.words.lexicon import WordMark
from chalicelib.core.words.reading import Found, TimeOfDay

_TIME: Final = re.compile(r"(\d+):(\d\d)(?::(\d\d)(?:\.(\d+))?)?", re.ASCII)


class MarkReader:
    """Where the reading of a text stands."""

    def __init__(self, text: str, marks: Sequence[WordMark]) -> None:
        self.text = text
        self._marks = marks
        self._end = WordMark("end", "", len(text.rstrip()), len(text.rstrip()))
        self.at = 0

    @property
    def done(self) -> bool:
        return self.at >= len(self._marks)

    @property
    def mark(self) -> WordMark:
        return self.peek(0)

    @property
    def kind(self) -> str:
        return self.peek(0).kind

    def peek(self, ahead: int) -> WordMark:
        """The mark so many further on; behind the last stands the end."""
        i = self.at + ahead
        return self._marks[i] if i < len(self._marks) else self._end

    def between(self, at: int) -> Sequence[WordMark]:
        """The marks from a place to here."""
        return self._marks[at : self.at]

    def is_unit(self, ahead: int, value: str) -> bool:
        """Whether a unit of time stands there."""
        mark = self.peek(ahead)
        return mark.kind == "unit" and mark.value == value

    def take(self) -> WordMark:
        """The mark, and go on."""
        mark = self.mark
        self.at += 1
        return mark

    def skip(self, *kinds: str) -> None:
        """Go past marks that only join others, one of a kind."""
        before = ""
        while self.kind in kinds and self.kind != before:
            before = self.kind
            self.at += 1

    def skip_unit(self, value: str) -> None:
        """Go past a unit of time."""
        if self.is_unit(0, value):
            self.at += 1

    def whole(self) -> int:
        """The whole number that stands here. Raises NotUnderstood."""
        mark = self.mark
        if mark.kind not in ("num", "ord") or not mark.value.isdigit() or len(mark.value) > 15:
            raise self.wrong("is not a whole number")
        self.at += 1
        return int(mark.value)

    def wrong(self, message: str, mark: WordMark | None = None) -> NotUnderstood:
        """What to raise about a mark (None: the one that stands here)."""
        mark = mark or self.mark
        if mark.kind == "end":
            return NotUnderstood("the sentence ends too early", max(0, mark.start - 1), mark.end)
        return NotUnderstood(f"{self.text[mark.start : mark.end]!r} {message}", mark.start, mark.end)


def named(cursor: MarkReader, kind: str) -> int:
    """The number of a month or weekday that stands here. Raises NotUnderstood."""
    if cursor.kind != kind:
        raise cursor.wrong("is not a name of a month" if kind == "mon" else "is not a name of a weekday")
    return int(cursor.take().value)


def time_here(cursor: MarkReader, led: bool) -> TimeOfDay | None:
    """The time of day that stands here. ``led``: a word before it says that a time comes, so a bare number is one."""
    mark = cursor.mark
    if mark.kind == "time":
        cursor.take()
        found = _TIME.fullmatch(mark.value)
        assert found is not None, "the lexer made it"
        hour, minute = int(found[1]), int(found[2])
        second = None if found[3] is None else int(found[3])
        if hour > 23 or minute > 59 or (second or 0) > 59:
            raise cursor.wrong("is not a time of day", mark)
        return TimeOfDay(_half(cursor, hour, mark), minute, second, int((found[4] or "").ljust(3, "0")))
    if mark.kind != "num" or cursor.peek(1).kind in ("mon", "daynumber"):
        return None
    is_hour = cursor.is_unit(1, "h") or cursor.peek(1).kind in ("am", "pm")
    if not led or (cursor.peek(1).kind == "unit" and not is_hour):
        return None
    hour = cursor.whole()
    cursor.skip_unit("h")
    minute = 0
    if cursor.kind == "num" and cursor.is_unit(1, "m"):
        minute = cursor.whole()
        cursor.take()
    hour = _half(cursor, hour, mark)
    if hour > 23 or minute > 59:
        raise cursor.wrong("is not a time of day", mark)
    return TimeOfDay(hour, minute)


def _half(cursor: MarkReader, hour: int, mark: WordMark) -> int:
    """The hour, after the word for the half of the day that may follow."""
    half = cursor.kind
    if half not in ("am", "pm"):
        return hour
    if hour > 12:
        raise cursor.wrong("is no hour of half a day", mark)
    cursor.take()
    return hour % 12 + 12 if half == "pm" else hour % 12


def dates_here(cursor: MarkReader, today: date) -> tuple[tuple[date, ...], bool]:
    """The dates that the words here may name, and whether they name a year; without one it is the next such date."""
    mark = cursor.mark
    match mark.kind:
        case "today" | "tomorrow":
            cursor.take()
            return (today + timedelta(days=mark.kind == "tomorrow"),), True
        case "date":
            cursor.take()
            year, month, day = (int(part) for part in mark.value.split("-"))
            return (_date(cursor, mark, year, month, day),), True
        case "slash":
            cursor.take()
            return _slashed(cursor, mark, today)
    month_first = mark.kind == "mon" and cursor.peek(1).kind in ("num", "ord")
    day_first = mark.kind in ("num", "ord") and (cursor.peek(1).kind == "mon" or _is_of_month(cursor))
    if not (month_first or day_first):
        return (), False
    if month_first:
        month, day = int(cursor.take().value), cursor.whole()
    else:
        day = cursor.whole()
        cursor.skip("of")
        month = int(cursor.take().value)
    at = cursor.at
    cursor.skip("of", "comma")
    if cursor.kind == "num" and len(cursor.mark.value) == 4:
        year = cursor.whole()
        cursor.skip_unit("y")
        return (_date(cursor, mark, year, month, day),), True
    cursor.at = at
    return (_next_date(cursor, mark, today, month, day),), False


def _is_of_month(cursor: MarkReader) -> bool:
    return cursor.peek(1).kind == "of" and cursor.peek(2).kind == "mon"


def _slashed(cursor: MarkReader, mark: WordMark, today: date) -> tuple[tuple[date, ...], bool]:
    """01/02 is the second of January to some, and the first of February to others."""
    a, b, *rest = (int(part) for part in mark.value.split("/"))
    pairs = [pair for pair in dict.fromkeys([(a, b), (b, a)]) if 1 <= pair[0] <= 12]
    dates = []
    for month, day in pairs:
        try:
            dates.append(date(rest[0], month, day) if rest else _next_date(cursor, mark, today, month, day))
        except (ValueError, NotUnderstood):
            continue
    if not dates:
        raise cursor.wrong("is no date", mark)
    return tuple(dates), bool(rest)


def _date(cursor: MarkReader, mark: WordMark, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise cursor.wrong("begins what is no date", mark) from None


def _next_date(cursor: MarkReader, mark: WordMark, today: date, month: int, day: int) -> date:
    """This date of the year that comes next, today included; a leap day may be years away."""
    for year in range(today.year, today.year + 9):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found >= today:
            return found
    raise cursor.wrong("begins what is no date", mark)


def day_list(cursor: MarkReader, element: Callable[[MarkReader], Terms]) -> Terms:
    """A list of days of the month; empty where none begins here."""
    at = cursor.at
    terms = [*element(cursor)]
    if not terms:
        cursor.at = at
        return ()
    while cursor.kind in ("comma", "and"):
        back = cursor.at
        cursor.skip("comma", "and")
        more = element(cursor)
        ends = cursor.peek(1).kind in ("comma", "and", "of", "to", "daynumber") or cursor.is_unit(1, "month")
        if not more and cursor.kind == "num" and ends:
            more = _bare_day(cursor)
        if not more:
            cursor.at = back
            break
        terms += more
    if cursor.kind == "daynumber":
        cursor.take()
    if all(term.kind == "one" for term in terms):
        terms = [Term("one", a) for a in sorted({term.a for term in terms})]
    return tuple(terms)


def _bare_day(cursor: MarkReader) -> Terms:
    mark = cursor.mark
    a = cursor.whole()
    b = a
    if cursor.kind == "to" and cursor.peek(1).kind == "num":
        cursor.take()
        b = cursor.whole()
    if not 1 <= a <= b <= 31:
        raise cursor.wrong("must be from 1 to 31", mark)
    return (Term("span", a, b),) if b > a else (Term("one", a),)


Since = Callable[[MarkReader, str, Callable[[], int]], tuple[int, int]]


def week_element(cursor: MarkReader, found: Found, since: Since) -> Terms:
    """One element of a list of weekdays; empty where none begins here."""
    at = cursor.at
    cursor.skip("on", "at", "of", "in", "from")
    is_every = cursor.kind == "every"
    cursor.skip("every")
    mark = cursor.mark
    following = cursor.peek(1)
    if mark.kind in ("ord", "num") and cursor.is_unit(1, "weekday"):
        step = cursor.whole()
        cursor.take()
        a, b = since(cursor, "week", lambda: named(cursor, "wd"))
        return STAR if step == 1 and a < 0 else (Term("step", a, b, step),)
    if mark.kind == "unit" and mark.value == "weekday" and is_every:
        cursor.take()
        return STAR
    numbered = mark.kind == "ord" or (mark.kind == "unit" and mark.value == "s")
    if numbered and following.kind in ("wd", "wds"):
        return _numbered(cursor, found, mark, is_every)
    if mark.kind == "last" and following.kind in ("wd", "wds"):
        cursor.take()
        day = int(cursor.take().value)
        _of_month(cursor)
        found.is_weekly = True
        return (Term("lastweek", day),)
    if mark.kind in ("workday", "weekend") and following.kind != "near":
        cursor.take()
        found.is_weekly = True
        return (Term("span", 1, 5),) if mark.kind == "workday" else (Term("one", 0), Term("one", 6))
    if mark.kind == "next" and following.kind == "wd":
        found.is_next = True
        cursor.take()
        mark = cursor.mark
    if mark.kind not in ("wd", "wds"):
        cursor.at = at
        return ()
    found.is_weekly = found.is_weekly or is_every or mark.kind == "wds"
    a = int(cursor.take().value)
    if cursor.kind == "to" and cursor.peek(1).kind in ("wd", "wds"):
        cursor.take()
        end = cursor.mark
        b = int(cursor.take().value) or 7
        if b <= a:
            raise cursor.wrong("comes before the beginning of the week: name the days", end)
        return (Term("span", a, b),)
    return (Term("one", a),)


def _numbered(cursor: MarkReader, found: Found, mark: WordMark, is_every: bool) -> Terms:
    """``the 2nd Monday of the month``; ``every 2nd Monday`` alone may count months or weeks."""
    cursor.take()
    n = int(mark.value) if mark.kind == "ord" else 2  # Spanish: "segundo" is a unit and an ordinal
    day = int(cursor.take().value)
    if not 1 <= n <= 5:
        raise cursor.wrong("must be from 1 to 5", mark)
    if not _of_month(cursor) and is_every:
        found.biweekly = (n, day, mark)
    found.is_weekly = True
    return (Term("nth", day, n),)


def _of_month(cursor: MarkReader) -> bool:
    at = cursor.at
    cursor.skip("of", "in", "every")
    if cursor.is_unit(0, "month"):
        cursor.take()
        return True
    cursor.at = at
    return False
