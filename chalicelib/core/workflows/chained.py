"""What a worker decides that goes on with the next step itself: its decision and its claim are one append.

So a chain of steps costs one write each. Nothing stands between the end of a step and the claim of the next one: who
dies there has written both or neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.core.workflows import live_stops
from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import ClaimsStep, Decision, Happening, Order
from chalicelib.core.workflows.limits import STEP_LEASE_SPARE_MS, STEP_TIMEOUT_DEFAULT_MS
from chalicelib.core.workflows.orders import next_due_ms
from chalicelib.core.workflows.run_state import RunState

_FOR_OTHERS = frozenset({"cancel_child", "free_slot", "tell_late"})  # they would end a worker's chain: by message


def claim_of(graph: Graph, node: str, worker: str) -> ClaimsStep:
    """The claim of a step: its worker is believed lost a while after the step's own timeout."""
    return ClaimsStep(node, worker, (graph.nodes[node].timeout_ms or STEP_TIMEOUT_DEFAULT_MS) + STEP_LEASE_SPARE_MS)


def own_order(orders: Sequence[Order]) -> Order | None:
    """The order that a worker does itself; all others go by message."""
    return next((order for order in orders if order.kind not in _FOR_OTHERS), None)


def decide_and_claim(graph: Graph, state: RunState, happening: Happening, worker: str, now_ms: int) -> Decision:
    """``decide``; where a step follows that ``worker`` may take at once, its claim is part of the decision.

    A step that a condition on the live run may stop is not claimed: that is judged before, by the values of then.
    Raises Conflict, as ``decide`` does.
    """
    first = decide(graph, state, happening, now_ms)
    mine = own_order(first.orders)
    if mine is None or mine.kind != "step" or live_stops.conditions(first.state.stops, first.state.fired):
        return first
    claimed = decide(graph, first.state, claim_of(graph, mine.node, worker), now_ms)
    if not claimed.events:
        return first
    due_ms = next_due_ms(claimed.state)
    return replace(
        claimed,
        events=first.events + claimed.events,
        orders=tuple(order for order in first.orders if order != mine) + claimed.orders,
        next_due_ms=due_ms if due_ms != next_due_ms(state) else None,
        status_changed=state.shown_status != claimed.state.shown_status or first.status_changed,
        claimed=mine.node,
    )
