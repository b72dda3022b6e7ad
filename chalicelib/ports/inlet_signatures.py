"""Whether a call at an inlet was signed with its secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class InletSignatures(Protocol):
    """Verifies Standard Webhooks signatures of calls that come in."""

    def problem(self, secret_ref: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why a call is not let in; None: it is. Raises Unavailable when the secret cannot be read now."""
        ...


class NoInletSignatures:
    """A process that can read no secrets lets nothing in."""

    def problem(self, secret_ref: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Refuses."""
        return "this process reads no secrets"
