"""A collector of traces as OpenTelemetry's protocol has it: OTLP/HTTP with JSON, read by its own messages."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_IDS = {"traceId", "spanId", "parentSpanId"}


class Spanned(NamedTuple):
    """A span as it arrived; ids are hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str, str]]
    failed: bool
    resource: dict[str, Any]
    start_ns: int
    end_ns: int
    tracestate: str


def read(body: bytes) -> list[Spanned]:
    """The spans of a call. Raises where protobuf's own JSON parser does: unknown fields, wrong types."""
    request = ParseDict(_with_bytes(json.loads(body)), ExportTraceServiceRequest())
    return [
        Spanned(
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _values(span.attributes),
            [
                (link.trace_id.hex(), link.span_id.hex(), _values(link.attributes)["chronowatch.link"])
                for link in span.links
            ],
            span.status.code == span.status.STATUS_CODE_ERROR,
            _values(group.resource.attributes),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.trace_state,
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _with_bytes(value: Any) -> Any:
    """OTLP writes ids in hexadecimal where protobuf's JSON has base64: the one deviation, as the standard says."""
    if isinstance(value, list):
        return [_with_bytes(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(each)).decode() if name in _IDS else _with_bytes(each)
        for name, each in value.items()
    }


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class Collector:
    """What came; answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with collector._lock:
                    collector.bodies.append(body)
                    collector.paths.append(self.path)
                    collector.headers.append({k.lower(): v for k, v in self.headers.items()})
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Spanned]:
        with self._lock:
            return [span for body in self.bodies for span in read(body)]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector until the end of the block."""
    made = Collector()
    try:
        yield made
    finally:
        made.close()
