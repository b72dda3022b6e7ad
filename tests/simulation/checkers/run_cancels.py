"""After a cancel nothing begins; what waits ends at once, and what is under way within five seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows.run_state import RunState, apply

SOON_MS, GRACE_MS, SPARE_MS = 1_000, 5_000, 300
_BEGINS = frozenset(
    {"node_started", "node_claimed", "items_started", "items_resolved", "node_waiting", "node_retrying"}
)


def check(play: Any) -> Iterator[str]:
    """What went on."""
    for run_id, log in play.runs.logs.items():
        yield from _log(play, run_id, log)


def _log(play: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    cancelled_ms: int | None = None
    for stored in log:
        for event in stored.events:
            was = state.status
            apply(state, event)
            if event.type == "run_cancelling":
                cancelled_ms = stored.at_ms
            elif event.type == "run_redriven":
                cancelled_ms = None
            if was == "cancelling" and event.type in _BEGINS:
                yield f"{run_id}: {event.type} of {event.node} after the cancel"
        if cancelled_ms is None:
            continue
        left = [name for name, node in state.nodes.items() if node.status == "waiting"]
        if state.status == "cancelling" and left:
            yield f"{run_id}: {left[0]} still waits after the cancel"
        if state.is_ended and play.plan.calm:
            late_ms = stored.at_ms - cancelled_ms - GRACE_MS
            if state.status == "cancelled" and late_ms > SPARE_MS:
                yield f"{run_id}: it ended {late_ms} ms after it had to"
            cancelled_ms = None
    if play.plan.calm:
        yield from _effects(play, run_id, log)


def _effects(play: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    """Effects of a run, and of all runs that it waited for, after its cancel."""
    spans = list(_cancelled(log))
    for effect in play.runs.effects:
        claim = effect.claim
        if claim is None or not _is_under(play.runs.states, claim.run_id, run_id):
            continue
        for from_ms, to_ms in spans:
            if from_ms + SOON_MS < effect.at_ms < to_ms:
                yield f"{run_id}: {effect.key} was called {effect.at_ms - from_ms} ms after the cancel"


def _cancelled(log: list[Any]) -> Iterator[tuple[int, int]]:
    """From when to when a run was cancelled: a redrive lets it go on."""
    state, since = RunState(), 0
    for stored in log:
        for event in stored.events:
            apply(state, event)
            if event.type == "run_cancelling" and not event.data.get("error_type"):
                since = stored.at_ms
            elif event.type == "run_redriven" and since:
                yield since, stored.at_ms
                since = 0
    if since:
        yield since, 1 << 60


def _is_under(states: dict[str, RunState], run_id: str, top: str) -> bool:
    """Whether a run is ``top``, or waited for by it, however deep."""
    while run_id and run_id != top:
        run_id = states[run_id].parent
    return bool(run_id)
