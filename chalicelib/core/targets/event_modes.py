"""A firing's CloudEvent as a protocol has it: ``structured`` is the one object, ``binary`` puts attributes aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from chalicelib.core.targets.cloudevent import CONTENT_TYPE

EventMode = Literal["structured", "binary"]
EVENT_MODES: Final[tuple[str, ...]] = get_args(EventMode)
STRUCTURED: Final = "structured"
DATA_TYPE: Final = "application/json"


class EncodedEvent(NamedTuple):
    """``attributes`` are empty in structured mode: they are in the body then."""

    body: bytes
    content_type: str
    attributes: Mapping[str, str]

    def headers(self, prefix: str, content_type: str = "") -> dict[str, str]:
        """The attributes under a protocol's prefix; ``content_type`` is the header that names the body's type."""
        named = {f"{prefix}{name}": value for name, value in self.attributes.items()}
        return {**named, content_type: self.content_type} if content_type else named


def encode(event: bytes, mode: object) -> EncodedEvent:
    """An event, serialised as ``cloudevent`` does, in the form of ``mode``."""
    if mode != "binary":
        return EncodedEvent(event, CONTENT_TYPE, {})
    whole = attributes_of(event)
    data = json.dumps(whole.pop("data", None), separators=(",", ":"), ensure_ascii=False).encode()
    content_type = str(whole.pop("datacontenttype", DATA_TYPE))
    return EncodedEvent(data, content_type, {name: str(value) for name, value in whole.items()})


def attributes_of(event: bytes) -> dict[str, Any]:
    """The object, taken apart."""
    whole: dict[str, Any] = json.loads(event)
    return whole
