"""``monitor``: an alert when no execution of a schedule succeeded for a while, and another event when one does again.

The feed notes successes (of executions whose record says ``monitored``). Reconcile checks once a minute the watches
whose time has come. A silence is recorded before its event is emitted, by one conditional write, and the event's id
follows from what was recorded. The end of a silence is emitted before it is recorded. So each event is emitted at least
once, under one id, although a worker dies in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.executions.execution import COMPLETED
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.policies import policy_events
from chalicelib.core.policies.limits import MONITOR_CHECK_RECORDS, MONITOR_COMPLETED_KEPT_MS
from chalicelib.core.policies.monitor import MonitorFinding, MonitorState, check, notified, put_off, spoke
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.schedule import Definition, Key, Schedule
from chalicelib.engine.events import emit
from chalicelib.engine.rule_presence import has_rules
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

WRITE_ATTEMPTS = 6
PAGE_WATCHES = 100
SHARD_MAX_PAGES = 3  # a minute; what is left waits for the next


def note(s: Services, successes: Iterable[tuple[Key, int]]) -> None:
    """Note when executions of monitored schedules succeeded, and emit the recovery of those that had been silent.

    Raises Unavailable: then all of it must come again."""
    latest: dict[Key, int] = {}
    for key, success_ms in successes:
        latest[key] = max(success_ms, latest.get(key, 0))
    watches = s.stores.schedules.monitors(list(latest)) if latest else {}
    for key, found in watches.items():
        _note(s, found, latest[key])


def _note(s: Services, found: MonitorState, success_ms: int) -> None:
    known: MonitorState | None = found
    for _ in range(WRITE_ATTEMPTS):
        after = None if known is None else spoke(known, success_ms)
        if known is None or after is None:
            return
        if known.silent_ms:
            _emit_recovery(s, known, success_ms)
        if s.stores.schedules.write_monitor(after, known.rev):
            return
        known = s.stores.schedules.monitors([found.key]).get(found.key)
    raise Unavailable("too many writers change the monitor of a schedule at once")


def check_shard(s: Services, shard: int) -> None:
    """Check the watches of a shard whose time has come. Raises Unavailable when the bus does not take an alert: it
    stays recorded, and is emitted in the next minute."""
    for _ in range(SHARD_MAX_PAGES):
        now_ms = s.clock.now_ms()
        keys = s.stores.schedules.due_monitors(shard, now_ms, PAGE_WATCHES)
        watches = s.stores.schedules.monitors(keys) if keys else {}
        due = [found for found in watches.values() if found.look_ms <= now_ms]  # the list may lag
        if due:
            _check_due(s, due)
        if len(keys) < PAGE_WATCHES or not due:
            return


def _check_due(s: Services, due: Sequence[MonitorState]) -> None:
    schedules = s.stores.schedules.get([w.key for w in due])
    silent: list[tuple[Definition, MonitorState]] = []
    for found in due:
        try:
            silent += _judge(s, found, schedules.get(found.key))
        except ChronoError as problem:  # one's trouble does not stop the others
            log.warning("a monitor is checked again in a minute: %s", problem, extra={"schedule_id": found.id})
    if silent:
        emit(s, [policy_events.no_success(definition, watch) for definition, watch in silent])
        _tell_rules(s, silent)
    for _, watch in silent:
        s.stores.schedules.write_monitor(notified(watch, s.clock.now_ms()), watch.rev)


def _tell_rules(s: Services, silent: Sequence[tuple[Definition, MonitorState]]) -> None:
    """Send signals to the notification rules of the tenants concerned. The same signal again changes nothing."""
    for tenant in dict.fromkeys(definition.tenant for definition, _ in silent):
        if not has_rules(s, tenant):
            continue
        from chalicelib.core.notices.rule import Signal  # not before: rule_presence
        from chalicelib.engine import notices

        signals = [
            Signal(
                subject=f"schedule/{d.id}",
                name=d.name or d.id,
                owner=d.owner,
                tags=d.tags,
                causes=("silent",),
                at_ms=watch.silent_ms,
                source=f"{d.id}-{watch.silent_ms}-silent",
                detail=f"no success for {watch.window_ms} ms",
            )
            for d, watch in silent
            if d.tenant == tenant
        ]
        notices.signal(s, tenant, signals)


def _judge(s: Services, found: MonitorState, watched: Schedule | None) -> list[tuple[Definition, MonitorState]]:
    """The watch with its silence recorded, if an event is to be emitted; else nothing. Only one check's write wins."""
    if watched is None or watched.definition.monitor is None or not watched.definition.active:
        s.stores.schedules.drop_monitor(found.key, found.rev)  # what makes it monitored and active again begins another
        return []
    now_ms = s.clock.now_ms()
    if schedule.progress(watched, now_ms).state != "active":
        _put_off(s, found, watched, now_ms)
        return []
    finding, after = check(found, _last_success(s, found, now_ms), now_ms)
    if finding is MonitorFinding.SPOKE:
        _emit_recovery(s, found, after.success_ms)
    if not s.stores.schedules.write_monitor(after, found.rev):
        return []  # a success was noted, or the schedule changed: that write says when to check again
    unsent = finding is MonitorFinding.FELL_SILENT or (finding is MonitorFinding.STILL_SILENT and not found.told)
    return [(watched.definition, after)] if unsent else []


def _put_off(s: Services, found: MonitorState, completed: Schedule, now_ms: int) -> None:
    """A change that began before the schedule had completed lets its watch go on: so it is kept for a while."""
    ended_ms = max(completed.state.queued_ms or 0, completed.definition.since_ms)
    if now_ms - ended_ms > MONITOR_COMPLETED_KEPT_MS:
        s.stores.schedules.drop_monitor(found.key, found.rev)
    else:
        s.stores.schedules.write_monitor(put_off(found, now_ms), found.rev)


def _last_success(s: Services, found: MonitorState, now_ms: int) -> int:
    """The last success among the newest executions: one that the feed, which may lag, has not noted yet. 0 for none.

    Reads on only while what it knows leaves the schedule silent."""
    last_ms, after = found.success_ms, None
    for size in MONITOR_CHECK_RECORDS:
        records, after = s.stores.executions.of_schedule(found.key, 0, INSTANT_MAX_MS, size, after)
        last_ms = max([last_ms, *(e.finished_ms or 0 for e in records if e.state == COMPLETED)])
        if after is None or last_ms + found.window_ms > now_ms:
            break
    return last_ms


def _emit_recovery(s: Services, silent: MonitorState, success_ms: int) -> None:
    """Emit that a silence is over, and before that its alert, if that was not sent."""
    definition = s.stores.schedules.definitions([silent.key]).get(silent.key)
    if definition is None:
        return
    events = [] if silent.told else [policy_events.no_success(definition, silent)]
    emit(s, [*events, policy_events.recovered(definition, silent, success_ms)])
