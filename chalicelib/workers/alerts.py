"""Alerts: monitors whose time has come, and notifications that are to be sent. They share the queue of workflows."""

from __future__ import annotations

import logging
from typing import Final

from chalicelib.core.errors import ChronoError, NotFound
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.queue_messages import RunHint
from chalicelib.engine import heartbeats, notices
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Outgoing

log = logging.getLogger(__name__)

HINTS: Final = frozenset({heartbeats.MONITOR_HINT, notices.NOTICE_HINT})
AHEAD_MAX_MS = 5_000  # a hint that comes earlier than this before its instant goes back to the queue
PAGE = 100
MAX_PAGES = 50


def handle(s: Services, hint: RunHint) -> None:
    """Do what a hint points at, at its instant. Raises ChronoError: then it must come again."""
    ahead_ms = hint.due_ms - s.clock.now_ms()
    if ahead_ms > AHEAD_MAX_MS and s.workflows is not None:
        s.workflows.queue.send([Outgoing(hint, min(900, ahead_ms // 1000))])
        return
    s.clock.sleep_until(hint.due_ms)
    _look(s, hint.kind, hint.tenant, hint.run_id)


def reconcile(s: Services) -> None:
    """Once a minute: hints for the instants that come soon, and a check of what is due."""
    now_ms = s.clock.now_ms()
    for _ in range(MAX_PAGES):
        found = s.stores.alerts.woken(now_ms + HORIZON_MS, PAGE)
        late = [woken for woken in found if woken.wake_ms <= now_ms]
        for woken in late:
            kind = heartbeats.MONITOR_HINT if woken.kind == "monitor" else notices.NOTICE_HINT
            try:
                _look(s, kind, woken.tenant, woken.id)
            except ChronoError as problem:  # one's trouble does not stop the others
                log.warning("%s %s is checked again in a minute: %s", woken.kind, woken.id, problem.detail)
        soon = [woken for woken in found if woken.wake_ms > now_ms]
        for woken in soon:
            kind = heartbeats.MONITOR_HINT if woken.kind == "monitor" else notices.NOTICE_HINT
            hint = RunHint(woken.tenant, woken.id, kind, due_ms=woken.wake_ms)
            if s.workflows is not None:
                s.workflows.queue.send([Outgoing(hint, max(0, (woken.wake_ms - now_ms - s.config.lead_ms) // 1000))])
        if len(found) < PAGE or not late:
            return


def _look(s: Services, kind: str, tenant: str, record_id: str) -> None:
    try:
        if kind == heartbeats.MONITOR_HINT:
            heartbeats.look(s, tenant, record_id, notices.on_monitor)
        else:
            notices.look(s, tenant, record_id)
    except NotFound:
        log.info("a hint points at a %s that is gone", kind)
