"""Room for schedules: where a new one counts, and taking those off the counters that have nothing left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.core.errors import CapacityExhausted
from chalicelib.core.schedules import capacity
from chalicelib.core.schedules.capacity import LIMITED_COUNTER, Move, Room, Used
from chalicelib.core.schedules.limits import RELEASE_PAGE_SCHEDULES
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.services import Services

RELEASE_MAX_ROUNDS = 40


class Place(NamedTuple):
    """The counter a schedule is to count in, and what may be in it."""

    counter: int
    room: Room | None


def is_limited(s: Services) -> bool:
    """Whether this deployment has a limit at all."""
    return s.config.job_limit is not None or s.config.memory_limit_bytes is not None


def place(s: Services, shard: int, weight_bytes: int, jobs: int = 1) -> Place:
    """Where to count ``jobs`` more schedules (0: one that counts already and grows by ``weight_bytes``).

    Looks before anything is written or queued, and makes room first if it can; the transaction that follows judges the
    same again. Raises CapacityExhausted.
    """
    if not is_limited(s):
        return Place(1 + shard, None)
    room, used = _look(s)
    if not _fits(room, used, jobs, weight_bytes):
        for each in range(s.config.shards):
            release_spent(s, each)
        room, used = _look(s)
        if not _fits(room, used, jobs, weight_bytes):
            raise exhausted(s)
    return Place(LIMITED_COUNTER, room)


def exhausted(s: Services) -> CapacityExhausted:
    """The error of a deployment that is full."""
    jobs, memory = s.config.job_limit, s.config.memory_limit_bytes
    parts = [f"{jobs} schedules" if jobs is not None else "", f"{memory} bytes" if memory is not None else ""]
    return CapacityExhausted(f"this deployment holds at most {' and '.join(filter(None, parts))}: delete some first")


def _look(s: Services) -> tuple[Room, Used]:
    counters = s.stores.schedules.used()
    room = capacity.room_in_limited(counters, s.config.job_limit, s.config.memory_limit_bytes)
    return room, counters.get(LIMITED_COUNTER, Used(0, 0))


def _fits(room: Room, used: Used, jobs: int, weight_bytes: int) -> bool:
    many = room.jobs is not None and jobs > 0 and used.jobs + jobs > room.jobs
    heavy = room.weight_bytes is not None and used.weight_bytes + weight_bytes > room.weight_bytes
    return not (many or heavy)


def counted(s: Services, before: Schedule | None, definition: Definition, state: State) -> tuple[State, Room | None]:
    """``state`` as one that counts, and the room that was found for it.

    Asked before anything is queued or written. Raises CapacityExhausted.
    """
    weight = capacity.weight_bytes(definition)
    old = None if before is None else before.state
    if old is not None and old.counted >= 0:
        grown = weight - old.weight_bytes
        room = place(s, state.shard, grown, jobs=0).room if grown > 0 else None
        return replace(state, counted=old.counted, weight_bytes=weight), room
    found = place(s, state.shard, weight)
    return replace(state, counted=found.counter, weight_bytes=weight), found.room


def uncounted(state: State) -> State:
    """``state`` as one that does not count."""
    return replace(state, counted=-1, weight_bytes=0)


def used(s: Services) -> Used:
    """All that counts now. Schedules that ended within the last minute may still be in it."""
    return capacity.total(s.stores.schedules.used().values())


def release_spent(s: Services, shard: int) -> int:
    """Take the schedules of a shard that have completed off their counters; how many.

    Each exactly once: its state says whether it counts, and is written in the transaction that moves the counter.
    """
    done = 0
    for _ in range(RELEASE_MAX_ROUNDS):
        keys = s.stores.schedules.spent(shard, s.clock.now_ms(), RELEASE_PAGE_SCHEDULES)
        freed = _release(s, keys) if keys else 0
        done += freed
        if len(keys) < RELEASE_PAGE_SCHEDULES or not freed:
            break
    return done


def _release(s: Services, keys: Sequence[Key]) -> int:
    """Release those of ``keys`` that are spent by their states (the index lags); one by one where they race."""
    now_ms = s.clock.now_ms()
    states = s.stores.schedules.states(keys).values()
    spent = [state for state in states if state.spent_ms is not None and state.spent_ms <= now_ms]
    if not spent or _release_together(s, spent):
        return len(spent)
    return sum(_release_together(s, [state]) for state in spent)


def _release_together(s: Services, spent: Sequence[State]) -> bool:
    jobs, weights = Counter(st.counted for st in spent), Counter[int]()
    for state in spent:
        weights[state.counted] += state.weight_bytes
    writes = [(uncounted(replace(st, rev=st.rev + 1)), st.rev) for st in spent]
    return s.stores.schedules.release(writes, [Move(counter, -n, -weights[counter]) for counter, n in jobs.items()])
