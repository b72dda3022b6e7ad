"""``chronowatch.cancellations.v1``: a target that had accepted what is cancelled is told, at least once; no other is.

What a deleted schedule leaves accepted ends with its time-out, when its target works on it no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from chalicelib.core.executions.execution import CANCELLED
from chalicelib.engine.binding import DELETED
from chalicelib.engine.cancel_notices import SUFFIX
from tests.simulation.world import ExecutionWrite

SOON_MS = 1_000  # in calm worlds: it goes through the queue once


def check(play: Any) -> Iterable[str]:
    """Every cancel of what its target had accepted, and every notice."""
    told: dict[str, list[int]] = {}
    for t in play.world.record.told:
        told.setdefault(t.id, []).append(t.at_ms)
    due = {key.id + SUFFIX: _cancels(writes) for key, writes in play.world.record.executions.items()}
    soon_ms = SOON_MS + play.scenario.max_drift_ms
    for name, cancels in due.items():
        for cancelled_ms, until_ms in cancels:
            sent = [at_ms for at_ms in told.get(name, ()) if at_ms >= cancelled_ms]
            if not sent and until_ms is None:
                yield f"{name} was due since {cancelled_ms} and never sent"
            if play.scenario.calm and sent and sent[0] > cancelled_ms + soon_ms:
                yield f"{name} was due at {cancelled_ms} and sent at {sent[0]}"
    for name, moments in told.items():
        if name.endswith(SUFFIX) and not any(c <= min(moments) for c, _ in due.get(name, ())):
            yield f"{name} was sent at {min(moments)}, of what was not cancelled after its target had accepted it"


def _cancels(writes: Sequence[ExecutionWrite]) -> list[tuple[int, int | None]]:
    """When it was cancelled while its target worked on it, and when a caller asked for it again."""
    found = []
    for number, (before, after) in enumerate(pairwise(writes), 1):
        ended = before.record.asynchronous and after.record.state == CANCELLED
        if ended and after.record.history[-1].reason != DELETED:
            again = next((w.at_ms for w in writes[number:] if w.record.state != CANCELLED), None)
            found.append((after.at_ms, again))
    return found
