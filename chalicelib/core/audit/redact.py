"""What is hashed of a resource before and after a change: its form as the API shows it, without what may be secret.

A digest of a payload would let who guesses it prove the guess. So payloads, headers and free text are left out, not
hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalicelib.core.audit.canonical import sha256

LEFT_OUT: Final = frozenset(
    {
        "payload",
        "input",
        "headers",
        "metadata",
        "key",
        "secret",
        "message",
        "result",
        "output",
        "error",
        "body",
        "warnings",
    }
)


def redacted(value: Any) -> Any:
    """``value`` without the fields that may hold a secret or a payload, at any depth; URLs without their queries."""
    if isinstance(value, Mapping):
        return {name: redacted(part) for name, part in value.items() if name not in LEFT_OUT}
    if isinstance(value, str):
        return value.partition("?")[0] if "://" in value else value
    if isinstance(value, Sequence):
        return [redacted(part) for part in value]
    return value


def digest(value: Any) -> str | None:
    """The digest of a redacted resource; None: there is none."""
    return None if value is None else sha256(redacted(value))
