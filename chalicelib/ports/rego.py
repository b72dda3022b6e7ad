"""Conditions in Rego, judged by an engine that a deployment may have: at admission and in dry runs, never before a
firing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from chalicelib.core.errors import FieldError, NotSupported

NOT_OFFERED: Final = "this deployment has no engine for Rego: see docs/policy-as-code.md"


class RegoAnswer(NamedTuple):
    """Whether the module's ``allow`` is true, and what kept it from an answer (empty: nothing). No answer is a no."""

    holds: bool
    problem: str = ""


class RegoEngine(Protocol):
    """One engine."""

    def check(self, module: str, place: str) -> None:
        """Raise InvalidField at ``place`` for a module that must not be published, NotSupported where there is no
        engine."""
        ...

    def ask(self, module: str, question: Mapping[str, Any]) -> RegoAnswer:
        """Judge a question within REGO_TIMEOUT_MS. Raises nothing: it fails closed."""
        ...


class NoRego:
    """There is none."""

    def check(self, _module: str, place: str) -> None:
        """Refuse."""
        raise NotSupported([FieldError(place, NOT_OFFERED)], code="not_offered")

    def ask(self, _module: str, _question: Mapping[str, Any]) -> RegoAnswer:
        """Give no answer."""
        return RegoAnswer(False, NOT_OFFERED)
