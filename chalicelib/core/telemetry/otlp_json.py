"""Spans as OTLP/JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.

Ids are hexadecimal there, numbers of 64 bits are texts, and kinds and codes are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalicelib.core.telemetry import span_names
from chalicelib.core.telemetry.span import Link, Span, Value

_ERROR: Final = 2


def encode(spans: Sequence[Span], resource: Mapping[str, str], version: str) -> bytes:
    """An ``ExportTraceServiceRequest``: the body of one call to a collector."""
    scope = {"name": span_names.SCOPE, "version": version}
    message = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [
                    {"scope": scope, "spans": [_span(s) for s in spans], "schemaUrl": span_names.SCHEMA_URL}
                ],
                "schemaUrl": span_names.SCHEMA_URL,
            }
        ]
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _span(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": span.context.trace_id,
        "spanId": span.context.span_id,
        "flags": span.context.flags,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(max(span.start_ns, span.end_ns)),
        "attributes": _attributes(span.attributes),
        "status": {"code": _ERROR, "message": span.error} if span.error else {},
    }
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    if span.tracestate:
        found["traceState"] = span.tracestate
    if span.links:
        found["links"] = [_link(link) for link in span.links]
    return found


def _link(link: Link) -> dict[str, Any]:
    return {
        "traceId": link.trace_id,
        "spanId": link.span_id,
        "attributes": _attributes({span_names.LINK: link.why}),
    }


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
