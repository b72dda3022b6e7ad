"""What a schedule leaves out: ranges (both ends included), cron expressions and iCalendar events.

A cron expression of five fields leaves out whole minutes, one of six the seconds it names. Both count on the wall clock
of the schedule's zone. All instants are unix milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.zones import Zone

if TYPE_CHECKING:
    from chalicelib.core.recurrence.cron import Cron

Exclusion = tuple[int, int] | str
"""``(from_ms, to_ms)``, a cron expression, or iCalendar text (it begins with ``BEGIN:``)."""

EXCLUSIONS_MAX: Final = 5_000
_BLANK: Final = "\ufeff \t\r\n"  # may stand before a text: files of public offices begin with a byte order mark
_STEPS_WORK: Final = 2_000_000
_STEPS_MIN: Final = 500
_FAR_S: Final = 2 * 86_400


class RecurringCover(Protocol):
    """Stretches of time that come again and again; all in unix milliseconds."""

    def end_of(self, unix_ms: int) -> int | None:
        """The first instant after the stretch that covers ``unix_ms``, or None."""
        ...

    def next_start(self, unix_ms: int) -> int:
        """The first start of a stretch at or after ``unix_ms``, or NEVER."""
        ...


class CalendarCover(Protocol):
    """What one calendar covers."""

    @property
    def ranges(self) -> Sequence[tuple[int, int]]: ...

    @property
    def events(self) -> Sequence[RecurringCover]: ...

    @property
    def counted(self) -> int: ...


class Exclusions:
    """All exclusions of one schedule, ready to be asked."""

    __slots__ = ("_ends", "_events", "_starts", "_zone", "crons", "steps_max")

    def __init__(
        self,
        ranges: Sequence[tuple[int, int]],
        crons: Sequence[Cron],
        events: Sequence[RecurringCover],
        zone: Zone,
    ) -> None:
        self._starts, self._ends = _merge(ranges)
        self.crons = tuple(crons)
        self._events = tuple(events)
        self._zone = zone
        # excluded instants that one search may check: fewer when each check is dear
        self.steps_max = max(_STEPS_MIN, _STEPS_WORK // (100 + len(self.crons) + 200 * len(self._events)))

    def end_of(self, unix_ms: int) -> int | None:
        """None when ``unix_ms`` is not left out; else the first instant after what covers it (NEVER: no such)."""
        at = bisect_right(self._starts, unix_ms) - 1
        if at >= 0 and unix_ms <= self._ends[at]:
            return self._ends[at] + 1
        for event in self._events:
            found = event.end_of(unix_ms)
            if found is not None:
                return found
        return self._end_of_crons(unix_ms // 1000) if self.crons else None

    def _end_of_crons(self, unix_s: int) -> int | None:
        _, end, offset, _ = self._zone.segment(unix_s)
        wall = unix_s + offset
        for cron in self.crons:
            if cron.matches_wall(wall):
                free = cron.unmatched_from(wall)
                if free == NEVER:
                    return NEVER
                return min(free - offset, end) * 1000
        return None

    def next_start(self, unix_ms: int) -> int:
        """The first instant at or after ``unix_ms`` that is left out, or NEVER."""
        if self.end_of(unix_ms) is not None:
            return unix_ms
        at = bisect_right(self._starts, unix_ms)
        found = self._starts[at] if at < len(self._starts) else NEVER
        for event in self._events:
            found = min(found, event.next_start(unix_ms))
        for cron in self.crons:
            found = min(found, self._cron_start(cron, -(-unix_ms // 1000)))
        return found

    def _cron_start(self, cron: Cron, unix_s: int) -> int:
        while True:
            _, end, offset, _ = self._zone.segment(unix_s)
            wall = cron.next_wall(unix_s + offset)
            if wall == NEVER:
                return NEVER
            if wall - offset < end:
                return (wall - offset) * 1000
            unix_s = end if end - unix_s < _FAR_S else max(end, wall - offset - _FAR_S)


def read(exclude: Sequence[Exclusion], zone: Zone) -> Exclusions | None:
    """The exclusions of a schedule, None when there are none. Raises InvalidField naming ``exclude.<index>``."""
    if not exclude:
        return None
    if len(exclude) > EXCLUSIONS_MAX:
        raise InvalidField.of("exclude", f"at most {EXCLUSIONS_MAX} are kept")
    ranges: list[tuple[int, int]] = []
    crons: dict[str, Cron] = {}
    events: list[RecurringCover] = []
    errors: list[FieldError] = []
    counted = 0
    for index, exclusion in enumerate(exclude):
        try:
            if isinstance(exclusion, str):
                text = exclusion.lstrip(_BLANK)
                if text[:6].upper() == "BEGIN:":
                    coverage = _read_calendar(text, zone, counted)
                    ranges += coverage.ranges
                    events += coverage.events
                    counted += coverage.counted
                elif text not in crons:
                    crons[text] = _read_cron(text)
            elif exclusion[1] < exclusion[0]:
                errors.append(FieldError(f"exclude.{index}.to_unix_ms", "must not be before from_unix_ms"))
            else:
                ranges.append(exclusion)
        except ValueError as error:  # CronError, CalendarError
            errors.append(FieldError(f"exclude.{index}", str(error)))
    if errors:
        raise InvalidField(errors)
    return Exclusions(ranges, list(crons.values()), events, zone)


def _read_cron(text: str) -> Cron:
    from chalicelib.core.recurrence.cron import Cron  # loaded with the first schedule that needs it

    return Cron(text, excludes=True)


def _read_calendar(text: str, zone: Zone, counted: int) -> CalendarCover:
    """What a calendar covers, after others whose COUNTs add up to ``counted``. Raises CalendarError."""
    from chalicelib.core.recurrence import calendars

    return calendars.read(text, zone, calendars.COUNTS_MAX - counted)


def _merge(ranges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted(ranges):
        if ends and start <= ends[-1] + 1:
            if end > ends[-1]:
                ends[-1] = end
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends
