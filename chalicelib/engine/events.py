"""Putting events of policies onto the default bus, at least once, never on the way of a firing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.targets import cloudevent
from chalicelib.core.targets.limits import NOTICE_TIMEOUT_MS
from chalicelib.core.trace import of_attempt
from chalicelib.ports.services import Services
from chalicelib.ports.target import FAILED, Delivery

log = logging.getLogger(__name__)

DEFAULT_BUS: Mapping[str, object] = {"type": "eventbridge"}


def emit(s: Services, events: Sequence[PolicyEvent]) -> None:
    """Send events. Raises Unavailable when the bus did not take one of them: the caller comes again with all.

    What the bus refuses for good (there is no such bus, no right to write to it) goes to the dead-letter queue.
    """
    where = s.config.default_target or DEFAULT_BUS
    bus = s.targets[str(where["type"])]
    untaken = 0
    for group in chunks(events, bus.max_batch):
        deliveries = [_delivery(s, event, where) for event in group]
        for delivery, outcome in zip(deliveries, bus.dispatch(deliveries), strict=True):
            if outcome.kind != FAILED:
                continue
            if outcome.permanent:
                s.queue.send_dead(delivery.execution_id, delivery.event.decode(), outcome.error or "not taken")
                log.error("an event was refused by the bus: %s", outcome.error, extra=_about(delivery))
            else:
                untaken += 1
    if untaken:
        raise Unavailable(f"the event bus did not take {untaken} of {len(events)} events")


def _about(delivery: Delivery) -> dict[str, str]:
    return {"schedule_id": delivery.schedule_id}


def _delivery(s: Services, event: PolicyEvent, where: Mapping[str, object]) -> Delivery:
    traceparent = str(of_attempt(event.id, 1))
    serialised = cloudevent.notice(
        type=event.type,
        event_id=event.id,
        schedule_id=event.schedule.id,
        at_unix_ms=event.at_ms,
        traceparent=traceparent,
        hlc=s.ids.hlc(),
        data=event.data,
        source=event.source,
    )
    return Delivery(
        execution_id=event.id,
        tenant=event.schedule.tenant,
        schedule_id=event.schedule.id,
        firing_unix_ms=event.at_ms,
        attempt=1,
        fencing_token=0,
        target=where,
        event=serialised,
        traceparent=traceparent,
        timeout_ms=NOTICE_TIMEOUT_MS,
        event_type=event.type,
    )
