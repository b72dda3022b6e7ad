"""W3C Trace Context (level 1, section 3.2): the ``traceparent`` of requests and of executions.

An execution's trace id is derived from its id, so nothing has to be stored. Every attempt on whatever instance, and
every later reader of the execution, names the same trace.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
SAMPLED = 0x01


class TraceContext(NamedTuple):
    """The fields of one ``traceparent``: lower-case hex ids and the flags' byte."""

    trace_id: str
    span_id: str
    flags: int

    def __str__(self) -> str:
        """The header's value, always in version 00: the one this service speaks."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse(header: str | None) -> TraceContext | None:
    """The context in a ``traceparent`` header, or None when it is absent or invalid (then a new trace is started).

    Higher versions are read as far as version 00 goes, as the standard asks; version ff and zero ids are invalid.
    """
    match = _FORM.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or trace_id == _NO_TRACE or span_id == _NO_SPAN or (version == "00" and rest is not None):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & SAMPLED)


def child(parent: TraceContext, span_id: str) -> TraceContext:
    """A span of the same trace, one level below ``parent``."""
    return parent._replace(span_id=span_id)


def trace_id_of(execution_id: str) -> str:
    """The trace of an execution: the same for every attempt, 32 hex digits."""
    return _hex(f"trace/{execution_id}", 16)


def span_id_of(execution_id: str, attempt: int) -> str:
    """The span of one attempt of an execution, 16 hex digits."""
    return _hex(f"span/{execution_id}/{attempt}", 8)


def of_attempt(execution_id: str, attempt: int) -> TraceContext:
    """The sampled context of an event that is no execution: it has a trace of its own."""
    return TraceContext(trace_id_of(execution_id), span_id_of(execution_id, attempt), SAMPLED)


def root_flags(trace_id: str, sample: float) -> int:
    """The flags of a new trace of which a share is sampled: every process decides alike.

    By the last 56 bits of its id (W3C Trace Context level 2, random trace id; OpenTelemetry's consistent sampling).
    """
    return SAMPLED if int(trace_id[-14:], 16) >= (1 - sample) * (1 << 56) else 0


def parse_state(header: str | None) -> str:
    """A ``tracestate`` that can be handed on; what is too long or no text of one line is left out, as is allowed."""
    text = (header or "").strip()
    return text if _STATE.fullmatch(text) else ""


def _hex(name: str, size_bytes: int) -> str:
    """A digest cut to size. All zeros, which the standard forbids, is as likely as guessing a 64-bit key."""
    return hashlib.blake2b(name.encode(), digest_size=size_bytes, person=b"chronowatch").hexdigest()
