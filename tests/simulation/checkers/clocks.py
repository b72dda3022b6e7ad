"""Invariant 5: ``next_run`` only moves forward within a version, whatever the clocks do; stamps only grow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.schedules.schedule import Key, State
from tests.simulation.checkers import history
from tests.simulation.world import StateWrite


def check(play: Any) -> Iterable[str]:
    """Consecutive states of each schedule, and the stamps of each instance."""
    record = play.world.record
    yield from (f"a stamp went back: {text}" for text in record.stamps_backward)
    for key, writes in record.schedules.items():
        yield from _forward(key, writes)


def _forward(key: Key, writes: Sequence[StateWrite]) -> Iterable[str]:
    is_delay = history.current_definition(writes).type == "DELAY"
    for before, after in itertools.pairwise(writes):
        old, new = before.state, after.state
        if new.rev != old.rev + 1:
            yield f"{key.id}: a write of rev {new.rev} replaced rev {old.rev}"
        if new.versions[-1].since_ms < old.versions[-1].since_ms:
            yield f"{key.id}: version {new.versions[-1]} is older than {old.versions[-1]}"
        if new.versions[-1] == old.versions[-1] and not is_delay and not _is_forward(old, new):
            yield (
                f"{key.id}: next_run went from {old.next_run_ms} to {new.next_run_ms} "
                f"(queued {old.queued_ms} to {new.queued_ms}) within a version, by {after.instance.name}"
            )


def _is_forward(old: State, new: State) -> bool:
    if old.queued_ms is not None and (new.queued_ms is None or new.queued_ms < old.queued_ms):
        return False
    if old.next_run_ms is None:
        return new.next_run_ms is None
    return new.next_run_ms is None or new.next_run_ms >= old.next_run_ms
