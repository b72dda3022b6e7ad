"""What a step waits for, as the log says it, and which ends of other runs it may take."""

from __future__ import annotations

from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import ChildEnds, ItemEnds, Waits
from chalicelib.core.workflows.run_ids import child_id
from chalicelib.core.workflows.run_log import RunLog
from chalicelib.core.workflows.run_state import NodeState, RunState


def wait(log: RunLog, waits: Waits) -> None:
    """Write what the step waits for; after a cancel it waits for nothing."""
    if log.state.status == "cancelling":
        log.end_by_cancel(waits.node, "cancelled")
        return
    data: dict[str, object] = {"due_ms": waits.due_ms, "then": waits.then}
    if waits.gate is not None:
        gate = waits.gate
        data["gate"] = {name: getattr(gate, name) for name in gate.__struct_fields__}
        data["gate"]["approvers"] = list(gate.approvers)  # type: ignore[index]
        data["gate"]["approved_by"] = list(gate.approved_by)  # type: ignore[index]
    if waits.child:
        data["child"] = waits.child
    if waits.output is not None:
        data["output"] = waits.output
    log.write("node_waiting", waits.node, **data)


def is_child_waited_for(graph: Graph, state: RunState, name: str, child: str) -> bool:
    """Whether the end of this run ends the node. A quick child may end before the worker that began it could say that
    the node waits for it."""
    node, definition = state.nodes[name], graph.nodes[name]
    if node.status == "waiting":
        return bool(child) and node.child == child
    begins = definition.type == "subworkflow" and definition.fields.get("wait", True)
    return node.status == "running" and begins and child_id(state, name) == child


def is_child_to_end(node: NodeState) -> bool:
    """Whether the run that a node waited for is to be cancelled, and has yet to say that it ended."""
    return bool(node.child) and not node.child_ended and node.status in ("cancelled", "timeout")


def is_outdated(state: RunState, ended: ItemEnds | ChildEnds) -> bool:
    """Whether a run failed before the redrive of the run that waits for it. It is to go on in the redrive instead: what
    it came to is no answer. Its worker may have read the log before the redrive, and say so after it."""
    return ended.status != "completed" and ended.parent_redrives < state.redrives
