"""Nothing is stranded: every run ends, and so does every run that belongs to it; lists say what the logs say; what was
acknowledged is in a log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.actors.clients import ACKNOWLEDGED


def check(play: Any) -> Iterator[str]:
    """What is left."""
    record = play.runs
    for run_id, state in record.states.items():
        live = {n: node.status for n, node in state.nodes.items() if node.status in ("running", "waiting")}
        if not state.is_ended:
            yield f"{run_id} is {state.status} for ever; {live}"
            continue
        if live:
            yield f"{run_id} is {state.status}, and {live} live on"
        left = [name for name, node in state.nodes.items() if node.status == "pending"]
        if left and state.status != "compensation_failed":  # what nothing undid any more
            yield f"{run_id} is {state.status}, and {left} have yet to begin"
        summary = play.inner.runs.load("default", run_id)
        is_old = summary.listed and summary.status != state.shown_status
        if play.rested and (summary.wake_ms is not None or is_old):
            yield f"{run_id} is {state.status}; its summary says {summary.status}, to be checked {summary.wake_ms}"
    if not play.rested and not any(not state.is_ended for state in record.states.values()):
        left = [w.id for w in play.inner.runs.woken(1 << 60, 5)]
        yield f"all runs have ended; {left} are checked for ever, {len(play.mailroom.letters)} messages are left"
    for call in play.clients.calls:
        if call.outcome == ACKNOWLEDGED and call.run and call.run not in record.logs:
            yield f"{call.kind} of {call.run} was acknowledged, and there is no such run"
        if call.outcome == ACKNOWLEDGED and call.kind in ("cancel", "redrive", "report"):
            kind = {"cancel": "run_cancelling", "redrive": "run_redriven"}.get(call.kind)
            if not any(_fits(call, kind, event) for stored in record.logs[call.run] for event in stored.events):
                yield f"{call.kind} of {call.run} {call.node} was acknowledged, and is not in its log"
    yield from _detached(record)


def _fits(call: Any, kind: str | None, event: Any) -> bool:
    if kind is not None:
        return bool(event.type == kind)
    return event.node == call.node and event.type in ("node_completed", "node_failed")


def _detached(record: Any) -> Iterator[str]:
    """A failure that has a handler begins it, once."""
    for run_id, log in record.logs.items():
        state = record.states[run_id]
        if state.scope:
            continue
        document = record.documents[state.workflow, state.version]
        failures = [event.number for s in log for event in s.events if event.type == "run_failed"]
        begun = [name for name in record.states if name.startswith(f"{run_id}~on_failure~")]
        if '"on_failure"' in document and state.status == "failed" and not begun:
            yield f"{run_id} failed, and its handler did not begin"
        if len(begun) > len(failures):
            yield f"{run_id}: {len(begun)} handlers began for {len(failures)} failures"
