"""The CloudEvents 1.0 object that every target receives.

At the instant hundreds of firings are stamped at once, and only the HLC differs from what was known a second before.
So a firing is serialised ahead of time into a ``Template``; stamping it is one concatenation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from chalicelib.core.instants import to_rfc3339

TYPE = "chronowatch.firings.v1"
CANCELLATION_TYPE = "chronowatch.cancellations.v1"
CONTENT_TYPE = "application/cloudevents+json"


class Template(NamedTuple):
    """A serialised firing with a gap where the HLC goes."""

    head: bytes
    tail: bytes

    def render(self, hlc: str) -> bytes:
        """The whole object, UTF-8. ``hlc`` is ``<physical_nanos>.<logical>``: digits, so it needs no escaping."""
        return b"".join((self.head, hlc.encode("ascii"), self.tail))


def prepare(
    *,
    execution_id: str,
    schedule_id: str,
    firing_unix_ms: int,
    attempt: int,
    fencing_token: int,
    traceparent: str,
    payload_json: str,
    trigger_depth: int = 0,
) -> Template:
    """Everything of a firing but its HLC. ``payload_json`` is valid JSON text and goes in as it is. ``trigger_depth``
    is how many triggers led to it; 0: none, it is of a schedule."""
    attributes = {
        "specversion": "1.0",
        "id": execution_id,
        "source": f"/chronowatch/schedules/{schedule_id}",
        "type": TYPE,
        "subject": schedule_id,
        "time": to_rfc3339(firing_unix_ms),
        "datacontenttype": "application/json",
        "traceparent": traceparent,
        "fencingtoken": fencing_token,
        "attempt": attempt,
    }
    if trigger_depth:
        attributes["chronodepth"] = trigger_depth
    head = msgspec.json.encode(attributes)
    return Template(head[:-1] + b',"hlc":"', f'","data":{payload_json}}}'.encode())


def build(
    *,
    execution_id: str,
    schedule_id: str,
    firing_unix_ms: int,
    attempt: int,
    fencing_token: int,
    traceparent: str,
    hlc: str,
    payload_json: str,
) -> bytes:
    """The whole object at once: ``prepare`` and ``render``, for callers that have no time to gain."""
    template = prepare(
        execution_id=execution_id,
        schedule_id=schedule_id,
        firing_unix_ms=firing_unix_ms,
        attempt=attempt,
        fencing_token=fencing_token,
        traceparent=traceparent,
        payload_json=payload_json,
    )
    return template.render(hlc)


def notice(
    *,
    type: str,
    event_id: str,
    schedule_id: str,
    at_unix_ms: int,
    traceparent: str,
    hlc: str,
    data: Mapping[str, object],
    source: str = "",
) -> bytes:
    """An event about a schedule that is no firing: something was cancelled, late, or silent. ``source`` is of another
    thing, whose id is given."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source or f"/chronowatch/schedules/{schedule_id}",
        "type": type,
        "subject": schedule_id,
        "time": to_rfc3339(at_unix_ms),
        "datacontenttype": "application/json",
        "traceparent": traceparent,
        "hlc": hlc,
        "data": data,
    }
    return msgspec.json.encode(event)
