"""What the answers of several nouns have in common."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from chalicelib.core import ulid
from chalicelib.core.errors import Violation
from chalicelib.core.json_schema import formed

Ulid = Annotated[
    str, formed(min_length=26, max_length=26, pattern=f"^{ulid.PATTERN}$", examples=["01KB0E5T0QJ8Z3V7M4N2X9YRSC"])
]
ShownInstant = Annotated[int, Meta(description="Unix milliseconds.")]


class Check(msgspec.Struct):
    """One thing that must work."""

    ok: bool
    detail: str


class ProblemField(msgspec.Struct):
    """One wrong field, by its dotted name. `at` has the code points at fault of a text, half open."""

    field: str
    message: str
    at: list[int] | UnsetType = UNSET


class ViolationView(msgspec.Struct, kw_only=True):
    """A rule of a policy that does not hold. `value` is what the subject has in `field`; null: it has none."""

    policy: str
    rule: str
    field: str
    value: Any
    message: str
    decision_id: str | UnsetType = UNSET


PolicyWarnings = Annotated[
    list[ViolationView] | UnsetType,
    Meta(description="Rules with the action `warn` that do not hold. Only the answer to the call itself has them."),
]


def violation_view(found: Violation) -> ViolationView:
    """A violation as answers show it."""
    return ViolationView(
        policy=found.policy,
        rule=found.rule,
        field=found.field,
        value=found.value,
        message=found.message,
        decision_id=found.decision_id or UNSET,
    )


class Problem(msgspec.Struct, kw_only=True):
    """An error (RFC 9457). `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: list[ProblemField] | UnsetType = UNSET
    violations: list[ViolationView] | UnsetType = UNSET
    kept: list[str] | UnsetType = UNSET
    again: list[str] | UnsetType = UNSET
    conflicts: list[str] | UnsetType = UNSET
    checks: dict[str, Check] | UnsetType = UNSET
    violated_policies: list[str] | UnsetType = field(default=UNSET, name="violated-policies")
