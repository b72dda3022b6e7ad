"""What a node came to, as events carry it: a small value itself, a large one by a reference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from chalicelib.core.workflows.limits import OUTPUT_INLINE_MAX_BYTES
from chalicelib.core.workflows.run_state import RunEvent

EVENT_INLINE_MAX_BYTES: Final = 4096  # in the log; up to OUTPUT_INLINE_MAX_BYTES callers see it inline all the same
# Among the payloads of a run: it has, or had, values in the store of large values. What deletes the run looks there.
LARGE_MARK: Final = "large"
_POINTS: Final = b"@"  # no JSON begins with it


class EncodedOutput(NamedTuple):
    """The form in events, and the bytes to keep beside the log under ``name`` (empty: none)."""

    ref: dict[str, Any]
    name: str = ""
    content: bytes = b""

    @property
    def is_large(self) -> bool:
        """Whether it is kept in the store of large values."""
        return is_large(self.ref)


def encode(value: Any) -> EncodedOutput:
    """An output as it is stored."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(text) <= EVENT_INLINE_MAX_BYTES:
        return EncodedOutput({"value": value})
    digest = hashlib.sha256(text).hexdigest()
    return EncodedOutput({"ref": digest, "size": len(text)}, digest, text)


def is_large(ref: Mapping[str, Any]) -> bool:
    """Whether a value is kept in the store of large values, and shown to callers as a reference."""
    return "value" not in ref and ref["size"] > OUTPUT_INLINE_MAX_BYTES


def encode_item(value: Any) -> EncodedOutput:
    """The output of an item: kept whole, or in the store of large values."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    digest = hashlib.sha256(text).hexdigest()
    return EncodedOutput({"ref": digest, "size": len(text)}, digest, text)


def item_content(encoded: EncodedOutput) -> bytes:
    """What is kept under the name of an item: its output, or where that is."""
    return _POINTS + json.dumps(encoded.ref).encode() if encoded.is_large else encoded.content


def pointed_at(content: bytes) -> dict[str, Any] | None:
    """The reference that is kept in place of an item's output; None: it is the output itself."""
    if not content.startswith(_POINTS):
        return None
    ref: dict[str, Any] = json.loads(content[len(_POINTS) :])
    return ref


def pointer(ref: dict[str, Any]) -> dict[str, Any]:
    """What callers see in place of a large value."""
    return {"$ref": ref["ref"], "size": ref["size"]}


def brief(ref: dict[str, Any] | None) -> Any:
    """A value that is in the log, or where a larger one is; None of none."""
    if ref is None:
        return None
    return ref["value"] if "value" in ref else pointer(ref)


def refs_in(events: Iterable[RunEvent]) -> list[dict[str, Any]]:
    """The references of these events to values beside the log, each once, in order."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        held = [event.data.get("output"), event.data.get("input"), event.data.get("run", {}).get("input")]
        found |= {ref["ref"]: ref for ref in held if isinstance(ref, dict) and "ref" in ref}
    return list(found.values())


def is_named(name: str, content: bytes) -> bool:
    """Whether bytes are what a name says: it is their hash."""
    return hashlib.sha256(content).hexdigest() == name
