"""First attempts that were claimed as a span of their schedule's state, as the checkers see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.schedules import jitter
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.schedule import Definition, Key


class SpanClaim(NamedTuple):
    """A span that was stored at ``at_ms``, and who wrote it."""

    at_ms: int
    span: ClaimSpan
    instance: Any


def of_schedule(record: Any, key: Key) -> Iterator[SpanClaim]:
    """All spans of a schedule, in the order of their claims."""
    seen: set[ClaimSpan] = set()
    for write in record.schedules.get(key, ()):
        for span in write.state.spans:
            if span not in seen:
                seen.add(span)
                yield SpanClaim(write.at_ms, span, write.instance)


def of_execution(record: Any, key: ExecutionKey) -> SpanClaim | None:
    """The claim of a firing; the first one, if it was claimed twice."""
    claims = () if key.manual else of_schedule(record, Key(key.tenant, key.schedule_id))
    return next((claim for claim in claims if claim.span.token_of(key.firing_ms) is not None), None)


def as_record(record: Any, key: ExecutionKey) -> Execution | None:
    """The record that the claim of a firing would have written."""
    claim = of_execution(record, key)
    writes = record.schedules.get(Key(key.tenant, key.schedule_id), ())
    if claim is None:
        return None
    state = next(w.state for w in writes if claim.span in w.state.spans)
    ref = state.in_force_at(key.firing_ms)
    definition = next(w.definition for w in writes if w.definition is not None and w.definition.version == ref.id)
    return _record(key, claim, definition)


def _record(key: ExecutionKey, claim: SpanClaim, definition: Definition) -> Execution:
    offset_ms = jitter.offset_ms(definition.id, key.firing_ms, definition.jitter_ms)
    return Execution(
        tenant=key.tenant,
        schedule_id=key.schedule_id,
        firing_ms=key.firing_ms,
        offset_ms=offset_ms,
        shard=0,
        version=definition.version,
        owner=definition.owner,
        target_type="",
        rev=0,
        attempt=1,
        fencing_token=claim.span.token_of(key.firing_ms) or 0,
        claimed_by=claim.span.owner,
        lease_until_ms=key.firing_ms + offset_ms + ATTEMPT_LEASE_MS,
        created_ms=claim.at_ms,
    )


def unwritten(record: Any, key: Key) -> list[ExecutionKey]:
    """The firings of a schedule that are claimed and have no record."""
    writes = record.schedules.get(key, ())
    spans = writes[-1].state.spans if writes else ()
    named = [ExecutionKey(*key, at_ms) for span in spans for at_ms in span.instants]
    return [name for name in named if name not in record.executions]
