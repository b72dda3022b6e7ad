"""Cron expressions as bit masks over wall-clock time.

Five fields, or six with seconds first. Every field is one integer with a bit per allowed value. A month's matching days
are one integer with a bit per day. So the next match is found with shifts instead of steps. Nothing here knows zones:
wall times are seconds since 1970-01-01T00:00:00 on the wall clock (``walltime`` knows daylight saving).

The dialect is Vixie cron's as Debian ships it, plus ``L``, ``LW``, ``nW``, ``d#n`` and ``dL`` of Quartz. A field that
begins with ``*`` (also ``*/n``) counts as ``*`` for the either-day rule and for daylight saving, as in Vixie's source.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from chalicelib.core.recurrence.calendar_days import EPOCH_DAY, LAST_DAY, NEVER, find_day, find_from_month, month_length
from chalicelib.core.recurrence.cron_fields import (
    DAY_NAMES,
    MONTH_NAMES,
    NO_NAMES,
    CronError,
    read_field,
    read_value,
    special_day,
    split_special,
)

__all__ = ["NEVER", "Cron", "CronError", "parse"]

_DAY_S: Final = 86_400

_ALL60: Final = (1 << 60) - 1
_ALL24: Final = (1 << 24) - 1
_ALL_DAYS: Final = (1 << 31) - 1  # bit 0 is the first of the month
_ALL_MONTHS: Final = ((1 << 12) - 1) << 1  # bit 1 is January
_ALL_WEEK: Final = (1 << 7) - 1  # bit 0 is Sunday
_WEEKS: Final = sum(1 << 7 * week for week in range(6))  # times a week's mask: that week, six times over

_MACROS: Final = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}


def _wrong_count(fields: list[str]) -> str:
    if len(fields) == 1 and fields[0].startswith("@"):
        return f"is none of {', '.join(_MACROS).lower()}"
    return f"must have five fields, or six with seconds first; this has {len(fields)}"


class Cron:
    """A parsed expression: which wall-clock seconds match. Immutable after ``parse``."""

    __slots__ = (
        "_both_days",
        "_last_dows",
        "_nearest",
        "_nth_dows",
        "_special",
        "days",
        "elapsed",
        "every_day",
        "first_tod",
        "hours",
        "minutes",
        "months",
        "seconds",
        "weekdays",
    )

    seconds: int
    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    elapsed: bool  # minute or hour begins with a star: follows elapsed time through daylight saving
    every_day: bool
    first_tod: int  # second of day of a matching day's first match

    def __init__(self, expr: str, *, excludes: bool = False) -> None:
        """Read ``expr``. Raises CronError, also when no date ever matches (``0 0 30 2 *``).

        With ``excludes`` it names what is left out: five fields match all sixty seconds of their minutes, and one that
        never matches is harmless.
        """
        fields = expr.upper().split()
        if len(fields) == 1 and fields[0] in _MACROS:
            fields = _MACROS[fields[0]].split()
        count = len(fields)
        if count == 5:
            minute, hour, day, month, weekday = fields
            self.seconds = _ALL60 if excludes else 1
        elif count == 6:
            second, minute, hour, day, month, weekday = fields
            self.seconds = _ALL60 if second == "*" else read_field("second", second, 0, 59, NO_NAMES)
        else:
            raise CronError(_wrong_count(fields))
        self.minutes = _ALL60 if minute == "*" else read_field("minute", minute, 0, 59, NO_NAMES)
        self.hours = hours = _ALL24 if hour == "*" else read_field("hour", hour, 0, 23, NO_NAMES)
        self.months = _ALL_MONTHS if month == "*" else read_field("month", month, 1, 12, MONTH_NAMES)
        self.elapsed = minute[0] == "*" or hour[0] == "*"
        self._special = False
        if day == "*" and weekday == "*":
            self.days, self.weekdays, self._both_days = _ALL_DAYS, _ALL_WEEK, True
            self.every_day = self.months == _ALL_MONTHS
        else:
            self._read_days(day, weekday)
            if not excludes and not self._surely_fires() and self.first_day_from(_CYCLE_DAY) < 0:
                raise CronError("can never fire: no such date exists")
        minutes, seconds = self.minutes, self.seconds
        first_minute = (hours & -hours).bit_length() * 60 + (minutes & -minutes).bit_length() - 61
        self.first_tod = first_minute * 60 + (seconds & -seconds).bit_length() - 1

    def _read_days(self, day: str, weekday: str) -> None:
        self.every_day = False
        self._both_days = day[0] == "*" or weekday[0] == "*"
        self._nearest: tuple[int, ...] = ()  # n of nW; 0 is LW, -1 is L
        self._nth_dows: tuple[tuple[int, int], ...] = ()
        self._last_dows = 0
        plain, special = day, ""
        if "L" in day or "W" in day:
            plain, special = split_special(day, "LW")
            self._nearest = tuple(special_day(term) for term in special.split(","))
            self._special = True
        self.days = read_field("day-of-month", plain, 1, 31, NO_NAMES) >> 1 if plain else 0
        plain = weekday
        if "#" in weekday or "L" in weekday:
            plain, special = split_special(weekday, "#L")
            self._read_special_weekdays(special)
            self._special = True
        week = read_field("day-of-week", plain, 0, 7, DAY_NAMES) if plain else 0
        self.weekdays = (week | week >> 7) & _ALL_WEEK

    def _read_special_weekdays(self, special: str) -> None:
        nth: list[tuple[int, int]] = []
        for term in special.split(","):
            if "#" in term:
                name, _, number = term.partition("#")
                if number not in ("1", "2", "3", "4", "5"):
                    raise CronError(f"day-of-week: {term!r} must end in #1 to #5")
                nth.append((read_value("day-of-week", name, 0, 7, DAY_NAMES) % 7, int(number)))
            else:
                name = term[1:] if term[0] == "L" else term[:-1]  # 5L; croniter writes L5
                self._last_dows |= 1 << read_value("day-of-week", name, 0, 7, DAY_NAMES) % 7
        self._nth_dows = tuple(nth)

    def _surely_fires(self) -> bool:
        """Whether some day of every allowed month, or some weekday of it, matches whatever the calendar."""
        sure_day = self.days & (1 << 28) - 1 != 0 or (bool(self._nearest) and min(self._nearest) <= 28)
        sure_week = self.weekdays != 0 or self._last_dows != 0 or any(n < 5 for _, n in self._nth_dows)
        if self._both_days:
            return (sure_day and self.weekdays == _ALL_WEEK) or (sure_week and self.days == _ALL_DAYS)
        return sure_day or sure_week

    # -- days

    def month_days(self, year: int, month: int, first_weekday: int) -> int:
        """The matching days of a month as bits, bit 0 being the first; ``first_weekday`` 0 is Sunday."""
        length = month_length(year, month)
        days, weekdays = self.days, self.weekdays * _WEEKS >> first_weekday
        if self._special:
            for near in self._nearest:
                days |= _nearest_weekday(near, first_weekday, length)
            for weekday, nth in self._nth_dows:
                weekdays |= 1 << (weekday - first_weekday) % 7 + 7 * (nth - 1)
            if self._last_dows:
                weekdays |= (self._last_dows * _WEEKS >> first_weekday) & (1 << length) - 1 & -1 << length - 7
        return (days & weekdays if self._both_days else days | weekdays) & (1 << length) - 1

    def matches_day(self, day: int) -> bool:
        """Whether a day (its ordinal since 1970-01-01) matches."""
        if self.every_day:
            return True
        if not -EPOCH_DAY < day <= LAST_DAY - EPOCH_DAY:
            return False
        civil = date.fromordinal(day + EPOCH_DAY)
        month = civil.month
        if not self.months >> month & 1:
            return False
        at = civil.day - 1
        return self.month_days(civil.year, month, (day + EPOCH_DAY - at) % 7) >> at & 1 == 1

    def first_day_from(self, day: int) -> int:
        """The first matching day at or after ``day`` (ordinals since 1970-01-01), or -1 when there is none."""
        if self.every_day:
            return day if day + EPOCH_DAY <= LAST_DAY else -1
        return find_day(day, self.months, self.month_days)

    # -- seconds

    def next_wall(self, wall_s: int) -> int:
        """The first matching wall time at or after ``wall_s``, or NEVER. At most 400 years of months are checked."""
        day, tod = divmod(wall_s, _DAY_S)
        if not self.every_day:
            return self._next_by_month(day, tod)
        found = self.tod_from(tod)
        if found >= 0:
            return day * _DAY_S + found
        return (day + 1) * _DAY_S + self.first_tod if day < LAST_DAY - EPOCH_DAY else NEVER

    def _next_by_month(self, day: int, tod: int) -> int:
        """As ``next_wall``; this month's days are worked out once for today and the days after."""
        ordinal = day + EPOCH_DAY
        if 1 <= ordinal <= LAST_DAY:
            civil = date.fromordinal(ordinal)
            month, at = civil.month, civil.day - 1
            if self.months >> month & 1:
                left = self.month_days(civil.year, month, (ordinal - at) % 7) >> at
                if left & 1 and (found := self.tod_from(tod)) >= 0:
                    return day * _DAY_S + found
                left >>= 1
                if left:
                    return (day + (left & -left).bit_length()) * _DAY_S + self.first_tod
            day = find_from_month(civil.year, month + 1, self.months, self.month_days)
        else:
            day = find_day(day + 1, self.months, self.month_days)
        return day * _DAY_S + self.first_tod if day >= 0 else NEVER

    def tod_from(self, tod: int) -> int:
        """The first matching second of a (matching) day at or after ``tod``, or -1."""
        minute_of_day, second = divmod(tod, 60)
        hour, minute = divmod(minute_of_day, 60)
        if self.hours >> hour & 1:
            left = self.minutes >> minute
            if left & 1:
                rest = self.seconds >> second
                if rest:
                    return tod - 1 + (rest & -rest).bit_length()
            left >>= 1
            if left:
                first = self.seconds
                return (minute_of_day + (left & -left).bit_length()) * 60 + (first & -first).bit_length() - 1
        left = self.hours >> hour + 1
        if left:
            return self.first_tod % 3600 + (hour + (left & -left).bit_length()) * 3600
        return -1

    def matches_wall(self, wall_s: int) -> bool:
        """Whether this second matches."""
        day, tod = divmod(wall_s, _DAY_S)
        minute_of_day, second = divmod(tod, 60)
        if not (self.seconds >> second & self.minutes >> minute_of_day % 60 & self.hours >> minute_of_day // 60 & 1):
            return False
        return self.matches_day(day)

    def unmatched_from(self, wall_s: int) -> int:
        """The first second at or after ``wall_s`` that does not match, or NEVER when all do."""
        all_hour = self.seconds == _ALL60 and self.minutes == _ALL60
        if all_hour and self.hours == _ALL24 and self.every_day:
            return NEVER
        while True:
            day, tod = divmod(wall_s, _DAY_S)
            if day + EPOCH_DAY > LAST_DAY:
                return NEVER
            if not self.matches_day(day):
                return wall_s
            if all_hour:
                left = ~self.hours & _ALL24
                left = left >> tod // 3600 << tod // 3600
                if left:
                    return max(wall_s, day * _DAY_S + ((left & -left).bit_length() - 1) * 3600)
                wall_s = (day + 1) * _DAY_S
                continue
            free = self._free_tod(tod)
            if free >= 0:
                return day * _DAY_S + free
            wall_s = (day + 1) * _DAY_S

    def _free_tod(self, tod: int) -> int:
        """The first unmatched second of a matching day at or after ``tod``, or -1; not every minute matches whole."""
        while tod < _DAY_S:
            minute_of_day, second = divmod(tod, 60)
            if not (self.hours >> minute_of_day // 60 & self.minutes >> minute_of_day % 60 & 1):
                return tod
            left = (~self.seconds & _ALL60) >> second
            if left:
                return tod - 1 + (left & -left).bit_length()
            left = (~self.minutes & _ALL60) >> minute_of_day % 60
            step = (left & -left).bit_length() - 1 if left else 60 - minute_of_day % 60
            tod = (minute_of_day + max(step, 1)) * 60
        return -1


_CYCLE_DAY: Final = date(2000, 1, 1).toordinal() - EPOCH_DAY  # any 400 years hold every combination of date and weekday


def parse(expr: str) -> Cron:
    """Read a cron expression. Raises CronError with the field and what is wrong with it."""
    return Cron(expr)


def _nearest_weekday(near: int, first_weekday: int, length: int) -> int:
    """Bit of ``nW`` (the working day nearest to day n, within the month), of LW (``near`` 0) or of L (-1)."""
    day = near if near > 0 else length
    if day > length:
        return 0
    if near >= 0:
        weekday = (first_weekday + day - 1) % 7
        if weekday == 6:
            day += -1 if day > 1 else 2
        elif weekday == 0:
            day += 1 if day < length else -2
    return 1 << day - 1
