"""Which type a recurrence is of, by its form: a person need not say it twice."""

from __future__ import annotations

from typing import Any

from chronowatch.declaring import type_of


def looks_like_one(text: str) -> bool:
    """Whether it is an expression and no name of a schedule."""
    return type_of(text) != "CRON" or text.startswith("@") or len(text.split()) >= 5


def complete(body: dict[str, Any]) -> None:
    """Add the type that the expression shows."""
    if "type" not in body and isinstance(body.get("expr"), str):
        body["type"] = type_of(body["expr"])
