"""Monitors as they are kept: loaded, changed by one conditional write, checked when their time comes, and announced.

A ping and a deadline that race are decided by the write that comes first: the other one reads again. So no ping that
was acknowledged before its deadline is overtaken. What was decided is announced afterwards: by a hint at once, and by
reconcile when the hint was lost with its worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import TooMany
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.heartbeats import heartbeat
from chalicelib.core.heartbeats.heartbeat import Crossing, Heartbeat
from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.authorize import missing
from chalicelib.engine.events import emit
from chalicelib.ports.services import Services
from chalicelib.ports.stores.alerts import AlertRecord
from chalicelib.ports.work_queue import Outgoing

log = logging.getLogger(__name__)

MONITOR_HINT = "monitor"
WRITE_ATTEMPTS = 16
_read = decoder_of(Heartbeat).decode

Change = Callable[[Heartbeat], Heartbeat]
Teller = Callable[[Services, Heartbeat, Sequence[Crossing]], None]


def load(s: Services, tenant: str, monitor_id: str) -> Heartbeat:
    """A monitor. Raises NotFound."""
    record = s.stores.alerts.load(tenant, "monitor", monitor_id)
    if record is None:
        raise missing("monitor")
    return _read(record.document)


def record_of(found: Heartbeat) -> AlertRecord:
    """The monitor as it is stored."""
    document = msgspec.json.encode(found).decode()
    return AlertRecord(found.tenant, "monitor", found.id, document, found.rev, wake_ms=found.next_look_ms)


def read_record(record: AlertRecord) -> Heartbeat:
    """The monitor of a record."""
    return _read(record.document)


def change(s: Services, tenant: str, monitor_id: str, decide: Change) -> Heartbeat:
    """Change a monitor by one conditional write, then send the hint of its next instant. Raises NotFound, TooMany."""
    for _ in range(WRITE_ATTEMPTS):
        known = load(s, tenant, monitor_id)
        after = decide(known)
        if after is known:
            return known
        if s.stores.alerts.save(record_of(after), known.rev):
            send_hint(s, after)
            return after
    raise TooMany("the monitor is being changed by many callers at once", code="contended")


def send_hint(s: Services, found: Heartbeat) -> None:
    """Queue the next look, if it comes soon; reconcile queues it later otherwise, and when this hint is lost."""
    due_ms = found.next_look_ms
    now_ms = s.clock.now_ms()
    if due_ms is None or due_ms > now_ms + HORIZON_MS or s.workflows is None:
        return
    hint = RunHint(found.tenant, found.id, MONITOR_HINT, due_ms=due_ms)
    delay_s = max(0, (due_ms - now_ms - s.config.lead_ms) // 1000)
    s.workflows.queue.send([Outgoing(hint, delay_s)])


def look(s: Services, tenant: str, monitor_id: str, tell: Teller) -> None:
    """Let time pass for a monitor, and announce the changes that wait. Raises NotFound, Unavailable."""
    found = change(s, tenant, monitor_id, lambda known: heartbeat.observe(known, s.clock.now_ms()))
    if not found.untold:
        return
    emit(s, [_event(found, crossing) for crossing in found.untold])
    tell(s, found, found.untold)
    last = found.untold[-1].number
    change(s, tenant, monitor_id, lambda known: heartbeat.told(known, last) if known.untold else known)


def _event(found: Heartbeat, crossing: Crossing) -> PolicyEvent:
    data: dict[str, object] = {
        "monitor_id": found.id,
        "name": found.name,
        "owner": found.owner,
        "state": crossing.state,
        "reason": crossing.reason,
        "at_unix_ms": crossing.at_ms,
        "last_ping_unix_ms": found.last_ping_ms,
        "tags": list(found.tags),
    }
    return PolicyEvent(
        heartbeat.EVENT_TYPE,
        f"{found.id}-{crossing.number}",
        Key(found.tenant, found.id),
        crossing.at_ms,
        data,
        f"/chronowatch/monitors/{found.id}",
    )
