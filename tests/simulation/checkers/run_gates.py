"""Of several decisions at a gate the first holds: what was acknowledged is in the log, once, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows.run_state import NodeState, RunState, apply
from tests.simulation.actors.clients import ACKNOWLEDGED, REFUSED


def check(play: Any) -> Iterator[str]:
    """What was decided otherwise, twice, or by nobody."""
    given: dict[tuple[str, str, str], list[tuple[str, bool]]] = {}
    for run_id, log in play.runs.logs.items():
        yield from _log(run_id, log, given)
    answered: dict[tuple[str, str, str], list[Any]] = {}
    for call in play.clients.calls:
        if call.kind == "decide" and call.nonce:
            answered.setdefault((call.run, call.node, call.nonce), []).append(call)
    for name, calls in answered.items():
        stored = given.get(name, [])
        for call in calls:
            said = (call.by, call.approve)
            if call.outcome == ACKNOWLEDGED and said not in stored:
                yield f"{name[0]}: {call.by} was told that the decision at {name[1]} holds, and it is not there"
        for who, approve in stored:
            made = [c for c in calls if (c.by, c.approve) == (who, approve)]
            if not made or all(c.outcome == REFUSED for c in made):
                yield f"{name[0]}: {who} decided at {name[1]}, and was refused"


def _log(run_id: str, log: list[Any], given: dict[tuple[str, str, str], list[tuple[str, bool]]]) -> Iterator[str]:
    state = RunState()
    for stored in log:
        for event in stored.events:
            before = state.nodes.get(event.node, NodeState())
            apply(state, event)
            gate = before.gate
            if gate is not None and event.type == "node_completed":
                said = event.data["output"]["value"]
                if said["comment"] != "expired" and len(set(said["by"])) < gate.quorum:
                    yield f"{run_id}: {event.node} was passed with {said['by']}, and needs {gate.quorum}"
            if event.type not in ("approval_given", "approval_rejected"):
                continue
            if gate is None or before.status != "waiting":
                yield f"{run_id}: {event.data['by']} decided at {event.node}, which did not wait"
                continue
            decided = given.setdefault((run_id, event.node, gate.nonce), [])
            if len(decided) >= gate.quorum or any(not approve for _, approve in decided):
                yield f"{run_id}: {event.node} was decided before {event.data['by']} did"
            if event.data["by"] in (who for who, _ in decided):
                yield f"{run_id}: {event.data['by']} decided twice at {event.node}"
            decided.append((event.data["by"], event.type == "approval_given"))
        for name, node in state.nodes.items():
            if node.gate is not None and len(node.gate.approved_by) >= node.gate.quorum:
                yield f"{run_id}: {name} has its quorum and waits on"
