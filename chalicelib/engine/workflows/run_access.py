"""A run's log, read and added to: load, decide, append; then what follows is sent.

The append is the only thing that makes anything true. Messages, the snapshot and the summary come after it, and may be
lost with their worker. ``reconcile`` finds the run by ``wake_ms``, which is written before a run has anything to do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import OutcomeUnknown, PreconditionFailed, TooMany
from chalicelib.core.limits import QUEUE_DELAY_MAX_S
from chalicelib.core.queue_messages import RunHint, delay_s
from chalicelib.core.security.authorize import missing
from chalicelib.core.workflows import compiled, sla
from chalicelib.core.workflows.chained import decide_and_claim
from chalicelib.core.workflows.compiled import CompiledWorkflow
from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import Decision, Happening, Order, Redrives
from chalicelib.core.workflows.limits import SNAPSHOT_EVERY_EVENTS
from chalicelib.core.workflows.orders import next_due_ms, owed
from chalicelib.core.workflows.run_state import NodeState, RunState, SeenRun, fold, version_of
from chalicelib.engine.workflows import gate_notices
from chalicelib.ports.services import Services
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.ports.work_queue import Outgoing
from chalicelib.ports.workflow_steps import WorkflowParts

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 60_000  # a run that has something to do is checked as often
APPEND_ATTEMPTS = 64
SETTLE_ATTEMPTS = 8
PROMISE_KEPT_MS = 10_000  # a check that comes sooner may be made before what it is promised for


class LoadedRun(Struct, frozen=True):
    """A run as of now, and what it walks."""

    state: RunState
    workflow: CompiledWorkflow

    @property
    def graph(self) -> Graph:
        """What it walks: the whole, or what an item goes through."""
        return self.workflow.graph(self.state.scope)


def parts_of(s: Services) -> WorkflowParts:
    """What steps need from outside."""
    assert s.workflows is not None, "this process takes no steps of workflows"
    return s.workflows


def load(s: Services, tenant: str, run_id: str) -> LoadedRun:
    """A run. Raises NotFound."""
    read = s.stores.runs.read(tenant, run_id)
    state = fold(read.state or RunState(), read.events)
    if not state.events:
        raise missing(f"run {run_id}")
    return LoadedRun(state, workflow(s, tenant, state.workflow, state.version))


def check_version(run: RunState, versions: Sequence[str] | None) -> None:
    """Refuse a version other than those that a caller names. Raises PreconditionFailed."""
    if versions is not None and version_of(run) not in versions:
        raise PreconditionFailed(f"the run is at version {version_of(run)}")


def workflow(s: Services, tenant: str, name: str, version: str) -> CompiledWorkflow:
    """A version, ready to be walked. Raises NotFound."""
    document = s.process.workflows.get(
        (tenant, name, version), lambda: s.stores.workflows.load_version(tenant, name, version)
    )
    if document is None:
        raise missing(f"version {version} of workflow {name}")
    return compiled.of_text(document)


def tell(
    s: Services,
    tenant: str,
    run_id: str,
    happening: Happening,
    known: LoadedRun | None = None,
    worker: str = "",
    versions: Sequence[str] | None = None,
) -> tuple[LoadedRun, Decision]:
    """Let this happen to a run; the run after it. The orders of the decision are the caller's to send.

    ``known``: the run as the caller saw it last, to save the read. With ``worker`` the decision may claim the step that
    the caller then has to take. ``versions``: those that the run may have (None: any). The append is refused where the
    log has grown, so what it is added to has one of them. Raises NotFound, Conflict, PreconditionFailed.
    """
    run = known
    for _ in range(APPEND_ATTEMPTS):
        run = run or load(s, tenant, run_id)
        check_version(run.state, versions)
        decision = _decided(s, run, happening, worker)
        if not decision.events:
            if run is not known:
                return run, decision
            run = known = None  # what the caller saw may be old
            continue
        _promise_look(s, run.state, decision)
        if _append(s, tenant, run_id, decision):
            _keep(s, run.state, decision.state)
            return _after(s, decision.state), decision
        run = None
    raise TooMany("the run is being changed by many at once", code="contended")


def advance(
    s: Services,
    tenant: str,
    run_id: str,
    happening: Happening,
    known: LoadedRun | None = None,
    versions: Sequence[str] | None = None,
) -> LoadedRun:
    """``tell``, and send what follows from it."""
    after, decision = tell(s, tenant, run_id, happening, known, versions=versions)
    follow(s, after, decision)
    return after


def follow(s: Services, after: LoadedRun, decision: Decision, without: Order | None = None) -> None:
    """Send what follows from a decision; the caller does ``without`` itself."""
    orders = [order for order in decision.orders if order != without]
    send(s, after.state, orders, decision.next_due_ms)
    tells_itself = without is not None and without.kind == "tell_parent"  # and lets the run rest then
    shows = decision.status_changed or gate_notices.concern(after.graph, decision)
    if shows and not (tells_itself and after.state.scope):
        settle_summary(s, after)


def send(s: Services, run: RunState, orders: Sequence[Order], next_ms: int | None) -> None:
    """Queue what is to be done for a run, and the hint that its next instant has come where that is near."""
    now_ms, messages = s.clock.now_ms(), []
    for order in orders:
        hint = RunHint(run.tenant, run.id, order.kind, order.node, order.item)
        messages.append(Outgoing(hint, 0))
    if next_ms is not None and next_ms - now_ms <= QUEUE_DELAY_MAX_S * 1000:
        hint = RunHint(run.tenant, run.id, "due", due_ms=next_ms)
        messages.append(Outgoing(hint, delay_s(next_ms, now_ms, s.config.lead_ms)))
    if messages:
        parts_of(s).queue.send(messages)


def _send_handler(s: Services, run: LoadedRun) -> None:
    """Let the workflow that handles failures begin, where the run failed and has one.

    A worker that writes the summary of an ended run does this before: reconcile checks no run after it. The run may
    have failed by another worker, which died then. It may also fail in the append that it begins with.
    """
    state = run.state
    if state.status == "failed" and run.workflow.definition.on_failure and not state.scope:
        parts_of(s).queue.send([Outgoing(RunHint(state.tenant, state.id, "on_failure"), 0)])


def wake_ms_of(s: Services, graph: Graph, state: RunState, now_ms: int) -> int | None:
    """When reconcile must check the run, if nothing happens to it (None: it waits for callers, or stays for ever)."""
    if state.is_ended and not owed(graph, state):
        return purge_ms_of(s, state)
    due_ms = next_due_ms(state)
    busy = bool(owed(graph, state)) or any(node.status == "running" for node in state.nodes.values())
    if busy:
        return now_ms + LOOK_EVERY_MS if due_ms is None else min(due_ms, now_ms + LOOK_EVERY_MS)
    return due_ms


def purge_ms_of(s: Services, state: RunState) -> int | None:
    """When what is kept of a run that has ended is deleted; None: never."""
    kept_ms = s.config.run_retention_ms
    return None if kept_ms is None or state.finished_ms is None else state.finished_ms + kept_ms


def seen_run(run: LoadedRun) -> SeenRun:
    """What the change feed says of a run now. Its output is there where one node brought it."""
    nodes = run.state.nodes
    done = [name for name in run.graph.ends if nodes[name].status == "completed"]
    is_done = run.state.status == "completed" and len(done) == 1
    return SeenRun(run.state, nodes[done[0]].output if is_done else None)


def summary_of(state: RunState, rev: int, wake_ms: int | None) -> RunSummary:
    """What lists show of a run."""
    return RunSummary(
        tenant=state.tenant,
        id=state.id,
        workflow=state.workflow,
        version=state.version,
        status=state.shown_status,
        owner=state.owner,
        started_ms=state.started_ms,
        finished_ms=state.finished_ms,
        wake_ms=wake_ms,
        rev=rev,
        listed=not state.scope,
        redrives=state.redrives,
    )


def settle_summary(s: Services, run: LoadedRun) -> None:
    """Bring the summary up to date with the log. Where others change it at the same time it is read again: what they
    saw of the log may be older."""
    state = run.state
    for _ in range(SETTLE_ATTEMPTS):
        known = s.stores.runs.load(state.tenant, state.id)
        if known is None:
            return
        again = load(s, state.tenant, state.id)
        now_ms = s.clock.now_ms()
        if _is_about_to_go_on(known, again.state, now_ms):
            return
        wake_ms = wake_ms_of(s, again.graph, again.state, now_ms)
        # A worker that has a check coming may be about to append, and die. The promise is all that is known of it then,
        # so it stays until it is kept.
        if not again.state.is_ended and known.wake_ms is not None and known.wake_ms > now_ms:
            wake_ms = known.wake_ms if wake_ms is None else min(wake_ms, known.wake_ms)
        wanted = summary_of(again.state, known.rev + 1, wake_ms)
        if not gate_notices.tell(s, again.graph, again.state):
            soon_ms = now_ms + LOOK_EVERY_MS
            wanted = replace(wanted, wake_ms=soon_ms if wake_ms is None else min(soon_ms, wake_ms))
        if wanted == replace(known, rev=known.rev + 1):
            return
        _send_handler(s, again)
        if wanted.status != known.status and wanted.listed:
            wanted = replace(wanted, change=seen_run(again))
        if s.stores.runs.summarize(wanted, known.rev):
            return


def _is_about_to_go_on(known: RunSummary, state: RunState, now_ms: int) -> bool:
    """Whether a redrive has promised a check, and is not in the log as it was read. It sees to the summary itself."""
    return known.redrives > state.redrives and known.wake_ms is not None and known.wake_ms > now_ms


def promise(s: Services, tenant: str, run_id: str, by_ms: int) -> None:
    """Have a run checked by then, and not before this worker's next write."""
    s.stores.runs.wake_by(tenant, run_id, by_ms, min(by_ms, s.clock.now_ms() + PROMISE_KEPT_MS))


