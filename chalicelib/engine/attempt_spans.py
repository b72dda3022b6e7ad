"""The spans of executions: their queueing, each attempt, and the call to the target within it.

An attempt is judged at its end. Its spans are kept when its trace is sampled, and always when it failed or was late.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from chalicelib.core import trace
from chalicelib.core.executions import execution_trace
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.targets.registry import destination_of, kind_of
from chalicelib.core.telemetry import span_names
from chalicelib.core.telemetry.span import CLIENT, CONSUMER, PRODUCER, Link, Span, Value
from chalicelib.core.trace import SAMPLED
from chalicelib.ports.services import Services
from chalicelib.ports.target import FAILED, Outcome

log = logging.getLogger(__name__)

LOST = "lost"
_NANOS_PER_MS = 1_000_000


def about(s: Services, execution: Execution) -> dict[str, str]:
    """The fields of a log line about an attempt, for ``extra``: it is found with its trace."""
    context = execution_trace.of_delivery(execution, execution.attempt, s.config.trace_sample)
    return {
        "trace_id": context.trace_id,
        "span_id": context.span_id,
        "schedule_id": execution.schedule_id,
        "execution_id": execution.id,
    }


def queued(s: Services, record: Execution) -> None:
    """An execution that a caller asked for was queued."""
    context = execution_trace.of_queueing(record, s.config.trace_sample)
    if not s.tracer.on or context.flags != SAMPLED:
        return
    asked = execution_trace.caller_of(record)
    span = Span(
        context=context,
        parent_id="" if asked is None else asked.span_id,
        name="send work",
        kind=PRODUCER,
        start_ns=record.created_ms * _NANOS_PER_MS,
        end_ns=s.clock.now_ms() * _NANOS_PER_MS,
        attributes={**span_names.WORK_QUEUE, span_names.MESSAGING_OPERATION: "send", **_about(record)},
        tracestate=record.tracestate,
    )
    s.tracer.export([span])


def answered(
    s: Services, after: Execution, definition: Definition, outcome: Outcome, started_ms: int, ended_ms: int
) -> None:
    """An attempt was sent, and its target has answered or never will. ``after`` is the record with its end."""
    failure = (outcome.error_type or FAILED) if outcome.kind == FAILED else ""
    if failure:
        log.info("attempt %d failed: %s", after.attempt, failure, extra=about(s, after))
    if not s.tracer.on or not _is_kept(s, after, failed=bool(failure)):
        return
    attempt = _attempt(s, after, definition, outcome.kind, failure)
    call = _call(s, after, definition, outcome, failure, started_ms, ended_ms)
    s.tracer.export([attempt, call])


def lost(s: Services, after: Execution, definition: Definition) -> None:
    """An attempt was ended without its worker, which is dead, or whose time was over. Whether it called is unknown."""
    ended = after.attempts[-1]
    log.warning("attempt %d was ended without its worker: %s", after.attempt, ended.outcome, extra=about(s, after))
    if s.tracer.on:
        s.tracer.export([_attempt(s, after, definition, ended.outcome or LOST, ended.error_type or LOST)])


def _is_kept(s: Services, after: Execution, *, failed: bool) -> bool:
    sampled = execution_trace.of_delivery(after, after.attempt, s.config.trace_sample).flags == SAMPLED
    return sampled or failed or after.late


def _attempt(s: Services, after: Execution, definition: Definition, outcome: str, failure: str) -> Span:
    number, sample = after.attempt, s.config.trace_sample
    attributes: dict[str, Value] = {
        **span_names.WORK_QUEUE,
        span_names.MESSAGING_OPERATION: "process",
        span_names.FAAS_TRIGGER: "pubsub" if after.requested else "timer",
        **_about(after),
        span_names.ATTEMPT: number,
        span_names.TARGET: after.target_type,
        span_names.OUTCOME: outcome,
        span_names.LATE: after.late,
    }
    if after.lateness_ms is not None:
        attributes[span_names.LATENESS] = after.lateness_ms
    if failure:
        attributes[span_names.ERROR_TYPE] = failure
    now_ms = s.clock.now_ms()
    # A retry is due when it was claimed at the latest: its record knows no earlier time that is certain.
    due_ms = after.firing_ms + after.offset_ms if number == 1 else after.attempts[-1].started_ms
    return Span(
        context=execution_trace.of_delivery(after, number, sample),
        parent_id=_parent_id(after, sample),
        name="deliver",
        kind=CONSUMER,
        start_ns=min(due_ms, now_ms) * _NANOS_PER_MS,
        end_ns=now_ms * _NANOS_PER_MS,
        attributes=attributes,
        links=tuple(_links(after, definition, sample)),
        error=failure,
        tracestate=after.tracestate,
    )


def _parent_id(after: Execution, sample: float) -> str:
    """The attempt before; else the queueing that a caller's call led to; else this is the trace's root."""
    if after.attempt > 1:
        return execution_trace.of_delivery(after, after.attempt - 1, sample).span_id
    return execution_trace.of_queueing(after, sample).span_id if execution_trace.caller_of(after) else ""


def _links(after: Execution, definition: Definition, sample: float) -> Sequence[Link]:
    links = []
    backfilled = after.traceparent and not after.manual
    cause = trace.parse(after.traceparent if backfilled else definition.traceparent)
    if cause is not None and execution_trace.caller_of(after) is None:
        links.append(Link(cause.trace_id, cause.span_id, span_names.BACKFILL if backfilled else span_names.CREATION))
    if after.attempt > 1:
        before = execution_trace.of_delivery(after, after.attempt - 1, sample)
        links.append(Link(before.trace_id, before.span_id, span_names.PREVIOUS_ATTEMPT))
    return links


def _call(
    s: Services,
    after: Execution,
    definition: Definition,
    outcome: Outcome,
    failure: str,
    started_ms: int,
    ended_ms: int,
) -> Span:
    sample = s.config.trace_sample
    name, kind, attributes = _described(definition)
    if outcome.http_status is not None:
        attributes[span_names.HTTP_STATUS] = outcome.http_status
    if failure:
        attributes[span_names.ERROR_TYPE] = failure
    return Span(
        context=execution_trace.of_attempt(after, after.attempt, sample),
        parent_id=execution_trace.of_delivery(after, after.attempt, sample).span_id,
        name=name,
        kind=kind,
        start_ns=started_ms * _NANOS_PER_MS,
        end_ns=ended_ms * _NANOS_PER_MS,
        attributes={**attributes, span_names.EVENT_ID: after.id},
        error=failure,
        tracestate=after.tracestate,
    )


def _described(definition: Definition) -> tuple[str, int, dict[str, Value]]:
    """Name, kind and attributes of a call. Of a webhook only the origin: its path and query may hold a secret."""
    kind, destination = kind_of(str(definition.target["type"])), destination_of(definition.target)
    if kind.messaging:
        place = destination.rpartition("/")[2].rpartition(":")[2]
        known = {span_names.MESSAGING_SYSTEM: kind.messaging, span_names.MESSAGING_DESTINATION: place}
        return f"send {place}", PRODUCER, {**known, span_names.MESSAGING_OPERATION: "send"}
    if kind.name != "webhook":
        return kind.name, CLIENT, {span_names.TARGET: kind.name}
    method, parts = str(definition.target.get("method") or "POST"), urlsplit(destination)
    attributes: dict[str, Value] = {span_names.HTTP_METHOD: method, span_names.SERVER_ADDRESS: parts.hostname or ""}
    attributes[span_names.SERVER_PORT] = parts.port or (443 if parts.scheme == "https" else 80)
    return method, CLIENT, attributes


def _about(record: Execution) -> dict[str, Value]:
    return {
        span_names.TENANT: record.tenant,
        span_names.SCHEDULE: record.schedule_id,
        span_names.EXECUTION: record.id,
        span_names.EVENT_ID: record.id,
    }
