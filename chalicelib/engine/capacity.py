"""Capacity: whether another schedule fits the limits, and releasing the schedules that have nothing left to do."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.core.errors import CapacityExhausted
from chalicelib.core.schedules import capacity
from chalicelib.core.schedules.capacity import Limits, Used
from chalicelib.core.schedules.limits import RELEASE_PAGE_SCHEDULES
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.services import Services

RELEASE_MAX_ROUNDS = 40


def limits(s: Services) -> Limits | None:
    """What this deployment may hold; None without any limit."""
    jobs, weight_bytes = s.config.job_limit, s.config.memory_limit_bytes
    return None if jobs is None and weight_bytes is None else Limits(jobs, weight_bytes)


def ensure_capacity(s: Services, jobs: int, weight_bytes: int) -> None:
    """Check for so much more before anything is written or queued, and release spent schedules first if need be. The
    write that follows judges the same again. Raises CapacityExhausted."""
    allowed = limits(s)
    if allowed is None or allowed.allow(s.stores.schedules.used(), jobs, weight_bytes):
        return
    for shard in range(s.config.shards):
        release_spent(s, shard)
    if not allowed.allow(s.stores.schedules.used(), jobs, weight_bytes):
        raise exhausted(s)


def exhausted(s: Services) -> CapacityExhausted:
    """The error of a deployment that is full."""
    jobs, memory = s.config.job_limit, s.config.memory_limit_bytes
    parts = [f"{jobs} schedules" if jobs is not None else "", f"{memory} bytes" if memory is not None else ""]
    return CapacityExhausted(f"this deployment holds at most {' and '.join(filter(None, parts))}: delete some first")


def counted(s: Services, before: Schedule | None, definition: Definition, state: State) -> State:
    """``state`` as one that counts, when the capacity is free. Where no limit is set, plain one-shots do not.

    Asked before anything is queued or written. Raises CapacityExhausted.
    """
    weight = capacity.weight_bytes(definition)
    old = None if before is None else before.state
    if old is not None and old.counted >= 0:
        if weight > old.weight_bytes:
            ensure_capacity(s, 0, weight - old.weight_bytes)
        return replace(state, counted=old.counted, weight_bytes=weight)
    if limits(s) is None and capacity.counts_under_limits_alone(definition):
        return capacity.unlimited(state)
    ensure_capacity(s, 1, weight)
    return replace(state, counted=s.stores.schedules.place(state.shard, limits(s)), weight_bytes=weight)


def used(s: Services) -> Used:
    """All that counts now. Schedules that ended within the last minute may still be in it."""
    return s.stores.schedules.used()


def release_spent(s: Services, shard: int) -> int:
    """Note which schedules of a shard have completed, and take them off what counts; how many.

    Each exactly once: its state says whether it counts, and is written with what it counted for.
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
    """Release those of ``keys`` that are spent by their states: the list of them may lag."""
    now_ms = s.clock.now_ms()
    states = s.stores.schedules.states(keys).values()
    spent = [state for state in states if state.spent_ms is not None and state.spent_ms <= now_ms]
    return sum(s.stores.schedules.release(spent)) if spent else 0
