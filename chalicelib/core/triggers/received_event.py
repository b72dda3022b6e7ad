"""What arrives, as one CloudEvents 1.0 object: read as it came, or wrapped.

The digest of its source and id names the execution that it fires. So the same event, however often it arrives, is one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField, TooLarge
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.triggers.limits import ATTRIBUTE_MAX_CHARS, DEPTH_MAX, EVENT_MAX_BYTES

SPECVERSION: Final = "1.0"
WRAPPED_TYPE: Final = "chronowatch.webhook.v1"
DEPTH: Final = "chronodepth"
STRUCTURED: Final = "application/cloudevents+json"
_FORMS: Final = "application/cloudevents"
DIGEST_CHARS: Final = 26
_REQUIRED: Final = ("id", "source", "type")


class ReceivedEvent(Struct, frozen=True):
    """One event. ``attributes`` is the whole object, ``data`` included; ``depth`` counts the triggers before it."""

    attributes: Mapping[str, Any]
    digest: str
    depth: int

    @property
    def text(self) -> str:
        """The whole object as JSON."""
        return msgspec.json.encode(self.attributes).decode()


def digest(source: str, event_id: str) -> str:
    """What names an event: lower-case base32 of SHA-256 over source, NUL, id; 26 characters of it."""
    found = hashlib.sha256(f"{source}\0{event_id}".encode()).digest()
    return base64.b32encode(found).decode().lower()[:DIGEST_CHARS]


def of_object(whole: Mapping[str, Any], depth: int = 0) -> ReceivedEvent:
    """An object that says it is a CloudEvent. ``depth`` is what its way here says. Raises InvalidField, TooLarge."""
    errors = list(_problems(whole))
    if errors:
        raise InvalidField(errors)
    size = len(msgspec.json.encode(whole))
    if size > EVENT_MAX_BYTES:
        raise TooLarge(f"the event has {size} bytes, and at most {EVENT_MAX_BYTES} are taken", code="payload_too_large")
    return ReceivedEvent(whole, digest(whole["source"], whole["id"]), max(depth, _depth(whole.get(DEPTH))))


def is_cloudevent(content_type: str, value: Any) -> bool:
    """Whether a body is one, or says so."""
    return content_type == STRUCTURED or (isinstance(value, Mapping) and "specversion" in value)


def wrapped(source: str, event_id: str, now_ms: int, data: Any, type_: str = WRAPPED_TYPE) -> dict[str, Any]:
    """Any JSON as the data of a CloudEvent."""
    return {
        "specversion": SPECVERSION,
        "id": event_id,
        "source": source,
        "type": type_,
        "time": to_rfc3339(now_ms),
        "datacontenttype": "application/json",
        "data": data,
    }


def is_other_form(content_type: str) -> bool:
    """Whether a body is of a form of CloudEvents that is not taken, as a batch is: it would pass for one event."""
    return content_type.startswith(_FORMS) and content_type != STRUCTURED


def of_headers(
    prefix: str, headers: Mapping[str, str], data: Any, *, percent_encoded: bool = False
) -> dict[str, Any] | None:
    """The object of binary mode, whose attributes are headers with a prefix; None where they say nothing.
    ``percent_encoded``: the binding of the protocol has them so, as those of HTTP and NATS do."""
    lower = {name.lower(): value for name, value in headers.items()}
    read = _decoded if percent_encoded else str
    found: dict[str, Any] = {name.removeprefix(prefix): read(v) for name, v in lower.items() if name.startswith(prefix)}
    if "specversion" not in found:
        return None
    if content_type := lower.get("content-type"):
        found.setdefault("datacontenttype", content_type)
    return {**found, "data": data}


def _decoded(value: str) -> str:
    """Once, as the bindings say. What is no UTF-8 then stays as it came."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return value


def is_too_deep(event: ReceivedEvent) -> bool:
    """Whether the chain of triggers ends with it."""
    return event.depth >= DEPTH_MAX


def _problems(whole: Mapping[str, Any]) -> list[FieldError]:
    found = []
    if whole.get("specversion") != SPECVERSION:
        found.append(FieldError("specversion", 'must be "1.0"'))
    for name in _REQUIRED:
        value = whole.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= ATTRIBUTE_MAX_CHARS:
            found.append(FieldError(name, f"must be text of 1 to {ATTRIBUTE_MAX_CHARS} characters"))
    return found


def _depth(value: Any) -> int:
    """What ``chronodepth`` says. One that is no number counts as the deepest: it was set on purpose."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4:
        value = int(value)
    return min(value, DEPTH_MAX) if isinstance(value, int) and value >= 0 and value is not True else DEPTH_MAX
