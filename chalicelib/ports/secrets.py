"""Secrets by reference: one port, whichever store holds them.

A secret has *live values*, the newest first: while it is rotated, the one before is still accepted somewhere.
"""

from __future__ import annotations

from typing import Protocol

from chalicelib.core.secrets.secret_ref import SecretRef


class SecretMissing(Exception):
    """Raised when a secret is not there, may not be read, or is none: repeating cannot help. Never quotes a value."""


class SecretAway(Exception):
    """Raised when a store cannot be reached or is busy: repeating may help. Never quotes a value."""


class SecretStore(Protocol):
    """One kind of store."""

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        """The live values of a secret, read now. Raises SecretMissing, SecretAway."""
        ...


class Secrets(Protocol):
    """All stores of a deployment, remembered for a while. Safe to share between threads."""

    def values(self, ref: str) -> tuple[str, ...]:
        """The live values of the secret that ``ref`` names. Raises SecretMissing, SecretAway."""
        ...

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        """A target refused these values: read the secret anew, at once. True when it has others by now. Never
        raises."""
        ...


class NoSecrets:
    """A deployment that reads no secrets."""

    def values(self, ref: str) -> tuple[str, ...]:
        """Raises SecretMissing."""
        raise SecretMissing("this deployment reads no secrets")

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        """There are no others."""
        return False
