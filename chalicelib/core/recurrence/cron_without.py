"""A cron expression less others: what the exclusions of a schedule leave of its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.core.recurrence.calendar_days import NEVER, find_day
from chalicelib.core.recurrence.cron import Cron

_DAY_S: Final = 86_400
_DAYS_WORK: Final = 100_000  # days times partial exclusions that one search may check
_DAYS_MIN: Final = 400
_MASKS_KEPT: Final = 256


class CronWithout:
    """A cron grid without the times that other expressions name: as bounded a search, however much is left out.

    Expressions that leave out all of a matching day's times are subtracted month by month, the rest day by day. For
    each set of them that meets on a day, the minutes left in each hour are worked out once and kept. An expression that
    names single seconds of a minute is not judged here (``exclusions`` checks every instant).
    """

    __slots__ = ("_covering", "_cron", "_days_max", "_masks", "_partial", "_tables")

    def __init__(self, cron: Cron, removed: Sequence[Cron]) -> None:
        meeting = [
            other
            for other in removed
            if cron.months & other.months
            and cron.hours & other.hours
            and cron.minutes & other.minutes
            and not cron.seconds & ~other.seconds
        ]
        whole = [o for o in meeting if not (cron.hours & ~o.hours or cron.minutes & ~o.minutes)]
        self._cron = cron
        self._covering = tuple(whole)
        self._partial = tuple(o for o in meeting if o not in whole)
        self._days_max = max(_DAYS_MIN, _DAYS_WORK // (1 + len(self._partial)))
        self._masks: dict[int, int] = {}
        self._tables: dict[int, list[int]] = {}

    def next_wall(self, wall_s: int) -> int:
        """The first time left at or after ``wall_s``, or NEVER."""
        day, tod = divmod(wall_s, _DAY_S)
        for _ in range(self._days_max):
            at = find_day(day, self._cron.months, self._month_days)
            if at < 0:
                return NEVER
            if at > day:
                day, tod = at, 0
            found = self._tod_from(day, tod)
            if found >= 0:
                return day * _DAY_S + found
            day, tod = day + 1, 0
        return NEVER

    def _month_days(self, year: int, month: int, first_weekday: int) -> int:
        key = year * 12 + month
        mask = self._masks.get(key)
        if mask is None:
            mask = self._cron.month_days(year, month, first_weekday)
            for other in self._covering:
                if other.months >> month & 1:
                    mask &= ~other.month_days(year, month, first_weekday)
            if len(self._masks) >= _MASKS_KEPT:
                self._masks.clear()
            self._masks[key] = mask
        return mask

    def _tod_from(self, day: int, tod: int) -> int:
        if not self._partial:
            return self._cron.tod_from(tod)
        met = 0
        for i, other in enumerate(self._partial):
            if other.matches_day(day):
                met |= 1 << i
        table = self._tables.get(met)
        if table is None:
            table = self._table(met)
            if len(self._tables) >= _MASKS_KEPT:
                self._tables.clear()
            self._tables[met] = table
        return _first_in(table, self._cron.seconds, tod)

    def _table(self, met: int) -> list[int]:
        """The minutes left in each hour of a day on which the partial expressions in ``met`` apply."""
        others = [other for i, other in enumerate(self._partial) if met >> i & 1]
        table = []
        for hour in range(24):
            left = self._cron.minutes if self._cron.hours >> hour & 1 else 0
            for other in others:
                if other.hours >> hour & 1:
                    left &= ~other.minutes
            table.append(left)
        return table


def _first_in(table: list[int], seconds: int, tod: int) -> int:
    """The first second of day at or after ``tod`` in minutes-per-hour masks, or -1."""
    minute_of_day, second = divmod(tod, 60)
    hour, minute = divmod(minute_of_day, 60)
    if table[hour] >> minute & 1 and seconds >> second:
        rest = seconds >> second
        return tod - 1 + (rest & -rest).bit_length()
    first = (seconds & -seconds).bit_length() - 1
    left = table[hour] >> minute + 1
    if left:
        return (minute_of_day + (left & -left).bit_length()) * 60 + first
    for later in range(hour + 1, 24):
        left = table[later]
        if left:
            return later * 3600 + ((left & -left).bit_length() - 1) * 60 + first
    return -1
