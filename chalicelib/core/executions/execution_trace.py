"""Which trace an execution belongs to, and its spans there.

One trace an execution. What a caller asked for goes on with the caller's trace. Any other begins one of its own, and
links to the call that made the schedule. Ids of spans follow from the execution's id. So whatever process
makes an attempt, the spans fit together, and nothing has to travel with a message.
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


def _span(execution: Execution, span_id: str, sample: float) -> TraceContext:
    trace_id = execution.trace_id or trace.trace_id_of(execution.id)
    asked = trace.parse(execution.traceparent)
    flags = trace.root_flags(trace_id, sample) if asked is None else asked.flags
    return TraceContext(trace_id, span_id, flags)
