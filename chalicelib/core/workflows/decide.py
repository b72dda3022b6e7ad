"""What follows from what happens to a run: ``decide(graph, state, happening, now_ms) -> Decision``.

The decision is pure. Its events are appended on the condition that no other event has the first one's number. On a lost
race the log is read again, and decided again. Orders are sent after the append, and again where they are found owed
(``owed``). So the log is the truth, and a message is a hint. What the decisions uphold, whatever the interleaving:

- A node begins once in each generation, and only when its edges say so (``joins``).
- Only the live claim of a step ends it: an answer with another token, or for a node that has ended, changes nothing.
- After a cancel no node begins, and after the grace none is under way.
- A run that counts against a limit takes no step without a slot (``run_slots``).
- A run ends once, when nothing lives; how follows from its nodes alone, and not from the order of messages.
"""

from __future__ import annotations

from heapq import heappop, heappush

from chalicelib.core.errors import Conflict
from chalicelib.core.workflows import gates, joins, live_stops, run_endings, run_slots, sla, waiting
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import (
    Begins,
    Cancels,
    CannotGoOn,
    ChildEnds,
    ClaimsStep,
    Decides,
    Decision,
    Ends,
    Fans,
    GetsSlot,
    GivesUp,
    GoesOn,
    Happening,
    ItemEnds,
    Passes,
    Redrives,
    SetsStops,
    StopsAt,
    TellsLate,
    Waits,
)
from chalicelib.core.workflows.limits import CANCEL_GRACE_MS, ERROR_MAX_CHARS, LOST_MAX_COUNT, RUN_MAX_EVENTS
from chalicelib.core.workflows.orders import is_new, next_due_ms, owed
from chalicelib.core.workflows.run_log import RunLog
from chalicelib.core.workflows.run_state import ENDED, NodeState, RunState

# Nodes that end by themselves as soon as they may run. All others are steps, which a worker takes.
_INSTANT = frozenset({"trigger", "join"})
_NO_QUORUM = "unreachable_quorum"
_SPARE_EVENTS = 2000  # what ends a run that is too long may still be written


def decide(graph: Graph, state: RunState, happening: Happening, now_ms: int) -> Decision:
    """What to append for this, and what to do then. No events: it changes nothing.

    Raises Conflict for what a caller asks of a run or node whose state forbids it.
    """
    log = RunLog(graph, state, now_ms)
    before = {name: node.fan for name, node in state.nodes.items() if node.fan is not None}
    match happening:
        case Begins():
            if state.events == 0:
                log.write("run_started", run=dict(happening.run), nodes=list(graph.nodes))
                _start(log, graph.entry)
                if happening.is_cancelled:
                    _stop(log, reason="its parent did not wait for it any more")
        case Redrives():
            _redrive(log, happening)
        case Cancels():
            _cancel(log, happening)
        case GivesUp():
            run_endings.give_up(log, happening)
        case Decides():
            gates.approve(log, happening)
        case Passes():
            _pass_time(log)
        case Ends(token=None):
            _end_from_outside(log, happening)
        case GetsSlot():
            run_slots.take(log, happening)
        case SetsStops():
            live_stops.set_stops(log, happening)
        case StopsAt():
            live_stops.stop_at(log, happening)
        case GoesOn():
            live_stops.go_on(log, happening, _start)
        case CannotGoOn():
            if log.state.status == "running":
                _stop(log, error_type=happening.error_type, reason=happening.error)
        case TellsLate(node=name):
            sla.said(log, name)
        case _:
            _of_a_step(log, happening)
    _settle(log)
    run_slots.settle(log)
    if log.events or isinstance(happening, Passes):  # what changes nothing else must not seem to
        sla.settle(log)
    if not log.events:
        return Decision((), state)
    orders = [order for order in owed(graph, log.state) if is_new(order, state, log.state, before)]
    orders += run_slots.freed(state, log.state)
    changed = state.shown_status != log.state.shown_status or state.redrives != log.state.redrives
    due_ms = next_due_ms(log.state)
    is_new_due = due_ms != next_due_ms(state)
    return Decision(tuple(log.events), log.state, tuple(orders), due_ms if is_new_due else None, changed)


