"""What is to be done for a run outside of its log, and when time itself next changes something. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core.workflows import sla, waiting
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import Order
from chalicelib.core.workflows.run_state import NodeState, RunState


def owed(graph: Graph, state: RunState) -> list[Order]:
    """All that is to be done as of now: it is safe to do again."""
    orders: list[Order] = []
    if state.slot == "wanted":
        orders.append(Order("take_slot", item=state.slot_turn))
    for name, node in state.nodes.items():
        if node.status == "running" and not node.worker and state.slot != "wanted":
            orders.append(Order("step", name))
        if node.fan is not None:
            kind = "begin_item" if node.status == "waiting" else "cancel_child"
            orders += [Order(kind, name, index) for index in node.fan.live]  # type: ignore[arg-type]
        elif waiting.is_child_to_end(node):
            orders.append(Order("cancel_child", name))
    orders += [Order("tell_late", name) for name in sla.untold(state)]
    if state.is_ended and state.parent:
        orders.append(Order("tell_parent"))
    return orders


def next_due_ms(state: RunState, *, with_leases: bool = False) -> int | None:
    """The next instant at which time itself changes something (None: never). ``with_leases``: also that at which the
    worker of a step counts as lost, which need not be met to the millisecond."""
    if state.is_ended:
        return None
    live = [node for node in state.nodes.values() if node.status == "waiting" or with_leases]
    dues = [node.due_ms for node in live if node.due_ms is not None]
    dues += sla.dues(state)
    dues += [due for due in (state.cancel_by_ms, state.deadline_ms if state.status == "running" else None) if due]
    return min(dues, default=None)


def is_new(order: Order, before: RunState, after: RunState, fans: Mapping[str, object]) -> bool:
    """Whether the order comes from this decision: what was owed before was sent before."""
    if order.kind == "tell_parent":
        return not before.is_ended or before.redrives != after.redrives  # a redrive may end at once
    if order.kind == "tell_late":
        return order.node not in sla.untold(before)
    if order.kind == "take_slot":
        return before.slot_turn != after.slot_turn
    if order.kind == "step" and before.slot == "wanted":
        return True
    was, now = before.nodes.get(order.node, NodeState()), after.nodes[order.node]
    if order.kind == "begin_item":
        known = () if was.fan is None else was.fan.live
        return order.item not in known
    return was.status != now.status or was.attempt != now.attempt or was.lost != now.lost
