"""A policy engine beside the service, such as Open Policy Agent: asked at admission, never before a firing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class ExternalVerdict(NamedTuple):
    """What the engine decided, why, and under which id it has that on record. No answer is a refusal."""

    allowed: bool
    reasons: Sequence[str] = ()
    decision_id: str = ""


class ExternalPolicies(Protocol):
    """One engine; ``is_on``: there is one."""

    @property
    def is_on(self) -> bool: ...

    def decide(self, question: Mapping[str, Any]) -> ExternalVerdict:
        """Judge ``{"tenant", "action", "caller", "subject"}`` in EXTERNAL_TIMEOUT_MS. Raises nothing: it fails
        closed."""
        ...


class NoExternalPolicies:
    """There is none: everything is allowed."""

    is_on = False

    def decide(self, _question: Mapping[str, Any]) -> ExternalVerdict:
        """Allow."""
        return ExternalVerdict(True)
