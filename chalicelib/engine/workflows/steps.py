"""Hints come true: a step is claimed, taken and ended; time passes; children begin and end.

A hint that comes twice, late or for a run that went on finds nothing to do. After a step its worker goes on with the
next one itself while its time lasts: a chain of quick steps needs no message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from chalicelib.core.errors import NotFound, Unavailable
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.workflows import live_stops
from chalicelib.core.workflows.decide import next_due_ms, owed
from chalicelib.core.workflows.happenings import ClaimsStep, Decision, Ends, Order, Passes, StopsAt
from chalicelib.core.workflows.limits import STEP_LEASE_SPARE_MS, STEP_TIMEOUT_DEFAULT_MS
from chalicelib.core.workflows.run_state import RUN_ENDED
from chalicelib.engine.workflows import children, handlers, nodes, slots
from chalicelib.engine.workflows.nodes import TakenStep
from chalicelib.engine.workflows.run_access import (
    LoadedRun,
    advance,
    follow,
    load,
    parts_of,
    send,
    settle_summary,
    tell,
)
from chalicelib.engine.workflows.scope import StepScope
from chalicelib.ports.services import Services
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.ports.work_queue import Outgoing
from chalicelib.ports.workflow_steps import StepFailed

log = logging.getLogger(__name__)

CHAIN_MAX_MS = 5_000  # then the next step goes to another invocation
_FOR_OTHERS = frozenset({"cancel_child", "free_slot"})  # orders that end a worker's chain, and so come by message
PURGE_AGAIN_MS = 3_600_000
AHEAD_MAX_MS = 5_000  # a hint that comes earlier than this before its instant goes back to the queue


def handle(s: Services, hint: RunHint) -> None:
    """Do what a hint points at."""
    try:
        match hint.kind:
            case "due":
                _due(s, hint)
            case "purge":
                while not s.stores.runs.purge(hint.tenant, hint.run_id):
                    pass
            case "on_failure":
                handlers.begin(s, load(s, hint.tenant, hint.run_id))
            case "step":
                _chain(s, hint.tenant, hint.run_id, hint.node)
            case _:
                _of_others(s, hint)
    except NotFound as problem:
        log.info("a hint points at nothing: %s", problem.detail)


def look(s: Services, tenant: str, run_id: str) -> None:
    """What ``reconcile`` does with a run: let time pass, and send all that is owed once more."""
    summary = s.stores.runs.load(tenant, run_id)
    if summary is None or _is_over(s, summary):
        return
    try:
        run = load(s, tenant, run_id)
    except NotFound:
        # It was entered and never began: its caller has no answer, and may begin it with the same id.
        s.stores.runs.summarize(replace(summary, wake_ms=None, rev=summary.rev + 1), summary.rev)
        return
    due_ms = next_due_ms(run.state, with_leases=True)
    if due_ms is not None and due_ms <= s.clock.now_ms():
        run = advance(s, tenant, run_id, Passes(), run)
    send(s, run.state, owed(run.graph, run.state), next_due_ms(run.state))
    settle_summary(s, run)


def _is_over(s: Services, summary: RunSummary) -> bool:
    """Whether a run has been kept for as long as it is: then what is kept of it is deleted by a message."""
    kept_ms, now_ms = s.config.run_retention_ms, s.clock.now_ms()
    if summary.status not in RUN_ENDED or kept_ms is None or now_ms < (summary.finished_ms or now_ms) + kept_ms:
        return False
    # The message may be lost: then this is done again.
    later = replace(summary, wake_ms=now_ms + PURGE_AGAIN_MS, rev=summary.rev + 1)
    if s.stores.runs.summarize(later, summary.rev):
        parts_of(s).queue.send([Outgoing(RunHint(summary.tenant, summary.id, "purge"), 0)])
    return True


def _due(s: Services, hint: RunHint) -> None:
    ahead_ms = hint.due_ms - s.clock.now_ms()
    if ahead_ms > AHEAD_MAX_MS:
        parts_of(s).queue.send([Outgoing(hint, min(900, ahead_ms // 1000))])
        return
    s.clock.sleep_until(hint.due_ms)
    run, decision = tell(s, hint.tenant, hint.run_id, Passes())
    _go_on(s, run, decision, s.clock.now_ms())


def _of_others(s: Services, hint: RunHint) -> None:
    """What concerns a run's children, its parent, or who shares its limit."""
    run = load(s, hint.tenant, hint.run_id)
    if hint.kind == "cancel_child":
        children.cancel_child(s, run, hint.node, hint.item)
    elif hint.kind == "free_slot":
        slots.free(s, run, hint.item or 0)
    else:
        kinds: dict[str, Literal["begin_item", "take_slot"]] = {"begin_item": "begin_item", "take_slot": "take_slot"}
        following = _do(s, run, Order(kinds.get(hint.kind, "tell_parent"), hint.node, hint.item))
        if following is not None:
            _go_on(s, *following, s.clock.now_ms())


