"""Ticks: the boundaries of the calendar, numbered without gaps, one stream for each frequency.

The next boundary is computed from an instant each time and never accumulated. Boundaries follow the clock on the wall
of one zone (``CHRONO_TZ``):

- ``second``: every whole unix second, the same in all zones.
- ``minute`` and ``hour``: whenever the local clock shows a full minute or hour. In Kolkata (UTC+5:30) hours begin at
  half past the hour of UTC. A day of 25 hours has 25 hour ticks, one of 23 hours has 23. When the clock jumps over a
  full hour without showing one, the hour begins at the jump (Lord Howe Island, half an hour in October).
- ``day``: the first instant of each local date, one for each date that exists; where midnight is skipped, the end of
  the gap.

A cursor holds the last numbered boundary. It only moves forward: a clock that steps back gets no ticks until it has
passed that boundary again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from chalicelib.core.recurrence.zones import Segment, Zone
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import TICK_CATCH_UP_MAX_COUNT, TICK_GRACE_MS, TICK_RESERVE_AHEAD_MS

SCHEMA_VERSION: Final = 1

_SIZE_S: Final[dict[Frequency, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_NANOS_PER_S: Final = 1_000_000_000
_NANOS_PER_MS: Final = 1_000_000
_LONGEST_JUMP_S: Final = 26 * 3600  # Samoa jumped 24 hours; no zone more


# -- a tick


class Tick(Struct, frozen=True):
    """One emitted boundary. ``timestamp`` is in unix nanoseconds; ``caught_up`` marks one emitted after an outage."""

    id: str
    timestamp: int
    frequency: Frequency
    sequence: int
    seed: int
    schema_version: int
    producer_version: str
    instance_id: str
    caught_up: bool = False

    def as_json(self) -> dict[str, object]:
        """The published object; ``caught_up`` appears only when true."""
        wire: dict[str, object] = {
            "id": self.id,
            "timestamp": self.timestamp,
            "frequency": self.frequency,
            "sequence": self.sequence,
            "seed": self.seed,
            "schema_version": self.schema_version,
            "producer_version": self.producer_version,
            "instance_id": self.instance_id,
        }
        return {**wire, "caught_up": True} if self.caught_up else wire


def build(
    frequency: Frequency,
    boundary_nanos: int,
    sequence: int,
    producer_version: str,
    instance_id: str,
    caught_up: bool = False,
) -> Tick:
    """The tick of a boundary: everything but the last three arguments follows from the first three."""
    return Tick(
        id=f"{frequency}-{boundary_nanos}-{sequence}",
        timestamp=boundary_nanos,
        frequency=frequency,
        sequence=sequence,
        seed=boundary_nanos ^ sequence,
        schema_version=SCHEMA_VERSION,
        producer_version=producer_version,
        instance_id=instance_id,
        caught_up=caught_up,
    )


# -- boundaries


def next_boundary(now_nanos: int, frequency: Frequency, zone: Zone) -> int:
    """The first boundary strictly after ``now_nanos``, in unix nanoseconds."""
    # A boundary is a whole second, so it is after the instant exactly when it is after the second that holds it.
    return _next_s(now_nanos // _NANOS_PER_S, frequency, zone) * _NANOS_PER_S


def boundaries(after_nanos: int, until_nanos: int, frequency: Frequency, zone: Zone) -> Iterator[int]:
    """Every boundary in (after, until], ascending."""
    found = next_boundary(after_nanos, frequency, zone)
    while found <= until_nanos:
        yield found
        found = next_boundary(found, frequency, zone)


def count_boundaries(after_nanos: int, until_nanos: int, frequency: Frequency, zone: Zone) -> int:
    """How many boundaries lie in (after, until]; by arithmetic where an outage of months may hold millions."""
    if frequency == "day":
        return sum(1 for _ in boundaries(after_nanos, until_nanos, frequency, zone))
    after_s, until_s = after_nanos // _NANOS_PER_S, until_nanos // _NANOS_PER_S
    if frequency == "second":
        return max(0, until_s - after_s)
    return _count_on_wall(after_s, until_s, _SIZE_S[frequency], zone)


def _next_s(unix_s: int, frequency: Frequency, zone: Zone) -> int:
    size = _SIZE_S[frequency]
    if size == 1:
        return unix_s + 1
    while True:
        _, end, offset, _ = zone.segment(unix_s)
        wall = ((unix_s + offset) // size + 1) * size
        instant = wall - offset
        if instant < end:
            if frequency != "day" or zone.instants_of(wall)[0] == instant:
                return instant
            unix_s = instant  # this date has begun before: the zone went back over its midnight
            continue
        if _begins_at(zone.segment(end), size) and not (frequency == "day" and _is_second_midnight(end, zone)):
            return end
        unix_s = end


def _begins_at(segment: Segment, size: int) -> bool:
    """Whether the clock shows a multiple of ``size`` at the segment's start, or jumped over one."""
    start, _, offset, before = segment
    shown, expected = start + offset, start + before
    return shown % size == 0 or expected // size < shown // size or (expected % size == 0 and expected < shown)


