"""Putting events of policies onto the default bus, at least once, never on the way of a firing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.targets import cloudevent, registry
from chalicelib.core.targets.limits import NOTICE_TIMEOUT_MS
from chalicelib.core.trace import of_attempt
from chalicelib.ports.services import Config, Services
from chalicelib.ports.target import FAILED, Delivery

log = logging.getLogger(__name__)

DEFAULT_BUS: Mapping[str, object] = {"type": "eventbridge"}
LOG: Mapping[str, object] = {"type": "log"}


def bus_of(config: Config) -> Mapping[str, object]:
    """Where the service's own events go: to the default target, where that takes messages. What is called and answers,
    such as a webhook, gets firings alone."""
    chosen = config.default_target
    if chosen is not None and (chosen["type"] == LOG["type"] or registry.kind_of(str(chosen["type"])).messaging):
        return chosen
    return LOG if DEFAULT_BUS["type"] in config.unoffered else DEFAULT_BUS


def emit(s: Services, events: Sequence[PolicyEvent]) -> None:
    """Send events. Raises Unavailable when the bus did not take one of them: the caller comes again with all. So what
    follows such a one is not sent: a broker that is away would be waited for each time.

    What the bus refuses for good (there is no such bus, no right to write to it) goes to the dead-letter queue.
    """
    where = bus_of(s.config)
    bus = s.targets[str(where["type"])]
    for group in chunks(events, bus.max_batch):
        untaken = 0
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
            raise Unavailable(f"the event bus did not take {untaken} of {len(group)} events")


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
