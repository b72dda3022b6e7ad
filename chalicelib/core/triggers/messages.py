"""A message of a queue or broker as an event: a CloudEvent in either of its forms, or anything else, wrapped.

What is wrapped is named by the place that its source gave it, so that a message which comes again is the same event.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from chalicelib.core.errors import InvalidField, TooLarge
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.triggers import received_event
from chalicelib.core.triggers.limits import ATTRIBUTE_MAX_CHARS, EVENT_MAX_BYTES, POISON_KEPT_BYTES
from chalicelib.core.triggers.received_event import ReceivedEvent

OWN_SOURCE: Final = "chronowatch"  # of what targets of this service put on a bus
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
# As the bindings of the protocols have them. Libraries for one protocol are seen to write that of another.
PREFIXES: Final = ("ce_", "ce-", "cloudevents:", "cloudevents_")


class EventMessage(Struct, frozen=True, kw_only=True):
    """One message. ``place`` names it among those of its source, the same each time it comes; empty: nothing does.
    ``handle`` is what its consumer settles it by."""

    body: bytes
    place: str = ""
    headers: Mapping[str, str] = {}  # by names in lower case
    content_type: str = ""
    handle: Any = None


class PoisonedMessage(Exception):
    """Raised for a message that is no event. ``event`` has what is known of it."""

    def __init__(self, reason: str, event: ReceivedEvent) -> None:
        super().__init__(reason)
        self.reason = reason
        self.event = event


def event_of(kind: str, trigger_id: str, message: EventMessage, now_ms: int, new_id: str) -> ReceivedEvent:
    """The event that a message is or holds. ``new_id`` names one that has no place. Raises PoisonedMessage."""
    source, event_id = f"/chronowatch/triggers/{trigger_id}", message.place or new_id
    try:
        whole = _whole(message, kind)
        if whole is None:
            data_type, data = _data(message)
            whole = received_event.wrapped(source, event_id, now_ms, None, type_of(kind))
            whole = _holding(whole, data_type, data)
        return received_event.of_object(whole)
    except (InvalidField, TooLarge) as problem:
        reason = problem.detail
    except ValueError as problem:
        reason = str(problem)
    raise PoisonedMessage(f"the message is no event: {reason}", unreadable(kind, trigger_id, message, now_ms, new_id))


def unreadable(kind: str, trigger_id: str, message: EventMessage, now_ms: int, new_id: str) -> ReceivedEvent:
    """What of a message that is no event goes to the dead letters: its beginning, as bytes."""
    source, event_id = f"/chronowatch/triggers/{trigger_id}", (message.place or new_id)[:ATTRIBUTE_MAX_CHARS]
    whole = {
        "specversion": received_event.SPECVERSION,
        "id": event_id,
        "source": source,
        "type": type_of(kind),
        "time": to_rfc3339(now_ms),
        "datacontenttype": message.content_type[:ATTRIBUTE_MAX_CHARS] or BYTES,
        "databytes": len(message.body),
        "data_base64": base64.b64encode(message.body[:POISON_KEPT_BYTES]).decode(),
    }
    return ReceivedEvent(whole, received_event.digest(source, event_id), 0)


def of_bus_event(found: Mapping[str, Any]) -> ReceivedEvent:
    """An event of a bus. Where its detail is a CloudEvent, as those of this service are, that is the event.
    Raises InvalidField, TooLarge."""
    detail = found.get("detail")
    if isinstance(detail, Mapping) and "specversion" in detail:
        return received_event.of_object(detail)
    whole = {
        "specversion": received_event.SPECVERSION,
        "id": found.get("id"),
        "source": found.get("source"),
        "type": found.get("detail-type"),
        "time": found.get("time"),
        "datacontenttype": JSON,
        "awsaccount": found.get("account"),
        "awsregion": found.get("region"),
        "data": detail,
    }
    return received_event.of_object({name: value for name, value in whole.items() if value is not None})


def is_own(found: Mapping[str, Any]) -> bool:
    """Whether an event of a bus was put there by a deployment of this service: no other sender has that source."""
    return found.get("source") == OWN_SOURCE


def as_json(value: object) -> bytes:
    """A value as a message has it."""
    return msgspec.json.encode(value)


def type_of(kind: str) -> str:
    """The type of an event that wraps a message."""
    return f"chronowatch.{kind}.v1"


def _whole(message: EventMessage, kind: str) -> dict[str, Any] | None:
    """The CloudEvent that a message is; None: it is something else. Raises ValueError."""
    media = message.content_type.partition(";")[0].strip().lower()
    for prefix in PREFIXES:
        binary = received_event.of_headers(prefix, message.headers, None, percent_encoded=kind == "nats")
        if binary is not None:
            data_type, data = _data(message)
            return _holding(binary, str(binary.get("datacontenttype") or data_type), data)
    if received_event.is_other_form(media):
        raise ValueError(f"{media} is not taken: send each event by itself, as {received_event.STRUCTURED}")
    if media == received_event.STRUCTURED:
        value = _decoded(message.body)
        if not isinstance(value, dict):
            raise ValueError("a CloudEvent must be a JSON object")
        return value
    if message.body.lstrip()[:1] == b"{":
        try:
            value = _decoded(message.body)
        except ValueError:
            return None
        return value if received_event.is_cloudevent(media, value) else None
    return None


def _data(message: EventMessage) -> tuple[str, dict[str, Any]]:
    """The type of a body, and the attribute that holds it: JSON as it is, text as text, all else in base64."""
    media = message.content_type.partition(";")[0].strip().lower()
    if not message.body:
        return message.content_type or JSON, {"data": None}
    is_json = media == JSON or media.endswith("+json")
    if is_json or not media or media.startswith("text/"):
        try:
            if is_json or not media:
                return message.content_type or JSON, {"data": _decoded(message.body)}
        except ValueError:
            if is_json:
                raise
        try:
            return message.content_type or "text/plain", {"data": message.body.decode()}
        except UnicodeDecodeError:
            pass
    encoded = base64.b64encode(message.body).decode()
    return message.content_type or BYTES, {"data_base64": encoded}


def _holding(whole: Mapping[str, Any], data_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event with its data in the one attribute that holds it."""
    others = {name: value for name, value in whole.items() if name != "data"}
    return {**others, "datacontenttype": data_type, **data}


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"the body is not JSON: {problem}") from None


assert POISON_KEPT_BYTES * 4 // 3 < EVENT_MAX_BYTES
