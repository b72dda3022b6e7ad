"""What a deployment may hold: how many schedules count, and how much they weigh.

Every schedule that is not deleted and not completed counts, in one of a few counters whose number its state remembers.
Where a limit is set all new schedules count in counter 0, so that one conditional write can judge the limit exactly;
where none is set they count in the counter of their shard, so that nothing is hot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from chalicelib.core.schedules.schedule import Definition, Schedule, State

BASE_WEIGHT_BYTES = 1024  # state, keys and index entries of any schedule
LIMITED_COUNTER = 0


class Used(NamedTuple):
    """What one counter holds, or all of them together."""

    jobs: int
    weight_bytes: int


class Room(NamedTuple):
    """What a counter may hold once a schedule was added to it; None = without limit."""

    jobs: int | None
    weight_bytes: int | None


class Move(Struct, frozen=True):
    """A change of one counter, made in the transaction of the schedule that causes it. ``room`` is judged on the spot:
    without room nothing of the transaction is written."""

    counter: int
    jobs: int
    weight_bytes: int
    room: Room | None = None


def weight_bytes(definition: Definition) -> int:
    """About how many bytes a schedule takes up: its texts, and the same again for every schedule."""
    texts = (definition.payload, definition.expr, definition.name or "", str(dict(definition.target)))
    excluded = sum(len(e) if isinstance(e, str) else 32 for e in definition.exclude)
    return BASE_WEIGHT_BYTES + sum(len(text.encode()) for text in texts) + excluded


def counts(definition: Definition, state: State) -> bool:
    """Whether a schedule in this state counts: it may still have something to do."""
    if state.status == "deleted" or is_cancelled(definition, state):
        return False
    exhausted = definition.active and state.next_run_ms is None and state.queued_ms is None
    return not exhausted


def is_cancelled(definition: Definition, state: State) -> bool:
    """Whether the schedule was cancelled as a job, and not resumed since."""
    return state.outcome == "cancelled" and not definition.active


def moves(before: Schedule | None, after: Schedule, room: Room | None) -> tuple[Move, ...]:
    """What a change of a schedule does to the counters. ``room`` is asked only of what grows."""
    old, new = (None if before is None else before.state), after.state
    moved: list[Move] = []
    old_counter, old_weight = (-1, 0) if old is None else (old.counted, old.weight_bytes)
    if old_counter == new.counted:
        grown = new.weight_bytes - old_weight
        if new.counted >= 0 and grown:
            moved.append(Move(new.counted, 0, grown, _weight_only(room) if grown > 0 else None))
        return tuple(moved)
    if old_counter >= 0:
        moved.append(Move(old_counter, -1, -old_weight))
    if new.counted >= 0:
        moved.append(Move(new.counted, 1, new.weight_bytes, room))
    return tuple(moved)


def _weight_only(room: Room | None) -> Room | None:
    return None if room is None or room.weight_bytes is None else Room(None, room.weight_bytes)


def total(counters: Iterable[Used]) -> Used:
    """All counters together; what late repairs left below zero is shown as none."""
    several = list(counters)
    return Used(max(0, sum(u.jobs for u in several)), max(0, sum(u.weight_bytes for u in several)))


def room_in_limited(counters: Mapping[int, Used], jobs_limit: int | None, weight_limit: int | None) -> Room:
    """What counter 0 may hold under the limits: they are for all counters together, and what still counts in others
    (from a time without limits) only ever becomes less."""
    others = total(used for number, used in counters.items() if number != LIMITED_COUNTER)
    return Room(
        None if jobs_limit is None else jobs_limit - others.jobs,
        None if weight_limit is None else weight_limit - others.weight_bytes,
    )
