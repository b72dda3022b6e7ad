"""Sealing of payloads before they are stored."""

from __future__ import annotations

from typing import Protocol

from chalicelib.core.errors import Unavailable
from chalicelib.core.secrets import envelope


class Sealing(Protocol):
    """Texts of tenants in and out. ``place`` says where a text belongs: it opens there alone."""

    def seal(self, tenant: str, place: str, text: str) -> str:
        """The text as it is stored. Raises Unavailable when no key can be had."""
        ...

    def unseal(self, tenant: str, place: str, text: str) -> str:
        """The text of what is stored; what was never sealed as it is. Raises Unavailable when it cannot be opened."""
        ...


class NoSealing:
    """A deployment that stores payloads as they are. It does not pass on what another setting has sealed."""

    def seal(self, tenant: str, place: str, text: str) -> str:
        """The text itself."""
        return text

    def unseal(self, tenant: str, place: str, text: str) -> str:
        """The text itself. Raises Unavailable when it is sealed: a target must not be sent an envelope as a payload."""
        if envelope.is_sealed(text):
            raise Unavailable("a stored payload is sealed, and CHRONO_KMS_KEY_ID is not set")
        return text


UNSEALED = NoSealing()
