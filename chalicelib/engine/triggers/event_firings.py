"""An event as a firing: one execution, whose id follows from the event, in the same journal as any other.

Queue first, write second. However often it is done, and wherever a worker dies, there is one execution: its record is
written on the condition that there is none.
"""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core import trace
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.triggers.watch import Arrival
from chalicelib.engine import attempt_spans, handoff
from chalicelib.ports.services import Services

SCHEDULE_TYPE = "EVENT"


def key_of(found: Schedule, digest: str) -> ExecutionKey:
    """The execution of an event."""
    return ExecutionKey(found.definition.tenant, found.definition.id, 0, event=digest)


def existing(s: Services, found: Schedule, digest: str) -> Execution | None:
    """The execution that an event has fired already."""
    at = key_of(found, digest)
    return s.stores.executions.get([at]).get(at)


def fire(s: Services, found: Schedule, event: Arrival, at_ms: int) -> Execution:
    """The execution of an event, which is due at ``at_ms``; the one that is there already stays as it is."""
    known = existing(s, found, event.digest)
    if known is not None:
        return known
    record = _record(s, found, event, at_ms)
    s.stores.triggers.note(record.tenant, record.schedule_id, at_ms, event.digest)
    handoff.enqueue(s, [Run(record.key, 1, at_ms)])
    if s.stores.executions.insert([record])[0]:
        attempt_spans.queued(s, record)
        return record
    return existing(s, found, event.digest) or record


def _record(s: Services, found: Schedule, event: Arrival, at_ms: int) -> Execution:
    record = handoff.new_record(s, found.definition, found.state.shard, at_ms, s.clock.now_ms())
    named = replace(record, event=event.digest)
    return replace(
        named,
        requested=True,
        offset_ms=0,
        payload=event.event,
        retry_at_ms=at_ms,
        trace_id=trace.trace_id_of(named.id),
        schedule_type=SCHEDULE_TYPE,
        depth=max(record.depth, event.depth),
    )
