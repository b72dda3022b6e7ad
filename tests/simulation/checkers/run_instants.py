"""Delays, expiries, time-outs and retries come at their instants, never earlier. In calm worlds nothing waits longer
than it has to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows.run_state import NodeState, RunState, apply

LATE_MS = 400  # some calls one after the other, and the way of a message
_FALLS_DUE = frozenset({"node_completed", "node_failed", "node_timeout", "node_started"})


def check(play: Any) -> Iterator[str]:
    """What was early or late."""
    for run_id, log in play.runs.logs.items():
        yield from _log(play, run_id, log)
    if play.plan.calm:
        yield from _parents(play)


def _log(play: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    began: dict[str, int] = {}
    for stored in log:
        for event in stored.events:
            before = state.nodes.get(event.node, NodeState())
            apply(state, event)
            if _is_by_time(before, event):
                assert before.due_ms is not None
                # The clock may be stepped back between the decision and its append.
                early_ms = before.due_ms - max(stored.clock_ms, event.at_ms)
                late_ms = stored.at_ms - before.due_ms
                if early_ms > 0:
                    yield f"{run_id}: {event.node} went on {early_ms} ms early"
                if play.plan.calm and late_ms > LATE_MS:
                    yield f"{run_id}: {event.node} went on {late_ms} ms late"
            if event.type == "node_started":
                began[event.node] = stored.at_ms
            if event.type == "node_claimed" and play.plan.calm:
                late_ms = stored.at_ms - began.get(event.node, stored.at_ms)
                if late_ms > LATE_MS:
                    yield f"{run_id}: {event.node} was taken {late_ms} ms after it had begun"
    yield from _deadline(play, run_id, log)


def _is_by_time(before: NodeState, event: Any) -> bool:
    if before.status != "waiting" or before.due_ms is None or event.type not in _FALLS_DUE:
        return False
    if before.then == "retry":
        return event.type == "node_started"  # type: ignore[no-any-return]
    if before.gate is not None:
        output = (event.data.get("output") or {}).get("value") or {}
        return output.get("comment") == "expired" or event.data.get("error") == "it was not decided in time"
    return (before.then, event.type) in (("complete", "node_completed"), ("timeout", "node_timeout"))


def _deadline(play: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    for stored in log:
        over_ms = stored.at_ms - (state.deadline_ms or stored.at_ms)
        if play.plan.calm and state.status == "running" and not state.is_ended and over_ms > LATE_MS:
            yield f"{run_id}: it went on {over_ms} ms after its time was over"
        for event in stored.events:
            apply(state, event)
            if event.type != "run_cancelling" or event.data.get("error_type") != "timeout":
                continue
            assert state.deadline_ms is not None
            if stored.clock_ms < state.deadline_ms:
                yield f"{run_id}: it was stopped {state.deadline_ms - stored.clock_ms} ms before its time was over"
            if play.plan.calm and stored.at_ms > state.deadline_ms + LATE_MS:
                yield f"{run_id}: it was stopped {stored.at_ms - state.deadline_ms} ms too late"


def _parents(play: Any) -> Iterator[str]:
    """A run that others wait for tells them at once how it ended."""
    record = play.runs
    heard: dict[tuple[str, str, int], list[int]] = {}
    for run_id, log in record.logs.items():
        state = RunState()
        for stored in log:
            for event in stored.events:
                before = state.nodes.get(event.node, NodeState())
                apply(state, event)
                if event.type == "item_ended":
                    heard.setdefault((run_id, event.node, event.data["index"]), []).append(stored.at_ms)
                elif before.child and event.type in ("node_completed", "node_failed", "child_ended"):
                    heard.setdefault((run_id, event.node, -1), []).append(stored.at_ms)
    for run_id, log in record.logs.items():
        state = record.states[run_id]
        index = state.indices[-1] if state.scope else -1
        told = heard.get((state.parent, state.parent_node, index), [])
        ended_ms = [stored for stored in log if any(e.type.startswith("run_") for e in stored.events)][-1].at_ms
        after = [at_ms - ended_ms for at_ms in told if at_ms >= ended_ms]
        if state.is_ended and after and len(told) == 1 and after[0] > LATE_MS:
            yield f"{run_id}: {state.parent} heard of its end {after[0]} ms later"
