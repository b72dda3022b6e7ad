"""Notifying a target that what it accepted has been cancelled: one more CloudEvent to the same place.

The cancelled record shows that a notice is due until it was sent (``notice`` counts the tries). The messages that lead
here are hints. What no try could deliver goes to the dead-letter queue, like a firing.
"""

from __future__ import annotations

import logging

from chalicelib.core.executions import journal, retry
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.execution_trace import of_attempt
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.targets import cloudevent
from chalicelib.core.targets.limits import NOTICE_TIMEOUT_MS
from chalicelib.engine import attempt_spans
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import update_surely
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned
from chalicelib.ports.target import FAILED, Delivery

log = logging.getLogger(__name__)

SUFFIX = "-cancel"  # after the execution's id: receivers that drop ids they have seen must not drop this one


def notify(s: Services, cancelled: Execution) -> None:
    """Send the notice that is due for ``cancelled``, at least once. Raises Unavailable when it was not recorded."""
    wanted = Versioned(cancelled.key_of_schedule, cancelled.version)
    definition = load_definitions(s, {wanted}).get(wanted)
    if definition is None:
        log.error("a cancel event has no target: its definition has expired", extra=attempt_spans.about(s, cancelled))
        return
    delivery = _delivery(s, cancelled, definition)
    (outcome,) = s.targets[cancelled.target_type].dispatch([delivery])
    after = 0 if outcome.kind != FAILED else cancelled.notice + 1
    if after > definition.retry_policy.max_attempts or (after and outcome.permanent):
        s.queue.send_dead(delivery.execution_id, delivery.event.decode(), outcome.error or "not delivered")
        after = 0
    if after:
        wait_ms = max(
            retry.backoff_ms(definition.retry_policy, after - 1, delivery.execution_id), outcome.retry_after_ms or 0
        )
        enqueue(s, [Run(cancelled.key, cancelled.attempt + 1, s.clock.now_ms() + wait_ms)])
    if not update_surely(s, [(journal.notified(cancelled, after), cancelled.rev)])[0]:
        log.info("a cancel event was sent twice, or its execution is being retried")


def _delivery(s: Services, cancelled: Execution, definition: Definition) -> Delivery:
    step = cancelled.history[-1]
    traceparent = str(of_attempt(cancelled, cancelled.attempt, s.config.trace_sample))
    notice_id = cancelled.id + SUFFIX
    event = cloudevent.notice(
        type=cloudevent.CANCELLATION_TYPE,
        event_id=notice_id,
        schedule_id=cancelled.schedule_id,
        at_unix_ms=step.at_ms,
        traceparent=traceparent,
        hlc=s.ids.hlc(),
        data={
            "execution_id": cancelled.id,
            "attempt": cancelled.attempt,
            "fencing_token": cancelled.fencing_token,
            "reason": step.reason,
        },
    )
    return Delivery(
        execution_id=notice_id,
        tenant=cancelled.tenant,
        schedule_id=cancelled.schedule_id,
        firing_unix_ms=cancelled.firing_ms,
        attempt=cancelled.notice,
        fencing_token=cancelled.fencing_token,
        target=definition.target,
        event=event,
        traceparent=traceparent,
        tracestate=cancelled.tracestate,
        timeout_ms=_timeout_ms(definition),
    )


def _timeout_ms(definition: Definition) -> int:
    own = definition.target.get("timeout_ms")
    return min(own if isinstance(own, int) else NOTICE_TIMEOUT_MS, NOTICE_TIMEOUT_MS)
