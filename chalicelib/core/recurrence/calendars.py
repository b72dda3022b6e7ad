"""iCalendar (RFC 5545) events, read as the stretches of time that they cover.

Understood: VEVENT with DTSTART, DTEND or DURATION, RRULE, RDATE, EXDATE, RECURRENCE-ID (a moved instance), STATUS (a
cancelled event covers nothing), SEQUENCE (the latest revision counts). Times may be all-day, UTC, floating, or with a
TZID by its IANA name. VTIMEZONE bodies are not read: the name decides. As the RFC has it, DTEND is the first moment
that is no longer covered. What else would change coverage is refused: EXRULE, RANGE, RDATE with periods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.calendar_periods import Period, parse_period
from chalicelib.core.recurrence.icalendar_text import CalendarError, Event, Property, read_events
from chalicelib.core.recurrence.rrule import RuleGrid
from chalicelib.core.recurrence.rrule_times import Removed, RuleSet, When, read_when, removed
from chalicelib.core.recurrence.walltime import WallClock
from chalicelib.core.recurrence.zones import Zone

COUNTS_MAX: Final = 50_000
_COUNT: Final = re.compile(r"COUNT=([0-9]{1,9})", re.IGNORECASE)
_DAY: Final = Period(0, 1, 0)
_MOMENT: Final = Period(0, 0, 1)


class RecurringEvent:
    """An event with an RRULE: covers ``length`` from each of its occurrences. Instants are unix milliseconds."""

    __slots__ = ("_clock", "_free", "_length", "_reach_s", "_zone")

    def __init__(self, grid: RuleGrid, taken: Removed, zone: Zone, length: Period) -> None:
        # RFC 5545, 3.3.5: in a gap the offset from before it counts, of two the first is meant
        self._clock = WallClock(RuleSet(grid, taken), zone, elapsed=grid.elapsed, gap="shift", overlap="once")
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
    counted: int  # what its COUNTs add up to


def read(text: str, zone: Zone, count_max: int = COUNTS_MAX) -> Coverage:
    """The coverage of all VEVENTs in ``text``; ``zone`` is that of floating times. Raises CalendarError.

    Each COUNT is counted out once, so together they may be at most ``count_max``.
    """
    ranges: list[tuple[int, int]] = []
    recurring: list[RecurringEvent] = []
    events = _latest(read_events(text), zone)
    moved: dict[str, list[When]] = {}
    for event, instance in events:
        if instance is not None:
            moved.setdefault(event.uid, []).append(instance)
    counted = sum(_count(rule.value) for event, _ in events for rule in event.every("RRULE"))
    if counted > count_max:
        raise CalendarError(f"the COUNTs of all calendars add up to more than {COUNTS_MAX}: use UNTIL")
    for event, instance in events:
        try:
            _cover(event, zone, moved.get(event.uid, ()) if instance is None else None, ranges, recurring)
        except (ValueError, OverflowError) as error:
            raise CalendarError(f"{event.label}: {error}") from None
    return Coverage(tuple(ranges), tuple(recurring), counted)


def _latest(events: Sequence[Event], zone: Zone) -> list[tuple[Event, When | None]]:
    """Each event with the instance that it moves, if it moves one; of several revisions (SEQUENCE) the latest."""
    revisions: dict[tuple[str, object], list[tuple[Event, When | None]]] = {}
    for number, event in enumerate(events):
        try:
            instance = _instance(event, zone)
        except (ValueError, OverflowError) as error:
            raise CalendarError(f"{event.label}: {error}") from None
        which = None if instance is None else (instance.is_date, instance.unix_s)
        revisions.setdefault((event.uid, which) if event.uid else ("", number), []).append((event, instance))
    latest: list[tuple[Event, When | None]] = []
    for several in revisions.values():
        highest = max(_sequence(event) for event, _ in several) if len(several) > 1 else None
        latest += [found for found in several if highest is None or _sequence(found[0]) == highest]
    return latest


def _count(rule: str) -> int:
    found = _COUNT.search(rule)
    return int(found[1]) if found is not None else 0


def _instance(event: Event, zone: Zone) -> When | None:
    found = event.one("RECURRENCE-ID")
    if found is None:
        return None
    if "RANGE" in found.parameters:
        raise CalendarError("RANGE, which moves further instances, is not understood")
    if event.every("RRULE") or event.every("RDATE"):
        raise CalendarError("is a moved instance (RECURRENCE-ID) and recurs itself")
    return read_when(found.value, found.parameters, zone)


def _sequence(event: Event) -> int:
    found = event.one("SEQUENCE")
    if found is None:
        return 0
    if not (found.value.isascii() and found.value.isdigit() and len(found.value) < 10):
        raise CalendarError(f"{event.label}: SEQUENCE {found.value[:20]!r} is not a number")
    return int(found.value)


def _cover(
    event: Event,
    zone: Zone,
    moved: Sequence[When] | None,
    ranges: list[tuple[int, int]],
    recurring: list[RecurringEvent],
) -> None:
    """Add what an event covers; ``moved`` are the instances of its series that others move, None when it is one."""
    if event.every("EXRULE"):
        raise CalendarError("EXRULE is not understood")
    status = event.one("STATUS")
    if status is not None and status.value.upper() == "CANCELLED":
        return
    begin = event.one("DTSTART")
    if begin is None:
        raise CalendarError("has no DTSTART")
    start = read_when(begin.value, begin.parameters, zone)
    length = _length(event, start, zone)
    taken = removed([*_times(event.every("EXDATE"), zone), *(moved or ())], start)
    # DTSTART is an instance whether or not the rule names it (RFC 5545, 3.8.2.4), and RDATE adds further ones
    added = _times(event.every("RDATE"), zone)
    if any(when.is_date != start.is_date for when in added):
        raise CalendarError("RDATE must hold dates when DTSTART is a date, and else times")
    kept = [when for when in (start, *added) if not taken.has(when.wall_in(start.zone))]
    ranges += [(when.unix_s * 1000, end_of(when.unix_s, when.zone, length) - 1) for when in kept]
    grids = [RuleGrid(rule.value, start.wall_s, start.zone) for rule in event.every("RRULE")]
    recurring += [RecurringEvent(grid, taken, start.zone, length) for grid in grids]


def _times(properties: Sequence[Property], zone: Zone) -> list[When]:
    found: list[When] = []
    for each in properties:
        if each.parameters.get("VALUE", "").upper() == "PERIOD":
            raise CalendarError(f"{each.name} with periods is not understood")
        found += [read_when(value, each.parameters, zone) for value in each.value.split(",") if value.strip()]
    return found


def _length(event: Event, start: When, zone: Zone) -> Period:
    finish, duration = event.one("DTEND"), event.one("DURATION")
    length = _DAY if start.is_date else _MOMENT
    if duration is not None:
        length = parse_period(duration.value.removeprefix("+"))
        if length.months:
            raise CalendarError("DURATION has no months or years")
    if finish is not None:
        until_end = _until(read_when(finish.value, finish.parameters, zone), start)
        if duration is not None and until_end != length:
            raise CalendarError("DTEND and DURATION say two things")
        length = until_end
    if length.days < 0 or length.time_ms < 0:
        raise CalendarError("ends before it begins")
    if length == Period(0, 0, 0):
        return _DAY if start.is_date else _MOMENT
    return length


def _until(end: When, start: When) -> Period:
    if end.is_date != start.is_date:
        raise CalendarError("DTSTART and DTEND must both be dates, or neither")
    if start.is_date:
        return Period(0, (end.wall_s - start.wall_s) // 86_400, 0)
    return Period(0, 0, (end.unix_s - start.unix_s) * 1000)


__all__ = ["CalendarError", "Coverage", "RecurringEvent", "read"]
