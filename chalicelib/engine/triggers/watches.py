"""Watches in force: an event moves one, and its instant fires it. The decisions are ``core.triggers.watch``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from chalicelib.core.errors import TooMany
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.queue_messages import RunHint, delay_s
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.core.triggers.watch import FIRING, IDLE, Arrival, Watch, WatchKind, due, settled
from chalicelib.engine.triggers import event_firings
from chalicelib.ports.services import Services
from chalicelib.ports.stores.triggers import DueWatch
from chalicelib.ports.work_queue import Outgoing

log = logging.getLogger(__name__)

HINT: Final = "watch"
SAVE_ATTEMPTS = 24
LOOK_PAGE = 100
AHEAD_MAX_MS = 2_000  # a queue holds messages back by whole seconds
LOOK_MAX_PAGES = 50


def move(
    s: Services, at: tuple[str, str], kind: WatchKind, key: str, decide: Callable[[Watch], Watch]
) -> tuple[Watch, Watch]:
    """A watch before and after an event. What is over by now fires first, though its hint be late: an event that comes
    after the end takes nothing back. The hint is sent before the watch is written, so that a worker that dies in
    between leaves a hint that finds nothing to do.

    Raises TooMany when many events come at once.
    """
    for _ in range(SAVE_ATTEMPTS):
        before = s.stores.triggers.watch(*at, kind, key)
        over = due(before, s.clock.now_ms())
        if over.state == FIRING:
            if over == before or s.stores.triggers.save_watch(over, before.rev):
                _finish(s, over)
            continue
        after = decide(before)
        if after == before:
            return before, after
        if after.state != IDLE:
            hint(s, after)
        if s.stores.triggers.save_watch(after, before.rev):
            return before, after
    raise TooMany("events of one key arrive faster than they can be put in order", code="contended")


def handle(s: Services, hinted: RunHint) -> None:
    """Do what a hint points at. One that comes early is held until its instant, or goes back onto the queue. When the
    watch has moved on, the event that moved it has sent a hint of its own."""
    named, _, key = hinted.node.partition("#")
    kind: WatchKind = "debounce" if named == "debounce" else "absence"
    before_ms = hinted.due_ms - s.clock.now_ms()
    if before_ms > AHEAD_MAX_MS:
        _send(s, DueWatch(hinted.tenant, hinted.run_id, kind, key, hinted.due_ms))
        return
    s.clock.sleep_until(hinted.due_ms)
    look(s, hinted.tenant, hinted.run_id, kind, key)


def look(s: Services, tenant: str, trigger_id: str, kind: WatchKind, key: str) -> Execution | None:
    """What an instant of a watch brings: the execution of its event, if it has come to its end."""
    for _ in range(SAVE_ATTEMPTS):
        before = s.stores.triggers.watch(tenant, trigger_id, kind, key)
        after = due(before, s.clock.now_ms())
        if after.state != FIRING:
            return None
        if after == before or s.stores.triggers.save_watch(after, before.rev):
            return _finish(s, after)
    raise TooMany("a watch is being changed by many events at once", code="contended")


def reconcile(s: Services) -> None:
    """Once a minute: hints for the watches that end soon, and those whose hints were lost."""
    now_ms = s.clock.now_ms()
    for _ in range(LOOK_MAX_PAGES):
        found = s.stores.triggers.due_watches(now_ms + HORIZON_MS, LOOK_PAGE)
        late = [one for one in found if one.due_ms <= now_ms]
        for one in found:
            if one.due_ms > now_ms:
                _send(s, one)
            else:
                look(s, one.tenant, one.trigger_id, one.kind, one.key)
        if len(found) < LOOK_PAGE or not late:
            return


def hint(s: Services, watch: Watch) -> None:
    """Let a worker check a watch when its instant comes."""
    _send(s, DueWatch(watch.tenant, watch.trigger_id, watch.kind, watch.key, watch.due_ms))


def _send(s: Services, due: DueWatch) -> None:
    assert s.workflows is not None
    message = RunHint(due.tenant, due.trigger_id, HINT, f"{due.kind}#{due.key}", due_ms=due.due_ms)
    s.workflows.queue.send([Outgoing(message, delay_s(due.due_ms, s.clock.now_ms(), 0))])


def _finish(s: Services, firing: Watch) -> Execution | None:
    """The execution of a watch that fires, and the watch idle again. Nothing fires of a trigger that is deleted, or
    that was paused at that instant."""
    key = Key(firing.tenant, firing.trigger_id)
    found = s.stores.schedules.get([key]).get(key)
    fired = None
    if found is None:
        log.info("a watch of a trigger that is gone ends: %s", firing.trigger_id)
    elif _is_paused(found, firing.due_ms):
        log.info("a watch ends in a pause of its trigger, and fires nothing: %s", firing.trigger_id)
    else:
        event = Arrival(firing.digest, firing.event, firing.depth)
        fired = event_firings.fire(s, found, event, firing.due_ms)
    s.stores.triggers.save_watch(settled(firing), firing.rev)  # False: another worker did so
    return fired


def _is_paused(found: Schedule, at_ms: int) -> bool:
    """Whether a trigger was paused at an instant, whatever it is now: the answer stays the same for all who look."""
    in_force = found.state.in_force_at(at_ms)
    return in_force is not None and not in_force.active
