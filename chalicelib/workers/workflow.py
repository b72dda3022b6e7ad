"""Workflow: takes hints from its queue and does what they point at. Reconcile finds what was lost on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from chalicelib.core.errors import ChronoError
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.queue_messages import BusEvent, RunHint, decode_step
from chalicelib.engine.triggers import watches
from chalicelib.engine.workflows import steps
from chalicelib.engine.workflows.run_access import parts_of
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Incoming, Outgoing
from chalicelib.workers import alerts, bus_events

log = logging.getLogger(__name__)

LOOK_PAGE = 100
LOOK_MAX_PAGES = 50


def run(s: Services, batch: Sequence[Incoming]) -> list[str]:
    """Handle a batch side by side; returns the receipts of those that the queue must deliver again."""
    again: list[str] = []
    jobs = []
    for incoming in batch:
        try:
            found = decode_step(incoming.body)
        except ValueError as problem:
            log.error("poisoned message: %s", problem)
            again.append(incoming.receipt)
            continue
        jobs.append(s.tasks.start(partial(_handle, s, found, incoming.receipt, again)))
    for job in jobs:
        job.wait()
    return again


def _handle(s: Services, hint: RunHint | BusEvent, receipt: str, again: list[str]) -> None:
    if isinstance(hint, BusEvent):
        if not bus_events.take(s, hint):
            again.append(receipt)
        return
    try:
        if hint.kind == watches.HINT:
            watches.handle(s, hint)
        elif hint.kind in alerts.HINTS:
            alerts.handle(s, hint)
        else:
            steps.handle(s, hint)
    except ChronoError as problem:
        log.warning("%s %s: %s", hint.kind, hint.run_id, problem.detail)
        again.append(receipt)


def reconcile(s: Services) -> None:
    """Once a minute: hints for the instants that come soon, and a check of every run and watch whose time has come."""
    alerts.reconcile(s)
    watches.reconcile(s)
    now_ms = s.clock.now_ms()
    for _ in range(LOOK_MAX_PAGES):
        found = s.stores.runs.woken(now_ms + HORIZON_MS, LOOK_PAGE)
        late = [woken for woken in found if woken.wake_ms <= now_ms]
        soon = [woken for woken in found if woken.wake_ms > now_ms]
        for woken in late:
            try:
                steps.look(s, woken.tenant, woken.id)
            except ChronoError as problem:
                log.warning("run %s was not checked: %s", woken.id, problem.detail)
        hints = [RunHint(w.tenant, w.id, "due", due_ms=w.wake_ms) for w in soon]
        parts_of(s).queue.send([Outgoing(h, max(0, (h.due_ms - now_ms - s.config.lead_ms) // 1000)) for h in hints])
        if len(found) < LOOK_PAGE or not late:
            return