def _of_a_step(log: RunLog, happening: Happening) -> None:
    """What workers and children report."""
    match happening:
        case ClaimsStep(node=name):
            node = log.nodes[name]
            is_free = node.status == "running" and not node.worker and log.state.slot != "wanted"
            if is_free and log.state.status in ("running", "compensating"):
                lease_ms = log.now_ms + happening.lease_ms
                log.write("node_claimed", name, token=node.token + 1, worker=happening.worker, lease_ms=lease_ms)
        case Ends(node=name):
            if _is_held(log, name, happening.token):
                _end(log, happening)
        case Waits(node=name):
            if _is_held(log, name, happening.token):
                waiting.wait(log, happening)
        case Fans(node=name):
            if _is_held(log, name, happening.token):
                _fan_out(log, happening)
        case ItemEnds(node=name, index=index):
            fan = log.nodes[name].fan
            if fan is not None and index in fan.live:
                if log.nodes[name].status == "waiting" and waiting.is_outdated(log.state, happening):
                    return
                why = {"error": happening.error[:ERROR_MAX_CHARS]} if happening.error else {}
                log.write("item_ended", name, index=index, status=happening.status, **why)
                _go_on_with_items(log, name)
        case ChildEnds(node=name):
            node = log.nodes[name]
            if waiting.is_child_waited_for(log.graph, log.state, name, happening.child):
                if waiting.is_outdated(log.state, happening):
                    return
                if happening.status == "completed":
                    _complete(log, name, happening.output)
                elif happening.error_type:
                    _fail(log, name, happening.error_type, happening.error)
                else:
                    said = f"run {happening.child} ended {happening.status}: {happening.error}"
                    _fail(log, name, "child_" + happening.status, said)
            elif waiting.is_child_to_end(node) and node.child == happening.child:
                log.write("child_ended", name, status=happening.status)


def _is_held(log: RunLog, name: str, token: int | None) -> bool:
    node = log.nodes[name]
    return node.status == "running" and bool(node.worker) and node.token == token


def _end(log: RunLog, ends: Ends) -> None:
    name, node = ends.node, log.nodes[ends.node]
    stops = log.state.status == "cancelling" and ends.status != "completed"
    if ends.status == "completed":
        _complete(log, name, ends.output, ends.case)
    elif stops:
        log.end_by_cancel(name, "cancelled", error_type=ends.error_type, error=ends.error)
    elif ends.retry_in_ms is not None and node.attempt < log.graph.nodes[name].retry.max_attempts:
        due_ms = log.now_ms + ends.retry_in_ms
        log.write("node_retrying", name, due_ms=due_ms, error_type=ends.error_type, error=ends.error)
    elif ends.status == "timeout":
        _fail(log, name, "timeout", ends.error, "timeout")
    else:
        _fail(log, name, ends.error_type, ends.error)


def _end_from_outside(log: RunLog, ends: Ends) -> None:
    node = log.nodes[ends.node]
    if (
        node.status != "waiting"
        or node.gate is not None
        or node.fan is not None
        or node.child
        or node.stop
        or node.then == "retry"
    ):
        raise Conflict(f"node {ends.node} does not wait for a caller: it is {node.status}", code="node_not_waiting")
    if ends.status == "completed":
        _complete(log, ends.node, ends.output)
    else:
        _fail(log, ends.node, ends.error_type, ends.error)


def _fan_out(log: RunLog, fans: Fans) -> None:
    name = fans.node
    if log.state.status == "cancelling":
        log.end_by_cancel(name, "cancelled")
        return
    data = {"count": fans.count, "at_once": fans.at_once, "tolerated": fans.tolerated, "output": fans.output}
    log.write("items_resolved", name, **data)
    _go_on_with_items(log, name)


def _go_on_with_items(log: RunLog, name: str) -> None:
    """Begin as many items as may be under way, or end the node."""
    node = log.nodes[name]
    fan = node.fan
    if fan is None or node.status != "waiting":
        return
    if fan.failed > fan.tolerated:
        _fail(log, name, "too_many_failures", f"{fan.failed} of {fan.count} items failed; {fan.tolerated} may")
    elif fan.next == fan.count and not fan.live:
        _complete(log, name, node.output)
    else:
        upto = min(fan.count, fan.next + fan.at_once - len(fan.live))
        if upto > fan.next:
            log.write("items_started", name, next=upto)


def _cancel(log: RunLog, cancels: Cancels) -> None:
    state = log.state
    if state.status == "cancelling":
        return
    if state.is_ended or state.status == "compensating":
        raise Conflict(f"the run is {state.status}", code="run_ended")
    _stop(log, reason=cancels.reason, by=cancels.by)


def _stop(log: RunLog, **said: object) -> None:
    """End what waits and what has not begun; what is under way has until the grace."""
    by_ms = log.now_ms + CANCEL_GRACE_MS
    log.write("run_cancelling", "", by_ms=by_ms, **said)
    for name, node in log.nodes.items():
        under_way = node.status == "running" and node.worker
        if node.status not in ENDED and not under_way and name not in log.graph.compensations:
            log.end_by_cancel(name, "cancelled")


