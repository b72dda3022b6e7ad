"""Preparing: what can be done before the instant is done before it.

The event is serialised but for its stamp, and the target resolves, connects and reads its secret.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from chalicelib.core.executions.execution_trace import of_attempt
from chalicelib.core.executions.limits import PREPARE_MAX_MS
from chalicelib.core.targets import cloudevent
from chalicelib.core.targets.cloudevent import Template
from chalicelib.engine.claimed import Claimed
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery


class Ready(Struct, frozen=True):
    """A claimed firing with everything prepared that can be before its instant."""

    claimed: Claimed
    delivery: Delivery
    template: Template

    @property
    def target_type(self) -> str:
        """The kind of its target."""
        return str(self.claimed.definition.target["type"])


def prepare_all(s: Services, claims: Iterable[Claimed]) -> Iterator[Ready]:
    """Prepare claims, one after the other. A name that does not resolve or a host that does not answer costs half a
    second each. So an owner that has taken PREPARE_MAX_MS of the batch meets the others at the instant."""
    spent_ms: dict[str, int] = defaultdict(int)
    for claimed in claims:
        owner, began_ms = claimed.definition.owner, s.clock.now_ms()
        yield prepare(s, claimed, ahead=spent_ms[owner] < PREPARE_MAX_MS)
        spent_ms[owner] += s.clock.now_ms() - began_ms


def prepare(s: Services, claimed: Claimed, *, ahead: bool = True) -> Ready:
    """Serialise the event, and ``ahead`` of the instant let the target get ready too."""
    execution, definition = claimed.execution, claimed.definition
    traceparent = str(of_attempt(execution, execution.attempt, s.config.trace_sample))
    template = cloudevent.prepare(
        execution_id=execution.id,
        schedule_id=execution.schedule_id,
        firing_unix_ms=execution.firing_ms,
        attempt=execution.attempt,
        fencing_token=execution.fencing_token,
        traceparent=traceparent,
        payload_json=execution.payload if execution.payload is not None else definition.payload,
        trigger_depth=execution.depth + 1 if execution.event else 0,
    )
    delivery = _delivery(claimed, traceparent)
    if ahead:
        s.targets[str(definition.target["type"])].prepare(delivery)
    return Ready(claimed, delivery, template)


def _delivery(claimed: Claimed, traceparent: str) -> Delivery:
    """The delivery, without its event: that gets its stamp when it is sent."""
    execution = claimed.execution
    return Delivery(
        execution_id=execution.id,
        tenant=execution.tenant,
        schedule_id=execution.schedule_id,
        firing_unix_ms=execution.firing_ms,
        attempt=execution.attempt,
        fencing_token=execution.fencing_token,
        target=claimed.definition.target,
        event=b"",
        traceparent=traceparent,
        timeout_ms=_timeout_ms(claimed),
        generation=execution.generation,
        depth=execution.depth,
        tracestate=execution.tracestate,
    )


def _timeout_ms(claimed: Claimed) -> int:
    own = claimed.definition.target.get("timeout_ms")
    return min(own, claimed.definition.timeout_ms) if isinstance(own, int) else claimed.definition.timeout_ms
