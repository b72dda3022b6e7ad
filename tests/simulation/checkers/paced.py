"""Catch-up: what is more than 2 s late goes out in order and spaced, over all workers together.

Judged by the slots that records name. What is claimed for now has the moment of its claim for a slot. What a pause of
the queue held was taken before the pause. It has its own order, also where one worker finds it free and takes late
instants in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.policies.limits import CATCH_UP_LATE_MS
from tests.simulation.checkers import history
from tests.simulation.world import ExecutionWrite, StateWrite

DECIDED_WITHIN_MS = 400  # of the calls between giving out a slot and writing the record


class Slot(NamedTuple):
    """When a late instant may go out; ``exact`` when its record says so, else by when it was claimed."""

    at_ms: int
    exact: bool
    key: ExecutionKey
    write: ExecutionWrite
    was_held: bool = False  # by a pause of its queue, before this write


def check(play: Any) -> Iterable[str]:
    """The slots of every schedule with a grid."""
    if any(point.startswith("fault:stall") for point in play.world.hits):
        return  # who stood still between the two writes claims later than its slot
    record = play.world.record
    interval_ms = -(-60_000 // play.scenario.catch_up_per_minute)
    for name, states in record.schedules.items():
        slots = [
            slot
            for key, writes in record.executions.items()
            if key.schedule_id == name.id and (slot := _slot(key, writes, states)) is not None
        ]
        slots.sort(key=lambda s: (s.at_ms, s.key.firing_ms))
        for before, after in pairwise(slots):
            slack_ms = 0 if before.exact else DECIDED_WITHIN_MS
            apart_ms = after.at_ms - before.at_ms
            if apart_ms < interval_ms - slack_ms:
                yield f"{after.key.id} goes out {apart_ms} ms after {before.key.id}, not {interval_ms}"
        yield from _in_order(slots)


def _first(writes: Sequence[ExecutionWrite]) -> ExecutionWrite:
    """The first write of a record, or what followed when the pause of its queue was over."""
    if not writes[0].record.is_held:
        return writes[0]
    return next((w for w in writes if not w.record.is_held), writes[0])


def _slot(key: ExecutionKey, writes: Sequence[ExecutionWrite], states: Sequence[StateWrite]) -> Slot | None:
    first = _first(writes)
    found, was_held = first.record, first is not writes[0]
    if found.requested or found.manual or found.history or found.is_held:
        return None
    if history.definition_of(states, found.version).late_limit_ms is None:
        return None
    claimed_late_ms = found.created_ms - key.firing_ms - found.offset_ms
    if found.retry_at_ms is not None and found.fencing_token and claimed_late_ms <= CATCH_UP_LATE_MS:
        return None  # claimed on time and handed back: it waited in vain for its turn among others
    if found.retry_at_ms is not None and not found.attempt:
        return Slot(found.retry_at_ms, True, key, first, was_held)
    decided_ms = found.created_ms if found.held_until_ms is None else found.held_until_ms
    late_ms = decided_ms - key.firing_ms - found.offset_ms
    is_late = found.attempt == 1 and late_ms > CATCH_UP_LATE_MS + DECIDED_WITHIN_MS
    return Slot(decided_ms, False, key, first, was_held) if is_late else None


def _in_order(slots: Sequence[Slot]) -> Iterable[str]:
    """What one worker takes at once goes out in the order of its instants, and so does what it finds free at once."""
    calls: dict[tuple[int, str, bool], list[Slot]] = {}
    for slot in slots:
        calls.setdefault((id(slot.write.call), slot.write.record.version, slot.was_held), []).append(slot)
    for several in calls.values():
        for before, after in pairwise(several):
            if after.key.firing_ms < before.key.firing_ms:
                yield f"{before.key.id} goes out before {after.key.id}, which was taken with it"