def _pass_time(log: RunLog) -> None:
    state, now_ms = log.state, log.now_ms
    if state.is_ended or state.events == 0:
        return
    if state.status == "cancelling" and state.cancel_by_ms is not None and now_ms >= state.cancel_by_ms:
        for name in log.active():
            log.end_by_cancel(name, "it did not end in time after the cancel")
        return
    if state.status == "running" and state.deadline_ms is not None and now_ms >= state.deadline_ms:
        _stop(log, error_type="timeout", reason="the run's timeout_ms is over")
        return
    for name in list(log.nodes):
        node = log.nodes[name]
        if node.due_ms is not None and now_ms >= node.due_ms and node.status in ("running", "waiting"):
            _fall_due(log, name, node)


def _fall_due(log: RunLog, name: str, node: NodeState) -> None:
    if node.status == "running":  # its worker died
        if log.state.status == "cancelling":
            log.end_by_cancel(name, "its worker died, and the run was cancelled")
        elif node.lost + 1 >= LOST_MAX_COUNT:
            _fail(log, name, "unknown", f"the workers of {LOST_MAX_COUNT} claims died")
        else:
            log.write("node_lost", name, worker=node.worker)
        return
    match node.then:
        case "complete":
            _complete(log, name, node.output)
        case "approve":
            _complete(log, name, {"value": {"approved": True, "by": [], "comment": "expired"}})
        case "reject":
            gates.reject(log, name, "it was not decided in time")
        case "timeout":
            _fail(log, name, "timeout", "it did not end in time", "timeout")
        case "retry":
            log.start(name)


def _redrive(log: RunLog, redrives: Redrives) -> None:
    if not log.state.is_ended:
        raise Conflict(f"the run is {log.state.shown_status}: cancel it before", code="run_not_ended")
    data = {name: value for name in ("version", "input") if (value := getattr(redrives, name))}
    said = {"again": dict(redrives.again), "nodes": list(log.graph.nodes), "by": redrives.by}
    if redrives.parent_redrives is not None:
        data["parent_redrives"] = redrives.parent_redrives
    log.write("run_redriven", "", **said, **data, deadline_ms=redrives.deadline_ms)
    if log.graph.entry in redrives.again:
        _start(log, log.graph.entry)
    log.changed += [name for name, node in log.nodes.items() if node.status in ENDED]


def _start(log: RunLog, name: str) -> None:
    node = log.graph.nodes[name]
    if node.type in _INSTANT or (node.type == "parallel" and not node.is_foreach):
        _complete(log, name, None)
    else:
        log.start(name)


def _complete(log: RunLog, name: str, output: object, case: str = "") -> None:
    kind = "compensation_completed" if log.state.status == "compensating" else "node_completed"
    log.write(kind, name, **({"output": output} if output is not None else {}), **({"case": case} if case else {}))


def _fail(log: RunLog, name: str, error_type: str, error: str, status: str = "failed") -> None:
    kind = "compensation_failed" if log.state.status == "compensating" else f"node_{status}"
    log.write(kind, name, error_type=error_type, error=error)


def _settle(log: RunLog) -> None:
    """Let everything follow that follows from what has ended, until nothing does.

    Parents are judged before their children. One end may make a path dead and a join ready: the path is skipped first,
    and the join then has less to cancel. So what becomes of a node does not depend on which way was judged first.
    """
    place = log.graph.place
    line: list[int] = []
    while log.changed or line:
        if log.state.status != "running":
            log.changed.clear()
            break
        if log.state.events > RUN_MAX_EVENTS - _SPARE_EVENTS:
            _stop(log, error_type="run_too_long", reason=f"a run has at most {RUN_MAX_EVENTS} events")
            break
        for ended in log.changed:
            for edge in log.graph.outgoing.get(ended, ()):
                heappush(line, place[edge.target])
        log.changed.clear()
        if line:
            name = log.graph.order[heappop(line)]
            if log.nodes[name].status == "pending":
                _judge(log, name)
    run_endings.end_if_nothing_lives(log)


def _judge(log: RunLog, name: str) -> None:
    graph, nodes = log.graph, log.nodes
    match joins.verdict(graph, nodes, name):
        case "run":
            if graph.nodes[name].cancels_others:
                _cancel_others(log, name)
            stop = live_stops.stop_before(log, name)
            if stop is None:
                _start(log, name)
            else:
                log.write("node_stopped", name, stop=dict(stop))
        case "skip":
            log.write("node_skipped", name, reason=joins.why_skipped(graph, nodes, name))
        case "unreachable":
            node = graph.nodes[name]
            said = f"{node.needed} live edges can no longer be reached"
            log.write("node_failed", name, error_type=_NO_QUORUM, error=said, reason=_NO_QUORUM)


def _cancel_others(log: RunLog, join: str) -> None:
    for name in log.graph.leads_only_to(join):
        if log.nodes[name].status not in ENDED:
            log.end_by_cancel(name, f"{join} needed no more")
