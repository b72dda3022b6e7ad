"""A trigger: which events fire, how often, and from where they come. Where to and how is the schedule of its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from chalicelib.core.errors import FieldError
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.triggers import sources
from chalicelib.core.triggers.limits import (
    CEL_MAX_CHARS,
    THROTTLE_MAX,
    THROTTLE_PER_MAX_MS,
    WAIT_MAX_MS,
    WINDOW_MAX_MS,
)

EXPRESSION_NAMES: Final[Mapping[str, str]] = {"event": "any"}


class DedupeRule(NamedTuple):
    """One execution in ``window_ms`` for events of one key."""

    key: str
    window_ms: int


class ThrottleRule(NamedTuple):
    """At most ``limit`` executions in any ``per_ms``."""

    limit: int
    per_ms: int


class AbsenceRule(NamedTuple):
    """Fire when no event passes the filter within ``within_ms`` of one for which ``after`` holds."""

    after: str
    within_ms: int


class TriggerRules(Struct, frozen=True, kw_only=True):
    """Which events fire. ``filter``, ``key`` and ``after`` are expressions of CEL that see ``event``."""

    source: Mapping[str, Any]
    filter: str | None = None
    dedupe: DedupeRule | None = None
    debounce_ms: int = 0
    throttle: ThrottleRule | None = None
    absence: AbsenceRule | None = None

    @property
    def expressions(self) -> dict[str, str]:
        """Its expressions, by the field that an error names."""
        named = (
            ("filter.cel", self.filter),
            ("dedupe.key.cel", self.dedupe and self.dedupe.key),
            ("absence.after.cel", self.absence and self.absence.after),
        )
        return {field: text for field, text in named if text}


class Trigger(Struct, frozen=True, kw_only=True):
    """A trigger as stored. ``token`` is the secret part of its ``ingest_url``. ``rev`` grows with every change.
    ``since_ms`` is when its source became what it is: earlier events are not its own. ``every_owner``: whether its
    owner, who made it, may see every owner's things; None: it was made before that was kept."""

    tenant: str
    id: str
    name: str
    rules: TriggerRules
    token: str = ""
    rev: int = 1
    created_ms: int = 0
    since_ms: int = 0
    every_owner: bool | None = None


def problems(rules: TriggerRules, webhook_allow: Sequence[str], secrets: SecretPolicy) -> Iterator[FieldError]:
    """Everything that is wrong with rules by themselves; expressions are compiled elsewhere."""
    yield from sources.problems(rules.source, webhook_allow, secrets)
    for field, text in rules.expressions.items():
        if len(text) > CEL_MAX_CHARS:
            yield FieldError(field, f"must have at most {CEL_MAX_CHARS} characters")
    ranges = [("debounce_ms", rules.debounce_ms, 0, WAIT_MAX_MS)]
    if rules.dedupe is not None:
        ranges.append(("dedupe.window_ms", rules.dedupe.window_ms, 1, WINDOW_MAX_MS))
    if rules.throttle is not None:
        ranges += [
            ("throttle.limit", rules.throttle.limit, 1, THROTTLE_MAX),
            ("throttle.per_ms", rules.throttle.per_ms, 1, THROTTLE_PER_MAX_MS),
        ]
    if rules.absence is not None:
        ranges.append(("absence.within_ms", rules.absence.within_ms, 1, WAIT_MAX_MS))
    for field, value, least, most in ranges:
        if not least <= value <= most:
            yield FieldError(field, f"must be from {least} to {most}")
    if rules.absence is not None and (rules.debounce_ms or rules.throttle is not None):
        wrong = "debounce_ms" if rules.debounce_ms else "throttle"
        yield FieldError(wrong, "has no meaning beside absence: an event that does not come is one firing")
