"""What becomes of every node, at every moment, is what the reference interpreter says of the same ends.

The reference (``tests/unit/core/workflows/reference.py``) is told how steps ended, in the order of the log, and that
somebody cancelled. It says which nodes begin, are skipped, fail as joins and are cancelled, and how the run ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows.run_state import RunState, apply
from tests.simulation.actors.run_parts import PICKY_ABOVE
from tests.unit.core.workflows.reference import DONE, Reference

_ENDS = {"node_completed": "completed", "node_failed": "failed", "node_timeout": "timeout"}
# What a step may end as, by its temper, where nobody cancels it.
_WELL = {
    "ok": {"completed"},
    "slow": {"completed"},
    "flaky": {"completed"},
    "refuse": {"failed"},
    "down": {"failed"},
    "hang": {"timeout"},
    "async": {"completed", "failed", "timeout"},
}


def check(play: Any) -> Iterator[str]:
    """Where the engine and the reference disagree."""
    for run_id, log in play.runs.logs.items():
        yield from _run(play, run_id, log)


def _run(play: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    reference: Any = None
    graph: Any = None
    for stored in log:
        first = stored.events[0]
        ended = []
        for event in stored.events:
            apply(state, event)
            if event.type in ("run_started", "run_redriven"):
                graph = play.runs.graph(state)
            elif event.type in _ENDS and event.node and _is_step(graph, event.node) and state.status != "compensating":
                yield from _planned(play, run_id, state, graph, event)
                ended.append(event)
        if first.type in ("run_started", "run_redriven"):
            reference = _reference(graph, state, first)
        _tell(reference, stored.events, ended)
        if (problem := _differs(graph, state, reference)) is not None:
            yield f"{run_id} at event {state.events}: {problem}"
            return


def _is_step(graph: Any, name: str) -> bool:
    node = graph.nodes[name]
    return node.type not in ("trigger", "join") and name not in graph.compensations


def _reference(graph: Any, state: RunState, first: Any) -> Reference:
    names = [name for name in graph.order if name not in graph.compensations]
    nodes = {name: _mode(graph.nodes[name]) for name in sorted(names, key=lambda name: name != graph.entry)}
    edges = [(e.source, e.target, e.on, e.case) for e in graph.edges]
    made = Reference(nodes, edges)
    if first.type == "run_redriven":
        again = first.data["again"]
        made.run = "running"
        for name in nodes:
            kept = state.nodes[name]
            made.state[name] = "pending" if name in again else kept.status
            made.reason[name], made.case[name] = kept.reason, kept.case
        if graph.entry in again:
            made.state[graph.entry] = "completed"
        made.look()
    return made


def _mode(node: Any) -> tuple[str, int, str]:
    if node.type == "join":
        return node.mode, node.needed, str(node.fields.get("others", ""))
    return ("all" if node.type == "parallel" and not node.is_foreach else "step"), 0, ""


def _tell(reference: Reference, events: Any, ended: list[Any]) -> None:
    """Ends that were found together are ends of one moment: the rules follow after all of them."""
    for event in ended:
        if reference.state[event.node] == "running":
            reference.state[event.node] = _ENDS[event.type]
            reference.reason[event.node] = event.data.get("reason", "")
            reference.case[event.node] = event.data.get("case", "")
    for event in events:
        if event.type == "run_cancelling":
            reference.cancel()
        ends_it = event.type == "node_cancelled" and reference.run == "cancelling"
        if ends_it and reference.state.get(event.node, "skipped") not in DONE:
            reference.state[event.node] = "cancelled"
    reference.look()


def _differs(graph: Any, state: RunState, reference: Reference) -> str | None:
    for name, said in reference.state.items():
        found = state.nodes[name].status
        if ("running" if found == "waiting" else found) != said:
            return f"{name} is {found}; by the rules it is {said}"
    found = state.status
    said = reference.run
    if found in ("compensating", "compensation_failed"):
        found = "failed"
    if said == "cancelled" and state.stopped_by:
        said = "failed"
    return None if found == said else f"the run is {state.status}; by the rules it is {said}"


def _planned(play: Any, run_id: str, state: RunState, graph: Any, event: Any) -> Iterator[str]:
    """Whether a step ended as what it met outside says."""
    node = graph.nodes[event.node]
    kind = event.data.get("error_type", "")
    if kind in ("internal_error", "payload_too_large", "not_found", "too_deep", "invalid_output"):
        yield f"{run_id}: {event.node} ended with {kind}: {event.data.get('error')}"
    if node.type not in ("http", "job") or kind == "unknown":  # its workers died too often
        return
    temper = play.plan.tempers[event.node]
    if node.fields.get("url", "").endswith("/mended"):
        temper = "ok"
    picked = {"failed" if temper == "picky" and state.indices[-1] >= PICKY_ABOVE else "completed"}
    expected = _WELL.get(temper, picked)
    if _ENDS[event.type] not in expected:
        yield f"{run_id}: {event.node} is {temper} and ended as {_ENDS[event.type]} ({event.data.get('error')})"