def rest(s: Services, ended: LoadedRun) -> None:
    """Let a run that has ended and reported so be checked no more. A summary that was changed meanwhile stays: the next
    check reports again, which changes nothing."""
    run = ended.state
    known = s.stores.runs.load(run.tenant, run.id)
    if known is None or _is_about_to_go_on(known, run, s.clock.now_ms()) or sla.untold(run):
        return
    purge_ms = purge_ms_of(s, run)
    if known.wake_ms != purge_ms or known.status != run.shown_status:
        _send_handler(s, ended)
        change = SeenRun(run) if run.shown_status != known.status and known.listed else None
        s.stores.runs.summarize(replace(summary_of(run, known.rev + 1, purge_ms), change=change), known.rev)


def _append(s: Services, tenant: str, run_id: str, decision: Decision) -> bool:
    """Whether the events are in the log. Where the store does not say, the log does."""
    try:
        return s.stores.runs.append(tenant, run_id, decision.events)
    except OutcomeUnknown:
        # Another's append may begin with the same event: all of them are compared, the claim of this worker too.
        first, count = decision.events[0], len(decision.events)
        found = s.stores.runs.events(tenant, run_id, first.number - 1, count)
        if not found:
            raise
        return found[:count] == list(decision.events)


def _after(s: Services, state: RunState) -> LoadedRun:
    return LoadedRun(state, workflow(s, state.tenant, state.workflow, state.version))


