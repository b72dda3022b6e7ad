"""What is said about each call: its span, its line in the log where that is wanted, and how long it took."""

from __future__ import annotations

import logging

from msgspec import Struct

from chalicelib.core import trace
from chalicelib.core.telemetry import span_names
from chalicelib.core.telemetry.metric_catalogue import TIME_NOW_LATENCY
from chalicelib.core.telemetry.span import SERVER, Span, Value
from chalicelib.core.trace import SAMPLED, TraceContext
from chalicelib.ports.clock import Reading
from chalicelib.ports.services import Services

log = logging.getLogger("chronowatch.requests")

_NANOS_PER_MS = 1_000_000
_UNKNOWN = "unknown route"
TIME_NOW_ROUTE = "/api/v1/time/now"


class Observed(Struct):
    """One call. ``method`` and ``route`` are known once the call was routed; ``route`` is its template, without ids."""

    services: Services
    began: Reading
    context: TraceContext
    parent_id: str = ""
    tracestate: str = ""
    method: str = ""
    route: str = ""

    def end(self, status: int, *, logged: bool) -> None:
        """It was answered."""
        now = self.services.clock.read()
        took_ns = max(0, now.monotonic_nanos - self.began.monotonic_nanos)
        if self.route == TIME_NOW_ROUTE and status < 400:
            self._observe_latency(took_ns)
        name = f"{self.method} {self.route}" if self.route else _UNKNOWN
        if logged:
            known = {"trace_id": self.context.trace_id, "span_id": self.context.span_id}
            log.log(_level(status), "%s %d %.1f ms", name, status, took_ns / _NANOS_PER_MS, extra=known)
        if self.services.tracer.on and self.context.flags == SAMPLED:
            self.services.tracer.export([self._span(name, status, took_ns)])

    def _observe_latency(self, took_ns: int) -> None:
        trace_id = self.context.trace_id if self.context.flags == SAMPLED else ""
        at_ms = self.began.wall_unix_nanos // _NANOS_PER_MS
        self.services.process.meter.observe(TIME_NOW_LATENCY, round(took_ns / _NANOS_PER_MS, 3), trace_id, at_ms)

    def _span(self, name: str, status: int, took_ns: int) -> Span:
        attributes: dict[str, Value] = {span_names.HTTP_STATUS: status}
        if self.route:
            attributes |= {span_names.HTTP_METHOD: self.method, span_names.HTTP_ROUTE: self.route}
        if status >= 500:
            attributes[span_names.ERROR_TYPE] = str(status)
        return Span(
            context=self.context,
            parent_id=self.parent_id,
            name=name,
            kind=SERVER,
            start_ns=self.began.wall_unix_nanos,
            end_ns=self.began.wall_unix_nanos + took_ns,
            attributes=attributes,
            error=str(status) if status >= 500 else "",
            tracestate=self.tracestate,
        )


def begin(s: Services, traceparent: str | None, tracestate: str | None) -> Observed:
    """A call came in: its caller's trace goes on with a span of our own, or a new one begins."""
    seed = s.ids.ulid(s.clock.now_ms())
    span_id, parent = trace.span_id_of(seed, 0), trace.parse(traceparent)
    if parent is not None:
        context = trace.child(parent, span_id)
        return Observed(s, s.clock.read(), context, parent.span_id, trace.parse_state(tracestate))
    trace_id = trace.trace_id_of(seed)
    return Observed(
        s, s.clock.read(), TraceContext(trace_id, span_id, trace.root_flags(trace_id, s.config.trace_sample))
    )


def _level(status: int) -> int:
    return logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
