"""iCalendar (RFC 5545) events, read as the stretches of time that they cover.

Understood: VEVENT with DTSTART, DTEND or DURATION, RRULE, RDATE, EXDATE, RECURRENCE-ID (a moved instance), STATUS
(a cancelled event covers nothing); all-day events, UTC, floating times and TZID by its IANA name. VTIMEZONE bodies are
not read: the name decides. As the RFC has it, DTEND is the first moment that is no longer covered.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from msgspec import Struct, field

from chalicelib.core.recurrence import zones
from chalicelib.core.recurrence.calendar_periods import Period, parse_period
from chalicelib.core.recurrence.cron import NEVER
from chalicelib.core.recurrence.rrule import RuleError, RuleGrid, wall_seconds
from chalicelib.core.recurrence.walltime import WallClock
from chalicelib.core.recurrence.zones import Zone

EVENTS_MAX: Final = 5_000
_NAME: Final = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_PARAMETER: Final = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^";:]*)', re.ASCII)
_DAY: Final = Period(0, 1, 0)
_MOMENT: Final = Period(0, 0, 1)


class CalendarError(ValueError):
    """Raised when iCalendar text cannot be read."""


class Property(NamedTuple):
    """One content line."""

    name: str
    parameters: dict[str, str]
    value: str


class When(Struct, frozen=True):
    """A date or date-time: seconds on the wall clock of ``zone``."""

    wall_s: int
    zone: Zone
    is_date: bool

    @property
    def unix_s(self) -> int:
        """Its instant."""
        return self.zone.resolve(self.wall_s)


class _Draft(Struct):
    properties: list[Property] = field(default_factory=list)

    def one(self, name: str) -> Property | None:
        return next((p for p in self.properties if p.name == name), None)

    def every(self, name: str) -> list[Property]:
        return [p for p in self.properties if p.name == name]


class _Without:
    """A grid without some of its times (EXDATE and moved instances)."""

    __slots__ = ("_grid", "_removed")

    def __init__(self, grid: RuleGrid, removed: frozenset[int]) -> None:
        self._grid = grid
        self._removed = removed

    def next_wall(self, wall_s: int) -> int:
        found = self._grid.next_wall(wall_s)
        while found in self._removed:
            found = self._grid.next_wall(found + 1)
        return found


class RecurringEvent:
    """An event with an RRULE: covers ``length`` from each of its occurrences. Instants are unix milliseconds."""

    __slots__ = ("_clock", "_free", "_length", "_reach_s", "_zone")

    def __init__(self, grid: RuleGrid, removed: frozenset[int], zone: Zone, length: Period) -> None:
        # RFC 5545, 3.3.5: in a gap the offset from before it counts, of two the first is meant
        self._clock = WallClock(_Without(grid, removed), zone, elapsed=grid.elapsed, gap="shift", overlap="once")
        self._zone = zone
        self._length = length
        self._free = (0, 0)  # a stretch known to be uncovered: most questions come in order
        self._reach_s = length.average_ms // 1000 + 2 * 86_400

    def end_of(self, unix_ms: int) -> int | None:
        """The first instant after the occurrence that covers ``unix_ms``, or None."""
        free_from, free_until = self._free
        if free_from <= unix_ms < free_until:
            return None
        now_s = unix_ms // 1000
        start = self._clock.next_from(now_s - self._reach_s)
        while start <= now_s:
            end = self._end(start)
            if unix_ms < end:
                return end
            start = self._clock.next_from(start + 1)
        self._free = (unix_ms, start * 1000 if start != NEVER else NEVER)
        return None

    def next_start(self, unix_ms: int) -> int:
        """The first start at or after ``unix_ms``, or NEVER."""
        found = self._clock.next_from(-(-unix_ms // 1000))
        return found * 1000 if found != NEVER else NEVER

    def _end(self, start_s: int) -> int:
        return end_of(start_s, self._zone, self._length)


def end_of(start_s: int, zone: Zone, length: Period) -> int:
    """Unix ms of ``length`` after an instant: days on the wall clock, the rest elapsed."""
    if length.days:
        start_s = zone.resolve(start_s + zone.offset(start_s) + length.days * 86_400)
    return start_s * 1000 + length.time_ms


class Coverage(Struct, frozen=True):
    """What a calendar covers: single stretches (both ends included, unix ms) and recurring events."""

    ranges: tuple[tuple[int, int], ...]
    events: tuple[RecurringEvent, ...]


def read(text: str, zone: Zone) -> Coverage:
    """The coverage of all VEVENTs in ``text``; ``zone`` is that of floating times. Raises CalendarError."""
    drafts = _drafts(text)
    if not drafts:
        raise CalendarError("holds no VEVENT")
    if len(drafts) > EVENTS_MAX:
        raise CalendarError(f"holds more than {EVENTS_MAX} events")
    moved = _moved_instances(drafts, zone)
    ranges: list[tuple[int, int]] = []
    events: list[RecurringEvent] = []
    for draft in drafts:
        try:
            _cover(draft, zone, moved, ranges, events)
        except (ValueError, OverflowError) as error:
            raise CalendarError(f"{_label(draft)}: {error}") from None
    return Coverage(tuple(ranges), tuple(events))


def unfold(text: str) -> list[str]:
    """Content lines with their continuations joined (RFC 5545, 3.1)."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += line[1:]
        elif line.strip():
            lines.append(line)
    return lines


