"""ISO 8601 durations and repetitions, and the instants they count out from an anchor.

Date parts (years, months, weeks, days) move on the wall clock of a zone, time parts (hours, minutes, seconds) are
elapsed time. Every instant is counted from the anchor itself: ``P1M`` from 31 January is the last day of February and
then 31 March. So an error never adds up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.recurrence.calendar_days import EPOCH_DAY, LAST_DAY, NEVER, month_length
from chalicelib.core.recurrence.zones import Zone

if TYPE_CHECKING:
    from chalicelib.core.recurrence.cron import Cron

_PERIOD: Final = (
    r"P(?:(\d{1,5})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,7})D)?"
    r"(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,10})(?:[.,](\d{1,9}))?S)?)?"
)
_LOCAL: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_DAY_MS: Final = 86_400_000
_MONTH_MS: Final = 2_629_746_000  # 400 Gregorian years / 4800
_SLACK_MS: Final = 6 * _DAY_MS  # how far any month is from k average ones, with leap days, month ends and zone changes
UNBOUNDED: Final = 1 << 60


class Period(Struct, frozen=True):
    """An ISO 8601 duration: ``months`` and ``days`` on the wall clock, then ``time_ms`` of elapsed time."""

    months: int
    days: int
    time_ms: int

    @property
    def average_ms(self) -> int:
        """How long it is on average."""
        return self.months * _MONTH_MS + self.days * _DAY_MS + self.time_ms


class Repetition(Struct, frozen=True):
    """How often (None: without end), from when (None: the schedule's own anchor) and how far apart."""

    times: int | None
    anchor: str | None
    period: Period


def parse_period(text: str) -> Period:
    """Read an ISO 8601 duration such as ``P1M`` or ``PT5M``. Raises ValueError."""
    found = re.fullmatch(_PERIOD, text.upper(), re.ASCII)
    if found is None or text.upper() == "P":
        raise ValueError("must be an ISO 8601 duration such as PT5M, P1D or P1M")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[:7])
    ms = int((found[8] or "").ljust(3, "0")[:3])
    time_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
    return Period(years * 12 + months, weeks * 7 + days, time_ms)


def parse_repetition(text: str) -> Repetition:
    """Read ``PT5M``, ``R/PT5M``, ``R5/PT5M`` or ``R5/2026-12-01T10:00:00Z/PT5M``. Raises ValueError."""
    parts = text.strip().split("/")
    if parts[0][:1] not in ("R", "r"):
        if len(parts) != 1:
            raise ValueError("must be a duration such as P1D, or R<n>/<anchor>/<duration>")
        return Repetition(None, None, parse_period(parts[0]))
    count = parts[0][1:]
    if len(parts) not in (2, 3) or not (count == "" or (count.isascii() and count.isdigit() and len(count) < 10)):
        raise ValueError("must be R<n>/<anchor>/<duration>, such as R5/2026-12-01T10:00:00Z/PT5M")
    times = int(count) if count else None
    if times == 0:
        raise ValueError("can never fire: R0 is no run at all")
    return Repetition(times, parts[1] if len(parts) == 3 else None, parse_period(parts[-1]))


def parse_anchor(text: str, zone: Zone) -> int:
    """Unix milliseconds of RFC 3339, or of a local time without offset as ``zone`` shows it. Raises ValueError."""
    if not re.fullmatch(_LOCAL, text.upper(), re.ASCII):
        return parse_rfc3339(text)
    wall_ms = parse_rfc3339(text + "Z")
    return zone.resolve(wall_ms // 1000) * 1000


class Steps:
    """Instants ``anchor + k * interval`` for first <= k <= last."""

    __slots__ = ("anchor_ms", "first", "interval_ms", "last")

    def __init__(self, anchor_ms: int, interval_ms: int, first: int, last: int) -> None:
        self.anchor_ms = anchor_ms
        self.interval_ms = interval_ms
        self.first = first
        self.last = last

    @property
    def from_creation(self) -> bool:
        """Whether the anchor is the schedule's creation, which no caller chose (the first run is one step later)."""
        return self.first == 1 and self.last == UNBOUNDED

    def unbounded(self) -> Steps:
        """The same grid, continued to before its anchor."""
        return Steps(self.anchor_ms, self.interval_ms, -UNBOUNDED, self.last)

    def next_after(self, after_ms: int) -> int:
        """The first instant > ``after_ms``, or NEVER."""
        k = (after_ms - self.anchor_ms) // self.interval_ms + 1
        if k < self.first:
            k = self.first
        return self.anchor_ms + k * self.interval_ms if k <= self.last else NEVER

    def run(self, from_ms: int, to_ms: int, limit: int) -> list[int]:
        """At most ``limit`` instants of [from, to], without checking each."""
        start = self.next_after(from_ms - 1)
        stop = min(to_ms, self.anchor_ms + self.last * self.interval_ms, start + (limit - 1) * self.interval_ms)
        return list(range(start, stop + 1, self.interval_ms)) if limit > 0 and start <= to_ms else []


class CalendarSteps:
    """Instants counted by the calendar: ``anchor + k * period`` on the wall clock of ``zone``."""

    __slots__ = (
        "_anchor_ms", "_first", "_gap", "_last", "_part_ms", "_period", "_removed", "_twice", "_wall", "_zone"
    )  # fmt: skip

    def __init__(
        self,
        anchor_ms: int,
        period: Period,
        zone: Zone,
        *,
        first: int,
        last: int,
        gap: str,
        overlap: str,
        removed: Sequence[Cron] = (),
    ) -> None:
        """``removed``: what no gap moves, since it was left out at the time it was meant for."""
        self._removed = tuple(removed)
        self._anchor_ms = anchor_ms
        self._period = period
        self._zone = zone
        self._first, self._last = first, last
        self._gap = gap
        self._twice = overlap == "twice"
        anchor_s, self._part_ms = divmod(anchor_ms, 1000)
        self._wall = anchor_s + zone.offset(anchor_s)

    @property
    def from_creation(self) -> bool:
        """Whether the anchor is the schedule's creation, which no caller chose (the first run is one step later)."""
        return self._first == 1 and self._last == UNBOUNDED

    def unbounded(self) -> CalendarSteps:
        """The same grid, continued to before its anchor."""
        return self._made(-UNBOUNDED, self._removed)

    def without(self, removed: Sequence[Cron]) -> CalendarSteps:
        """The same grid without what a gap would move, where cron expressions name the time it was meant for."""
        return self._made(self._first, removed) if removed else self

    def _made(self, first: int, removed: Sequence[Cron]) -> CalendarSteps:
        return CalendarSteps(
            self._anchor_ms,
            self._period,
            self._zone,
            first=first,
            last=self._last,
            gap=self._gap,
            overlap="twice" if self._twice else "once",
            removed=removed,
        )

    def next_after(self, after_ms: int) -> int:
        """The first instant > ``after_ms``, or NEVER. A handful of steps are tried, wherever ``after_ms`` lies."""
        k = max((after_ms - self._anchor_ms - _SLACK_MS) // self._period.average_ms, self._first)
        while k <= self._last:
            wall = self._wall_of(k)
            if wall == NEVER:
                return NEVER
            for instant, _ in self._instants(k, wall):
                if instant > after_ms:
                    return instant
            k += 1
        return NEVER

    def note(self, unix_ms: int) -> str | None:
        """``gap`` or ``overlap`` when a change of the clock moved this run or made its wall time ambiguous."""
        k = max((unix_ms - self._anchor_ms - _SLACK_MS) // self._period.average_ms, self._first)
        while k <= self._last and (wall := self._wall_of(k)) != NEVER:
            found = self._instants(k, wall)
            for instant, note in found:
                if instant == unix_ms:
                    return note
            if found and found[0][0] > unix_ms:
                return None
            k += 1
        return None

    def _wall_of(self, k: int) -> int:
        """Wall time of step k, in seconds, before its elapsed part; NEVER beyond year 9999."""
        if k == 0:
            return self._wall
        day, tod = divmod(self._wall, 86_400)
        ordinal = day + EPOCH_DAY
        if self._period.months:
            civil = date.fromordinal(ordinal)
            year, month = divmod(civil.year * 12 + civil.month - 1 + self._period.months * k, 12)
            if not 1 <= year <= 9999:
                return NEVER
            ordinal = date(year, month + 1, 1).toordinal() + min(civil.day, month_length(year, month + 1)) - 1
        ordinal += self._period.days * k
        return (ordinal - EPOCH_DAY) * 86_400 + tod if 1 <= ordinal <= LAST_DAY else NEVER

    def _instants(self, k: int, wall: int) -> list[tuple[int, str | None]]:
        elapsed = self._period.time_ms * k + self._part_ms
        if k == 0:
            return [(self._anchor_ms, None)]
        found = self._zone.instants_of(wall)
        if len(found) == 1:
            return [(found[0] * 1000 + elapsed, None)]
        if found:
            kept = found if self._twice else found[:1]
            return [(instant * 1000 + elapsed, "overlap") for instant in kept]
        if self._gap == "skip" or any(cron.matches_wall(wall) for cron in self._removed):
            return []
        instant = self._zone.resolve(wall)
        if self._gap == "shift":
            return [(instant * 1000 + elapsed, "gap")]
        return [(self._zone.segment(instant)[0] * 1000 + elapsed - self._part_ms, "gap")]
