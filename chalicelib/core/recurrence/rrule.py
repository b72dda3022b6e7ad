"""RFC 5545 recurrence rules as a grid of wall-clock times, with random access and bounded work.

A rule is cut into periods of its frequency. A period's days come from month masks as in ``cron``, so a search starts at
the period it needs and not at DTSTART. COUNT is resolved once into the wall time of the last occurrence. What a rule
leaves open comes from DTSTART. DTSTART itself is an occurrence only when it matches (as in python-dateutil, which is
the oracle of the tests).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date
from typing import Final

from chalicelib.core.recurrence.calendar_days import EPOCH_DAY, LAST_DAY, NEVER, find_day, month_length
from chalicelib.core.recurrence.rrule_parts import (
    LISTS,
    WEEKDAYS,
    RuleError,
    read_byday,
    read_numbers,
    read_parts,
    read_positive,
    until_wall,
)
from chalicelib.core.recurrence.zones import Zone

__all__ = ["COUNT_MAX", "COUNT_MAX_LONG", "RuleError", "RuleGrid"]

COUNT_MAX: Final = 10_000
COUNT_MAX_LONG: Final = 2_000  # of weeks, months and years, whose search is slower
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_YEARLY, _MONTHLY, _WEEKLY, _DAILY, _HOURLY, _MINUTELY, _SECONDLY = range(7)
_UNIT_S: Final = {_DAILY: 86_400, _HOURLY: 3600, _MINUTELY: 60, _SECONDLY: 1}
_WEEKS: Final = sum(1 << 7 * week for week in range(6))
# How many periods in a row may be empty: 400 years of them, the calendar's cycle; of short ones, which are jumped over
# by days, hours and minutes that cannot match, a fixed number.
_EMPTY_MAX: Final = {
    _YEARLY: 400,
    _MONTHLY: 4_800,
    _WEEKLY: 20_871,
}
_EMPTY_MAX_FINE: Final = 40_000
_ALL_MONTHS: Final = ((1 << 12) - 1) << 1
_MASKS_KEPT: Final = 128


class RuleGrid:
    """The wall times of one RRULE from its DTSTART. Raises RuleError on construction."""

    __slots__ = (
        "_byday",
        "_bymonth",
        "_bymonthday",
        "_bysetpos",
        "_byweekno",
        "_byyearday",
        "_freq",
        "_hours",
        "_interval",
        "_masks",
        "_minutes",
        "_nth",
        "_nth_in_year",
        "_period",
        "_seconds",
        "_start",
        "_times",
        "_until",
        "_week",
        "_wkst",
        "elapsed",
    )

    def __init__(self, text: str, start_wall_s: int, zone: Zone) -> None:
        parts = read_parts(text)
        lists = {name: read_numbers(parts.pop(name, ""), name) for name in LISTS}
        frequency = parts.pop("FREQ", "")
        if frequency not in _FREQUENCIES:
            raise RuleError("FREQ must be one of " + ", ".join(_FREQUENCIES))
        self._freq = _FREQUENCIES.index(frequency)
        self.elapsed = self._freq >= _HOURLY  # like a star in cron's hour: every instant whose wall time matches
        self._interval = read_positive(parts.pop("INTERVAL", "1"), "INTERVAL", 1_000_000)
        self._wkst = WEEKDAYS.get(parts.pop("WKST", "MO"), -1)
        if self._wkst < 0:
            raise RuleError("WKST must be a weekday such as MO")
        self._start = start_wall_s
        self._masks: dict[int, int] = {}
        self._period: tuple[int, list[int]] = (-1, [])
        byday = parts.pop("BYDAY", "")
        until, count = parts.pop("UNTIL", None), parts.pop("COUNT", None)
        if parts:
            raise RuleError(f"{sorted(parts)[0]} is not understood")
        if until and count:
            raise RuleError("UNTIL and COUNT exclude each other")
        self._read_days(byday, lists)
        self._read_times(lists)
        self._until = NEVER - 1 if until is None else until_wall(until, zone)
        if count is not None:
            self._until = self._last_of(
                read_positive(count, "COUNT", COUNT_MAX if self._freq >= _DAILY else COUNT_MAX_LONG)
            )
        if self.next_wall(start_wall_s) == NEVER:
            raise RuleError("can never fire")

    def _read_days(self, byday: str, lists: dict[str, tuple[int, ...]]) -> None:
        freq = self._freq
        self._bymonth, self._bymonthday = lists["BYMONTH"], lists["BYMONTHDAY"]
        self._byyearday, self._byweekno = lists["BYYEARDAY"], lists["BYWEEKNO"]
        self._bysetpos = lists["BYSETPOS"]
        if self._byweekno and freq != _YEARLY:
            raise RuleError("BYWEEKNO goes with FREQ=YEARLY only")
        if self._byyearday and freq in (_MONTHLY, _WEEKLY, _DAILY):
            raise RuleError("BYYEARDAY does not go with FREQ=MONTHLY, WEEKLY or DAILY")
        if self._bymonthday and freq == _WEEKLY:
            raise RuleError("BYMONTHDAY does not go with FREQ=WEEKLY")
        self._week, self._nth = read_byday(byday)
        if self._nth and (freq > _MONTHLY or self._byweekno):
            raise RuleError("a numbered BYDAY goes with FREQ=MONTHLY or YEARLY only, and not with BYWEEKNO")
        self._nth_in_year = freq == _YEARLY and not self._bymonth
        if self._bysetpos and not (byday or any(lists[name] for name in lists if name != "BYSETPOS")):
            raise RuleError("BYSETPOS needs another BY part")
        if not (self._byweekno or self._byyearday or self._bymonthday or byday):
            start = date.fromordinal(self._start // 86_400 + EPOCH_DAY)
            if freq == _YEARLY:
                self._bymonth = self._bymonth or (start.month,)
            if freq in (_YEARLY, _MONTHLY):
                self._bymonthday = (start.day,)
            elif freq == _WEEKLY:
                self._week = 1 << start.isoweekday() % 7
        self._byday = bool(self._week or self._nth)

    def _read_times(self, lists: dict[str, tuple[int, ...]]) -> None:
        minute_of_day, second = divmod(self._start % 86_400, 60)
        freq = self._freq
        # None: every value, because the period itself steps through them
        self._hours = lists["BYHOUR"] or ((minute_of_day // 60,) if freq < _HOURLY else None)
        self._minutes = lists["BYMINUTE"] or ((minute_of_day % 60,) if freq < _MINUTELY else None)
        self._seconds = lists["BYSECOND"] or ((second,) if freq < _SECONDLY else None)
        hours = self._hours if freq < _HOURLY else (0,)
        minutes = self._minutes if freq < _MINUTELY else (0,)
        seconds = self._seconds if freq < _SECONDLY else (0,)
        assert hours is not None
        assert minutes is not None
        assert seconds is not None
        self._times = sorted({(h * 60 + m) * 60 + s for h in hours for m in minutes for s in seconds})

    def _last_of(self, count: int) -> int:
        wall = self._start - 1
        self._until = NEVER - 1
        for _ in range(count):
            found = self.next_wall(wall + 1)
            if found == NEVER:
                break
            wall = found
        return wall

    # -- searching

    def next_wall(self, wall_s: int) -> int:
        """The first occurrence at or after ``wall_s``, or NEVER. Work is bounded by the calendar's cycle."""
        wall_s = max(wall_s, self._start)
        if wall_s > self._until:
            return NEVER
        found = self._next_fine(wall_s) if self._freq >= _DAILY else self._next_coarse(wall_s)
        return found if found <= self._until else NEVER

    def _next_coarse(self, wall_s: int) -> int:
        k = self._index(wall_s // 86_400)
        for k in range(k, k + _EMPTY_MAX[self._freq]):  # noqa: B020 - k is where the range begins
            days = self._days_of(k)
            if days is None:
                return NEVER
            found = self._pick([day * 86_400 for day in days], wall_s)
            if found != NEVER:
                return found
        return NEVER

    def _pick(self, bases: list[int], wall_s: int) -> int:
        """The first of ``base + time`` at or after ``wall_s`` of one period, after BYSETPOS; NEVER if none is left."""
        times = self._times
        if self._bysetpos:
            size = len(bases) * len(times)
            wanted = sorted({p - 1 if p > 0 else size + p for p in self._bysetpos})
            for at in wanted:
                if 0 <= at < size:
                    found = bases[at // len(times)] + times[at % len(times)]
                    if found >= wall_s:
                        return found
            return NEVER
        at = bisect_left(bases, wall_s)
        if at > 0:
            i = bisect_left(times, wall_s - bases[at - 1])
            if i < len(times):
                return bases[at - 1] + times[i]
        return bases[at] + times[0] if at < len(bases) else NEVER

    def _index(self, day: int) -> int:
        """The number of the last period that begins at or before ``day``."""
        first = self._start // 86_400
        if self._freq == _WEEKLY:
            return (day - self._week_start(first)) // (7 * self._interval)
        start, here = date.fromordinal(first + EPOCH_DAY), date.fromordinal(min(day + EPOCH_DAY, LAST_DAY))
        if self._freq == _YEARLY:
            return (here.year - start.year) // self._interval
        return ((here.year - start.year) * 12 + here.month - start.month) // self._interval

    def _week_start(self, day: int) -> int:
        return day - (day + EPOCH_DAY - self._wkst) % 7

    def _days_of(self, k: int) -> list[int] | None:
        """The matching days of period k (ordinals since 1970), or None beyond year 9999."""
        kept, days = self._period
        if kept == k:
            return days
        found = self._find_days(k)
        if found is not None:
            self._period = (k, found)
        return found

    def _find_days(self, k: int) -> list[int] | None:
        first = self._start // 86_400
        if self._freq == _WEEKLY:
            start = self._week_start(first) + 7 * k * self._interval
            if start + 7 + EPOCH_DAY > LAST_DAY:
                return None
            return [day for day in range(start, start + 7) if self._matches_day(day)]
        civil = date.fromordinal(first + EPOCH_DAY)
        if self._freq == _YEARLY:
            year = civil.year + k * self._interval
            months = [(year, month) for month in (sorted(set(self._bymonth)) or range(1, 13))]
        else:
            year, month = divmod(civil.year * 12 + civil.month - 1 + k * self._interval, 12)
            months = [(year, month + 1)]
        if year > 9999:
            return None
        return [day for year, month in months for day in self._month_days(year, month)]

    def _month_days(self, year: int, month: int) -> list[int]:
        mask = self._month_mask(year, month)
        first = date(year, month, 1).toordinal() - EPOCH_DAY
        return [first + i for i in range(31) if mask >> i & 1]

    def _matches_day(self, day: int) -> bool:
        civil = date.fromordinal(day + EPOCH_DAY)
        return self._month_mask(civil.year, civil.month) >> civil.day - 1 & 1 == 1

    def _next_fine(self, wall_s: int) -> int:
        """DAILY and shorter: jump from period to period, over days, hours and minutes that cannot match."""
        unit = _UNIT_S[self._freq]
        base, step = self._start // unit * unit, unit * self._interval
        at = base + (wall_s - base) // step * step
        for _ in range(_EMPTY_MAX_FINE):
            later = self._not_before(at)
            if later == NEVER:
                return NEVER
            if later > at:
                at = base - (base - later) // step * step
                continue
            found = self._pick([at], wall_s)
            if found != NEVER:
                return found
            at += step
        return NEVER

    def _not_before(self, at: int) -> int:
        """``at`` itself when its day, hour, minute and second pass their filters, else the next worth trying."""
        day, tod = divmod(at, 86_400)
        if day + EPOCH_DAY > LAST_DAY:
            return NEVER
        if not self._matches_day(day):
            later = find_day(day + 1, _ALL_MONTHS, self._month_mask)
            return later * 86_400 if later >= 0 else NEVER
        if self._freq == _DAILY:
            return at
        if self._hours is not None and tod // 3600 not in self._hours:
            return (at // 3600 + 1) * 3600
        if self._freq >= _MINUTELY and self._minutes is not None and tod // 60 % 60 not in self._minutes:
            return (at // 60 + 1) * 60
        if self._freq == _SECONDLY and self._seconds is not None and tod % 60 not in self._seconds:
            return at + 1
        return at

    # -- a month's days

    def _month_mask(self, year: int, month: int, _first_weekday: int = 0) -> int:
        """The days of a month that pass every BY part, bit 0 being the first."""
        key = year * 12 + month
        mask = self._masks.get(key)
        if mask is None:
            mask = self._make_mask(year, month)
            if len(self._masks) >= _MASKS_KEPT:
                self._masks.clear()
            self._masks[key] = mask
        return mask

    def _make_mask(self, year: int, month: int) -> int:
        if self._bymonth and month not in self._bymonth:
            return 0
        length = month_length(year, month)
        mask = (1 << length) - 1
        if self._bymonthday:
            mask &= _bits(d - 1 if d > 0 else length + d for d in self._bymonthday)
        first = date(year, month, 1).toordinal()
        new_year, days = date(year, 1, 1).toordinal(), 366 if month_length(year, 2) == 29 else 365
        if self._byyearday:
            mask &= _bits((d - 1 if d > 0 else days + d) - (first - new_year) for d in self._byyearday)
        if self._byday:
            base, size = (new_year, days) if self._nth_in_year else (first, length)
            numbered = _bits(_numbered(n, weekday, base, size) - (first - base) for n, weekday in self._nth)
            mask &= self._week * _WEEKS >> first % 7 | numbered
        if self._byweekno:
            mask &= _bits(i for i in range(length) if self._in_weeks(first + i))
        return mask

    def _in_weeks(self, ordinal: int) -> bool:
        """Whether a day lies in a week of BYWEEKNO; week 1 is the first with four days in its year (RFC 5545)."""
        start = ordinal - (ordinal - self._wkst) % 7
        year = date.fromordinal(min(start + 3, LAST_DAY)).year
        week_one = self._week_one(year)
        number = (start - week_one) // 7 + 1
        weeks = (self._week_one(year + 1) - week_one) // 7 if year < 9999 else 52
        return number in self._byweekno or number - weeks - 1 in self._byweekno

    def _week_one(self, year: int) -> int:
        fourth = date(year, 1, 4).toordinal()
        return fourth - (fourth - self._wkst) % 7


def _bits(places: Iterable[int]) -> int:
    mask = 0
    for place in places:
        if 0 <= place < 31:
            mask |= 1 << place
    return mask


def _numbered(n: int, weekday: int, base: int, size: int) -> int:
    """Offset from ``base`` (an ordinal) of the n-th ``weekday`` of ``size`` days, or -1000 when there is none."""
    if n > 0:
        at = (weekday - base) % 7 + 7 * (n - 1)
    else:
        last = base + size - 1
        at = size - 1 - (last - weekday) % 7 + 7 * (n + 1)
    return at if 0 <= at < size else -1000
