"""What a node came to, as events carry it: a small value itself, a large one by a reference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from chalicelib.core.workflows.limits import OUTPUT_INLINE_MAX_BYTES
from chalicelib.core.workflows.run_state import RunEvent

EVENT_INLINE_MAX_BYTES: Final = 4096  # in the log; up to OUTPUT_INLINE_MAX_BYTES callers see it inline all the same


class EncodedOutput(NamedTuple):
    """The form in events, and the bytes to keep beside the log under ``name`` (empty: none)."""

    ref: dict[str, Any]
    name: str = ""
    content: bytes = b""


def encode(value: Any) -> EncodedOutput:
    """An output as it is stored."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(text) <= EVENT_INLINE_MAX_BYTES:
        return EncodedOutput({"value": value})
    digest = hashlib.sha256(text).hexdigest()
    return EncodedOutput({"ref": digest, "size": len(text)}, digest, text)


def is_shown_inline(ref: dict[str, Any]) -> bool:
    """Whether callers see the value itself."""
    return "value" in ref or ref["size"] <= OUTPUT_INLINE_MAX_BYTES


def pointer(ref: dict[str, Any]) -> dict[str, Any]:
    """What callers see in place of a large value."""
    return {"$ref": ref["ref"], "size": ref["size"]}


def brief(ref: dict[str, Any] | None) -> Any:
    """A value that is in the log, or where a larger one is; None of none."""
    if ref is None:
        return None
    return ref["value"] if "value" in ref else pointer(ref)


def names_in(events: Iterable[RunEvent]) -> list[str]:
    """The names of all large values that these events refer to, each once, in order."""
    found: dict[str, None] = {}
    for event in events:
        held = [event.data.get("output"), event.data.get("input"), event.data.get("run", {}).get("input")]
        found |= {ref["ref"]: None for ref in held if isinstance(ref, dict) and "ref" in ref}
    return list(found)


def is_named(name: str, content: bytes) -> bool:
    """Whether bytes are what a name says: it is their hash."""
    return hashlib.sha256(content).hexdigest() == name
