"""What the JSON Schema of a field states: bounds that are judged elsewhere, and forms of texts."""

from __future__ import annotations

from typing import Any

from msgspec import Meta

_END = r"\Z"  # of a text, to Python


def states(**schema: object) -> Meta:
    """Keywords for the schema of a field. msgspec does not judge them: the rule that they describe does."""
    return Meta(extra_json_schema=schema)


def formed(*, pattern: str, **more: Any) -> Meta:
    """A text that ``pattern`` (ECMA-262, from ^ to $) describes as a whole. ``more`` is what Meta takes beside.

    msgspec judges by Python's rules, where `$` takes a newline after the end too, and `\\Z` none. Schemas and errors
    show the `$`, by ``shown``.
    """
    assert pattern.startswith("^"), pattern
    assert pattern.endswith("$"), pattern
    return Meta(pattern=pattern[:-1] + _END, **more)


def shown(text: str) -> str:
    """A pattern, or a text that quotes one, as ECMA-262 writes it."""
    return text.replace(_END, "$")