def _is_second_midnight(unix_s: int, zone: Zone) -> bool:
    wall = unix_s + zone.offset(unix_s)
    return wall % _SIZE_S["day"] == 0 and zone.instants_of(wall)[0] < unix_s


def _count_on_wall(after_s: int, until_s: int, size: int, zone: Zone) -> int:
    count = 0
    while after_s < until_s:
        _, end, offset, _ = zone.segment(after_s)
        last = min(until_s, end - 1)
        count += (last + offset) // size - (after_s + offset) // size
        after_s = last
        if end <= until_s:
            count += _begins_at(zone.segment(end), size)
            after_s = end
    return count


# -- numbering


class TickCursor(Struct, frozen=True):
    """The last boundary (unix nanoseconds) that was numbered or recorded as a gap, and the last number given."""

    boundary_nanos: int = 0
    sequence: int = 0


class Policy(Struct, frozen=True):
    """What becomes of boundaries that passed more than ``grace_nanos`` ago without a tick.

    The newest ``catch_up_max`` of them are emitted late and say so; the others become one gap record (0: all of them).
    Boundaries up to ``ahead_nanos`` in the future are numbered too, so that each can be published at its instant.
    """

    catch_up_max: int = TICK_CATCH_UP_MAX_COUNT
    grace_nanos: int = TICK_GRACE_MS * _NANOS_PER_MS
    ahead_nanos: int = TICK_RESERVE_AHEAD_MS * _NANOS_PER_MS


class Reserved(Struct, frozen=True):
    """A numbered boundary, to be published at its instant (at once when ``caught_up``)."""

    boundary_nanos: int
    sequence: int
    caught_up: bool


class Gap(Struct, frozen=True):
    """Boundaries that get no tick and no number: ``count`` of them, from the first to the last (unix nanoseconds)."""

    from_nanos: int
    to_nanos: int
    count: int


class Reservation(Struct, frozen=True):
    """What to publish and record, and the cursor that makes it true once it is written."""

    ticks: tuple[Reserved, ...]
    gap: Gap | None
    new_cursor: TickCursor


def reserve(
    cursor: TickCursor, now_nanos: int, frequency: Frequency, zone: Zone, limit: int, policy: Policy
) -> Reservation:
    """Number at most ``limit`` boundaries after the cursor.

    A fresh cursor starts with the next boundary. The same arguments give the same answer. So a reservation whose cursor
    was written and whose ticks were not can be made again from the old cursor. When ``new_cursor`` equals ``cursor``
    there is nothing to do, also while the clock is behind it.
    """
    if cursor == TickCursor():
        cursor = skip_to(cursor, now_nanos)
    overdue_nanos = now_nanos - policy.grace_nanos
    gap, missed = _missed(cursor.boundary_nanos, overdue_nanos, frequency, zone, policy.catch_up_max)
    coming = boundaries(max(cursor.boundary_nanos, overdue_nanos), now_nanos + policy.ahead_nanos, frequency, zone)
    slots = [(b, True) for b in missed[:limit]]
    slots += [(b, False) for b in islice(coming, limit - len(slots))]
    ticks = tuple(Reserved(b, cursor.sequence + i, late) for i, (b, late) in enumerate(slots, start=1))
    return Reservation(ticks, gap, _moved(cursor, gap, ticks))


def skip_to(cursor: TickCursor, now_nanos: int) -> TickCursor:
    """The cursor for going on after a pause without owed instants (a fresh stream, one that was disabled)."""
    return TickCursor(max(cursor.boundary_nanos, now_nanos), cursor.sequence)


def _missed(
    after_nanos: int, until_nanos: int, frequency: Frequency, zone: Zone, catch_up_max: int
) -> tuple[Gap | None, list[int]]:
    """The boundaries in (after, until]: all but the newest ``catch_up_max`` as a gap, and those."""
    reach_s = (catch_up_max + 2) * _SIZE_S[frequency] + (0 if frequency == "second" else _LONGEST_JUMP_S)
    start_nanos = max(after_nanos, until_nanos - reach_s * _NANOS_PER_S)
    newest = deque(boundaries(start_nanos, until_nanos, frequency, zone), maxlen=catch_up_max + 1)
    if len(newest) <= catch_up_max:
        return None, list(newest)
    last_skipped = newest.popleft()
    count = count_boundaries(after_nanos, last_skipped, frequency, zone)
    return Gap(next_boundary(after_nanos, frequency, zone), last_skipped, count), list(newest)


def _moved(cursor: TickCursor, gap: Gap | None, ticks: tuple[Reserved, ...]) -> TickCursor:
    if ticks:
        return TickCursor(ticks[-1].boundary_nanos, ticks[-1].sequence)
    return TickCursor(gap.to_nanos, cursor.sequence) if gap else cursor