def _drafts(text: str) -> list[_Draft]:
    drafts: list[_Draft] = []
    depth: list[str] = []
    for line in unfold(text):
        found = _property(line)
        if found.name == "BEGIN":
            depth.append(found.value.strip().upper())
            if depth[-1] == "VEVENT":
                drafts.append(_Draft())
        elif found.name == "END":
            if not depth or depth.pop() != found.value.strip().upper():
                raise CalendarError(f"END:{found.value} closes nothing")
        elif depth and depth[-1] == "VEVENT":
            drafts[-1].properties.append(found)
    if depth:
        raise CalendarError(f"{depth[-1]} is not closed")
    return drafts


def _property(line: str) -> Property:
    name = _NAME.match(line)
    if name is None:
        raise CalendarError(f"{line[:40]!r} is not a content line")
    at, parameters = name.end(), {}
    while found := _PARAMETER.match(line, at):
        parameters[found[1].upper()] = found[2].strip('"')
        at = found.end()
    if line[at : at + 1] != ":":
        raise CalendarError(f"{line[:40]!r} is not a content line")
    return Property(name[0].upper(), parameters, line[at + 1 :])


def _label(draft: _Draft) -> str:
    found = draft.one("SUMMARY") or draft.one("UID")
    return f"event {found.value[:40]!r}" if found else "an event"


def _when(value: str, parameters: dict[str, str], zone: Zone) -> When:
    if value.endswith("Z"):
        return When(wall_seconds(value[:-1]), zones.zone("UTC"), False)
    named = zones.zone(parameters["TZID"].removeprefix("/")) if "TZID" in parameters else zone
    return When(wall_seconds(value), named, "T" not in value)


def _uid(draft: _Draft) -> str:
    found = draft.one("UID")
    return found.value if found else ""


def _moved_instances(drafts: list[_Draft], zone: Zone) -> dict[str, list[When]]:
    moved: dict[str, list[When]] = {}
    for draft in drafts:
        found = draft.one("RECURRENCE-ID")
        if found is None:
            continue
        try:
            moved.setdefault(_uid(draft), []).append(_when(found.value.strip(), found.parameters, zone))
        except ValueError as error:
            raise CalendarError(f"{_label(draft)}: {error}") from None
    return moved


def _cover(
    draft: _Draft,
    zone: Zone,
    moved: dict[str, list[When]],
    ranges: list[tuple[int, int]],
    events: list[RecurringEvent],
) -> None:
    status = draft.one("STATUS")
    if status is not None and status.value.strip().upper() == "CANCELLED":
        return
    begin = draft.one("DTSTART")
    if begin is None:
        raise CalendarError("has no DTSTART")
    start = _when(begin.value.strip(), begin.parameters, zone)
    length = _length(draft, start, zone)
    removed_at = [_when(v, p.parameters, zone) for p in draft.every("EXDATE") for v in p.value.strip().split(",")]
    rule = draft.one("RRULE")
    if rule is not None and draft.one("RECURRENCE-ID") is None:
        removed_at += moved.get(_uid(draft), [])
    removed = frozenset(w.wall_s if w.is_date else w.unix_s + start.zone.offset(w.unix_s) for w in removed_at)
    # DTSTART is an instance whether or not the rule names it (RFC 5545, 3.8.2.4), and RDATE adds further ones
    single = [start]
    for extra in draft.every("RDATE"):
        if extra.parameters.get("VALUE", "").upper() == "PERIOD":
            raise CalendarError("RDATE with periods is not understood")
        single += [_when(v, extra.parameters, zone) for v in extra.value.strip().split(",")]
    kept = [when for when in single if when.wall_s not in removed]
    ranges += [(when.unix_s * 1000, end_of(when.unix_s, when.zone, length) - 1) for when in kept]
    if rule is not None:
        grid = RuleGrid(rule.value, start.wall_s, start.zone)
        events.append(RecurringEvent(grid, removed, start.zone, length))


def _length(draft: _Draft, start: When, zone: Zone) -> Period:
    finish, duration = draft.one("DTEND"), draft.one("DURATION")
    if finish is not None:
        end = _when(finish.value.strip(), finish.parameters, zone)
        if end.is_date != start.is_date:
            raise CalendarError("DTSTART and DTEND must both be dates, or neither")
        length = (
            Period(0, (end.wall_s - start.wall_s) // 86_400, 0)
            if start.is_date
            else Period(0, 0, (end.unix_s - start.unix_s) * 1000)
        )
    elif duration is not None:
        length = parse_period(duration.value.strip().removeprefix("+"))
    else:
        length = _DAY if start.is_date else _MOMENT
    if length.days < 0 or length.time_ms < 0:
        raise CalendarError("ends before it begins")
    if length == Period(0, 0, 0):
        return _DAY if start.is_date else _MOMENT
    if length.months:
        raise CalendarError("DURATION has no months or years")
    return length


__all__ = ["CalendarError", "Coverage", "RecurringEvent", "RuleError", "read", "unfold"]
