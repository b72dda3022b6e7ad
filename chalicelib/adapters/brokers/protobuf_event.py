"""A firing in the protobuf format of CloudEvents: what a gRPC method gets as its request."""

from __future__ import annotations

import json
from typing import Any, Final

from chalicelib.core.targets.event_modes import DATA_TYPE, attributes_of

INTEGER_MIN, INTEGER_MAX = -(2**31), 2**31 - 1  # of an Integer of CloudEvents
_URIS: Final = frozenset({"dataschema"})


def encode_event(event: bytes) -> bytes:
    """A serialised ``io.cloudevents.v1.CloudEvent`` of an event, serialised as ``cloudevent`` does."""
    from chalicelib.adapters.brokers import cloudevents_pb2  # protobuf takes long to load

    whole = attributes_of(event)
    data = whole.pop("data", None)
    made = cloudevents_pb2.CloudEvent(
        id=str(whole.pop("id")),
        source=str(whole.pop("source")),
        spec_version=str(whole.pop("specversion")),
        type=str(whole.pop("type")),
        text_data=json.dumps(data, separators=(",", ":"), ensure_ascii=False),
    )
    whole.setdefault("datacontenttype", DATA_TYPE)
    for name, value in whole.items():
        _put(made.attributes[name], name, value)
    return bytes(made.SerializeToString())


def _put(place: Any, name: str, value: object) -> None:
    """An attribute under its type. An integer that CloudEvents has no room for is text, as in other formats."""
    if name == "time":
        place.ce_timestamp.FromJsonString(str(value))
    elif isinstance(value, bool):
        place.ce_boolean = value
    elif isinstance(value, int) and INTEGER_MIN <= value <= INTEGER_MAX:
        place.ce_integer = value
    elif name in _URIS:
        place.ce_uri = str(value)
    else:
        place.ce_string = str(value)