def _chain(s: Services, tenant: str, run_id: str, node: str) -> None:
    """Take a step, and what follows from it one by one."""
    run, decision = _claim(s, tenant, run_id, node, None)
    if run is not None and decision.events:
        run, decision = tell(s, tenant, run_id, _take(s, run, node), run)
        _go_on(s, run, decision, s.clock.now_ms())


def _go_on(s: Services, run: LoadedRun, decision: Decision, began_ms: int) -> None:
    """Send what follows from a decision, but for one order that this worker does itself while its time lasts. So a lane
    of a foreach is one worker that goes from item to item."""
    while True:
        mine = next((order for order in decision.orders if order.kind not in _FOR_OTHERS), None)
        if s.clock.now_ms() - began_ms > CHAIN_MAX_MS:
            mine = None
        follow(s, run, decision, without=mine)
        if mine is None:
            return
        following = _do(s, run, mine)
        if following is None:
            return
        run, decision = following


def _do(s: Services, run: LoadedRun, order: Order) -> tuple[LoadedRun, Decision] | None:
    """Do what an order says; the run that it was about after it, and what follows. None: nothing was left to do."""
    if order.kind == "begin_item":
        assert order.item is not None
        begun, decision = children.begin_item(s, run, order.node, order.item)
        return None if begun is None or decision is None else (begun, decision)
    if order.kind == "tell_parent":
        return children.tell_parent(s, run)
    if order.kind == "take_slot":
        return slots.take(s, run)
    state = run.state
    claimed, decision = _claim(s, state.tenant, state.id, order.node, run)
    if claimed is None or not decision.events:
        return None
    return tell(s, state.tenant, state.id, _take(s, claimed, order.node), claimed)


def _claim(
    s: Services, tenant: str, run_id: str, node: str, known: LoadedRun | None
) -> tuple[LoadedRun | None, Decision]:
    run = known or load(s, tenant, run_id)
    if node not in run.graph.nodes:
        return None, Decision((), run.state)
    stop = _condition_that_holds(s, run, node)
    if stop is not None:
        after = advance(s, tenant, run_id, StopsAt(node, stop), run)
        return None, Decision((), after.state)
    timeout_ms = run.graph.nodes[node].timeout_ms or STEP_TIMEOUT_DEFAULT_MS
    worker = f"{s.config.instance}/{s.ids.ulid(s.clock.now_ms())}"  # of this claim alone: see run_access._append
    claims = ClaimsStep(node, worker, timeout_ms + STEP_LEASE_SPARE_MS)
    return tell(s, tenant, run_id, claims, run)


def _condition_that_holds(s: Services, run: LoadedRun, node: str) -> Mapping[str, str] | None:
    """The breakpoint on a live run whose condition has come to hold before this step."""
    for stop in live_stops.conditions(run.state.stops, run.state.fired):
        try:
            if StepScope(s, run, node).evaluate(stop["value"]) is True:
                return stop
        except StepFailed:
            continue  # of what has not happened yet an expression can say nothing
    return None


def _take(s: Services, run: LoadedRun, name: str) -> nodes.Answer:
    node = run.state.nodes[name]
    step = TakenStep(run, run.graph.nodes[name], node.token, node.attempt, StepScope(s, run, name))
    try:
        return nodes.take(s, step)
    except Unavailable:
        raise
    except Exception as problem:
        # A fault of ours must not hold the run for ever: it is an error of the node, and the log has it.
        log.exception("a step of run %s failed", run.state.id)
        return Ends(
            name, node.token, "failed", error_type="internal_error", error=repr(problem)[:200], retry_in_ms=1000
        )
