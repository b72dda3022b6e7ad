"""Which trace an execution belongs to, and its spans there.

One trace an execution. What a caller fired by hand goes on with the caller's trace. Any other begins one of its own,
and links to the call that led to it: the backfill, or else the making of the schedule. Ids of spans follow from the
execution's id. So whatever process makes an attempt, the spans fit together, and nothing has to travel with a message.
"""

from __future__ import annotations

from chalicelib.core import trace
from chalicelib.core.executions.execution import Execution
from chalicelib.core.trace import TraceContext


def of_attempt(execution: Execution, attempt: int, sample: float) -> TraceContext:
    """The span of a call to the target: what the target is given as its ``traceparent``."""
    return _span(execution, trace.span_id_of(execution.id, attempt), sample)


def of_delivery(execution: Execution, attempt: int, sample: float) -> TraceContext:
    """The span of an attempt as a whole, from its instant until it is recorded."""
    return _span(execution, trace.span_id_of(f"{execution.id}/delivery", attempt), sample)


def of_queueing(execution: Execution, sample: float) -> TraceContext:
    """The span of the queueing of an execution that a caller asked for."""
    return _span(execution, trace.span_id_of(f"{execution.id}/queue", 0), sample)


def caller_of(execution: Execution) -> TraceContext | None:
    """The call whose trace an execution goes on with. What a backfill fires has a trace of its own."""
    return trace.parse(execution.traceparent) if execution.manual else None


def _span(execution: Execution, span_id: str, sample: float) -> TraceContext:
    trace_id = execution.trace_id or trace.trace_id_of(execution.id)
    asked = caller_of(execution)
    flags = trace.root_flags(trace_id, sample) if asked is None else asked.flags
    return TraceContext(trace_id, span_id, flags)
