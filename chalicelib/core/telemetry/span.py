"""A span as OpenTelemetry knows it: one piece of work with its beginning, its end, and what it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.trace import TraceContext

SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

Value = str | int | float | bool


class Link(Struct, frozen=True):
    """Another span that led to this one; ``why`` says how."""

    trace_id: str
    span_id: str
    why: str


class Span(Struct, frozen=True, kw_only=True):
    """``parent_id`` is empty for a root. ``error`` is empty when it went well; it never holds what a target said.

    Attributes are named in ``span_names``. They hold ids and counts, and no payload and no secret.
    """

    context: TraceContext
    parent_id: str = ""
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    links: tuple[Link, ...] = ()
    error: str = ""
    tracestate: str = ""
