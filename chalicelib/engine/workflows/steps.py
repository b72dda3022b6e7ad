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
from chalicelib.core.workflows.chained import claim_of, own_order
from chalicelib.core.workflows.happenings import Decision, Ends, Order, Passes, StopsAt
from chalicelib.core.workflows.orders import next_due_ms, owed
from chalicelib.core.workflows.run_state import RUN_ENDED
from chalicelib.engine.workflows import children, handlers, late_runs, nodes, outputs, slots
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
PURGE_AGAIN_MS = 3_600_000
AHEAD_MAX_MS = 5_000  # a hint that comes earlier than this before its instant goes back to the queue


def handle(s: Services, hint: RunHint) -> None:
    """Do what a hint points at."""
    try:
        match hint.kind:
            case "due":
                _due(s, hint)
            case "purge":
                _purge(s, hint)
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
    if summary is None or (summary.status in RUN_ENDED and _is_over(s, summary, summary.finished_ms)):
        return
    try:
        run = load(s, tenant, run_id)
    except NotFound:
        # It was entered and never began: its caller has no answer, and may begin it with the same id. A large input
        # may be kept for it, which goes with it.
        if not _is_over(s, summary, summary.started_ms):
            kept_ms = s.config.run_retention_ms
            wake_ms = None if kept_ms is None else summary.started_ms + kept_ms
            s.stores.runs.summarize(replace(summary, wake_ms=wake_ms, rev=summary.rev + 1), summary.rev)
        return
    due_ms = next_due_ms(run.state, with_leases=True)
    if due_ms is not None and due_ms <= s.clock.now_ms():
        run = advance(s, tenant, run_id, Passes(), run)
    send(s, run.state, owed(run.graph, run.state), next_due_ms(run.state))
    settle_summary(s, run)


def _is_over(s: Services, summary: RunSummary, since_ms: int | None) -> bool:
    """Whether a run has been kept for as long as it is: then what is kept of it is deleted by a message."""
    now_ms = s.clock.now_ms()
    if not _is_kept_no_more(s, since_ms):
        return False
    # The message may be lost: then this is done again.
    later = replace(summary, wake_ms=now_ms + PURGE_AGAIN_MS, rev=summary.rev + 1)
    if s.stores.runs.summarize(later, summary.rev):
        parts_of(s).queue.send([Outgoing(RunHint(summary.tenant, summary.id, "purge"), 0)])
    return True


def _is_kept_no_more(s: Services, since_ms: int | None) -> bool:
    kept_ms = s.config.run_retention_ms
    return kept_ms is not None and since_ms is not None and s.clock.now_ms() >= since_ms + kept_ms


def _purge(s: Services, hint: RunHint) -> None:
    """Delete all that is kept of a run, unless it went on since the message was sent."""
    summary = s.stores.runs.load(hint.tenant, hint.run_id)
    if summary is not None:
        is_begun = summary.status in RUN_ENDED or bool(s.stores.runs.read(hint.tenant, hint.run_id).events)
        if not _is_kept_no_more(s, summary.finished_ms if is_begun else summary.started_ms):
            return
    outputs.purge(s, hint.tenant, hint.run_id)


def _due(s: Services, hint: RunHint) -> None:
    ahead_ms = hint.due_ms - s.clock.now_ms()
    if ahead_ms > AHEAD_MAX_MS:
        parts_of(s).queue.send([Outgoing(hint, min(900, ahead_ms // 1000))])
        return
    s.clock.sleep_until(hint.due_ms)
    run, decision = tell(s, hint.tenant, hint.run_id, Passes(), worker=_new_worker(s))
    _go_on(s, run, decision, s.clock.now_ms())


def _of_others(s: Services, hint: RunHint) -> None:
    """What concerns a run's children, its parent, or who shares its limit."""
    run = load(s, hint.tenant, hint.run_id)
    if hint.kind == "cancel_child":
        children.cancel_child(s, run, hint.node, hint.item)
    elif hint.kind == "tell_late":
        late_runs.tell(s, run, hint.node)
    elif hint.kind == "free_slot":
        slots.free(s, run, hint.item or 0)
    else:
        kinds: dict[str, Literal["begin_item", "take_slot"]] = {"begin_item": "begin_item", "take_slot": "take_slot"}
        order = Order(kinds.get(hint.kind, "tell_parent"), hint.node, hint.item)
        following = _do(s, run, order, _new_worker(s))
        if following is not None:
            _go_on(s, *following, s.clock.now_ms())


def _chain(s: Services, tenant: str, run_id: str, node: str) -> None:
    """Take a step, and what follows from it one by one."""
    began_ms = s.clock.now_ms()
    claimed = _claim(s, load(s, tenant, run_id), node)
    if claimed is not None:
        _go_on(s, *_step(s, claimed, node, _new_worker(s)), began_ms)


def _go_on(s: Services, run: LoadedRun, decision: Decision, began_ms: int) -> None:
    """Send what follows from a decision, but for one order that this worker does itself while its time lasts. So a lane
    of a foreach is one worker that goes from item to item. A step that the decision has claimed is always taken."""
    while True:
        is_over = s.clock.now_ms() - began_ms > CHAIN_MAX_MS
        mine = None if is_over or decision.claimed else own_order(decision.orders)
        follow(s, run, decision, without=mine)
        worker = "" if is_over else _new_worker(s)
        if decision.claimed:
            run, decision = _step(s, run, decision.claimed, worker)
            continue
        following = None if mine is None else _do(s, run, mine, worker)
        if following is None:
            return
        run, decision = following


def _do(s: Services, run: LoadedRun, order: Order, worker: str) -> tuple[LoadedRun, Decision] | None:
    """Do what an order says; the run that it was about after it, and what follows. None: nothing was left to do."""
    if order.kind == "begin_item":
        assert order.item is not None
        begun, decision = children.begin_item(s, run, order.node, order.item, worker)
        return None if begun is None or decision is None else (begun, decision)
    if order.kind == "tell_parent":
        return children.tell_parent(s, run, worker)
    if order.kind == "take_slot":
        return slots.take(s, run, worker)
    claimed = _claim(s, run, order.node)
    return None if claimed is None else _step(s, claimed, order.node, worker)


def _step(s: Services, claimed: LoadedRun, node: str, worker: str) -> tuple[LoadedRun, Decision]:
    """Take a step that is claimed; ``worker`` claims the next one in the same append (empty: its time is over)."""
    state = claimed.state
    return tell(s, state.tenant, state.id, _take(s, claimed, node), claimed, worker)


def _new_worker(s: Services) -> str:
    """Of one claim alone: so an append without an answer is known from those of others (``run_access._append``)."""
    return f"{s.config.instance}/{s.ids.ulid(s.clock.now_ms())}"


def _claim(s: Services, run: LoadedRun, node: str) -> LoadedRun | None:
    """The run with this step claimed; None: the step is another's, or stands at a breakpoint."""
    state = run.state
    if node not in run.graph.nodes:
        return None
    stop = _condition_that_holds(s, run, node)
    if stop is not None:
        advance(s, state.tenant, state.id, StopsAt(node, stop), run)
        return None
    claimed, decision = tell(s, state.tenant, state.id, claim_of(run.graph, node, _new_worker(s)), run)
    if not decision.events:
        return None
    follow(s, claimed, decision)  # a claim may come after an instant that is written along with it
    return claimed


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
