"""How a run ends: when nothing lives, by what its nodes came to, and after what was done is undone."""

from __future__ import annotations

from chalicelib.core.workflows import joins
from chalicelib.core.workflows.happenings import GivesUp
from chalicelib.core.workflows.run_log import RunLog
from chalicelib.core.workflows.run_state import ENDED, NodeState

_UNKNOWN = frozenset({"unknown", "lost"})  # errors after which the effect may have happened


def end_if_nothing_lives(log: RunLog) -> None:
    """Write the end of a run that has come to it, or the next thing to undo."""
    state = log.state
    if state.is_ended or state.events == 0 or log.active():
        return
    if state.status == "compensating":
        _go_on_undoing(log)
    elif state.status == "cancelling" and not state.stopped_by:
        _skip_compensations(log)
        log.write("run_cancelled", "", reason=state.reason)
    else:
        _end(log)


def give_up(log: RunLog, said: GivesUp) -> None:
    """Cancel a run without a grace, also one that is undoing. A redrive lets it go on under the same keys."""
    if log.state.is_ended or log.state.events == 0:
        return
    log.write("run_cancelling", "", by_ms=log.now_ms, by=said.by, reason=said.reason)
    for name, node in list(log.nodes.items()):
        if node.status in ("running", "waiting") or (node.status == "pending" and name not in log.graph.compensations):
            log.end_by_cancel(name, said.reason)


def unhandled(log: RunLog) -> list[str]:
    """The nodes whose failure no edge takes, in the order in which they failed."""
    graph, nodes = log.graph, log.nodes
    failed = [
        name
        for name, node in nodes.items()
        if node.status in ("failed", "timeout")
        and name not in graph.compensations
        and not joins.is_handled(graph, nodes, name)
    ]
    return sorted(failed, key=lambda name: nodes[name].ended_as)


def _end(log: RunLog) -> None:
    failed = unhandled(log)
    if log.state.stopped_by:
        error_type, error = log.state.stopped_by, log.state.reason
    elif failed:
        node = log.nodes[failed[0]]
        error_type = node.error_type or node.status
        error = f"node {failed[0]}: {node.error or node.status}"
    else:
        _skip_compensations(log)
        log.write("run_completed")
        return
    todo = _to_undo(log)
    if todo:
        log.write("run_compensating", "", node=todo, error_type=error_type, error=error)
        log.start(log.graph.nodes[todo].compensate)
    else:
        _skip_compensations(log)
        log.write("run_failed", "", error_type=error_type, error=error)


def _go_on_undoing(log: RunLog) -> None:
    """One is undone at a time. The one that failed ends the run in a state of its own."""
    state = log.state
    if state.undoing:
        by = log.graph.nodes[state.undoing].compensate
        node = log.nodes[by]
        if node.status != "completed":
            said = f"compensation {by} of node {state.undoing}: {node.error or node.status}"
            log.write("run_compensation_failed", "", error_type="compensation_failed", error=said)
            return
    todo = _to_undo(log)
    if todo:
        log.write("run_compensating", "", node=todo, error_type=state.error_type, error=state.error)
        log.start(log.graph.nodes[todo].compensate)
    else:
        _skip_compensations(log)
        log.write("run_failed", "", error_type=state.error_type, error=state.error)


def _to_undo(log: RunLog) -> str:
    """The node to undo next: of those that are done, or may be, the one that ended last. Empty: none is left."""
    done = [
        name
        for name, node in log.nodes.items()
        if log.graph.nodes[name].compensate and name not in log.state.undone and _may_have_happened(node)
    ]
    return max(done, key=lambda name: log.nodes[name].ended_as, default="")


def _may_have_happened(node: NodeState) -> bool:
    return node.status in ("completed", "timeout") or (node.status == "failed" and node.error_type in _UNKNOWN)


def _skip_compensations(log: RunLog) -> None:
    for name in log.graph.nodes:
        if name in log.graph.compensations and log.nodes[name].status not in ENDED:
            log.write("node_skipped", name, reason="there was nothing to compensate")