def _decided(s: Services, run: LoadedRun, happening: Happening, worker: str) -> Decision:
    graph, now_ms = _graph_after(s, run, happening), s.clock.now_ms()
    if worker:
        return decide_and_claim(graph, run.state, happening, worker, now_ms)
    return decide(graph, run.state, happening, now_ms)


def _graph_after(s: Services, run: LoadedRun, happening: Happening) -> Graph:
    if isinstance(happening, Redrives) and happening.version:
        edited = workflow(s, run.state.tenant, run.state.workflow, happening.version)
        return edited.graph(run.state.scope)
    return run.graph


def _promise_look(s: Services, before: RunState, decision: Decision) -> None:
    """A run that only waited is not checked. Before it has something to do again, that changes.

    The promise of a run that has something to do is at most LOOK_EVERY_MS old, so it need not be written at each step.
    """
    if before.redrives != decision.state.redrives:
        _promise_redrive(s, decision.state)
        return
    if not before.events or any(_is_busy(node) for node in before.nodes.values()):
        return
    now_ms = s.clock.now_ms()
    busy = any(node.status == "running" for node in decision.state.nodes.values()) or decision.orders
    changes_lists = decision.status_changed and not decision.state.scope
    soonest = now_ms + LOOK_EVERY_MS if busy or changes_lists else decision.next_due_ms
    if soonest is not None and soonest != next_due_ms(before):
        promise(s, before.tenant, before.id, soonest)


def _promise_redrive(s: Services, after: RunState) -> None:
    """A run that ended is to be checked again. Workers that saw its end may write so at the same time."""
    for _ in range(SETTLE_ATTEMPTS):
        known = s.stores.runs.load(after.tenant, after.id)
        if known is None:
            return
        soonest = s.clock.now_ms() + LOOK_EVERY_MS
        promised = replace(known, wake_ms=soonest, redrives=after.redrives, rev=known.rev + 1)
        if s.stores.runs.summarize(promised, known.rev):
            return
    raise TooMany("the run is being changed by many at once", code="contended")


def _is_busy(node: NodeState) -> bool:
    """Whether a run with such a node is checked every LOOK_EVERY_MS."""
    return node.status == "running" or (node.status == "waiting" and node.fan is not None and bool(node.fan.live))


def _keep(s: Services, before: RunState, after: RunState) -> None:
    """After an append: what makes the next read short, and lists true."""
    if before.events // SNAPSHOT_EVERY_EVENTS < after.events // SNAPSHOT_EVERY_EVENTS:
        s.stores.runs.snapshot(after)
