"""What the answers of several nouns have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from chalicelib.core import ulid

Ulid = Annotated[
    str, Meta(min_length=26, max_length=26, pattern=f"^{ulid.PATTERN}$", examples=["01KB0E5T0QJ8Z3V7M4N2X9YRSC"])
]
ShownInstant = Annotated[int, Meta(description="Unix milliseconds.")]


class Check(msgspec.Struct):
    """One thing that must work."""

    ok: bool
    detail: str


class ProblemField(msgspec.Struct):
    """One wrong field, by its dotted name."""

    field: str
    message: str


class Problem(msgspec.Struct, kw_only=True):
    """An error (RFC 9457). `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: list[ProblemField] | UnsetType = UNSET
    checks: dict[str, Check] | UnsetType = UNSET
    violated_policies: list[str] | UnsetType = field(default=UNSET, name="violated-policies")
