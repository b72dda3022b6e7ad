"""How a sealed text is written: ``cws1.KEY.WRAPPED.SEALED``.

``KEY`` is the key that wrapped the data key, ``WRAPPED`` the data key as only that key's owner can open it, ``SEALED``
nonce and ciphertext. Each text says all that reading it takes. So a key may be rotated, or replaced by another, and
what it wrapped before stays readable while the key exists.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

PREFIX: Final = "cws1."  # no JSON text begins like that
FIELD: Final = "sealed"  # of the object that stands for a payload in a dead letter
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class Envelope(NamedTuple):
    """A sealed text taken apart."""

    key_id: str
    wrapped: bytes
    sealed: bytes

    def text(self) -> str:
        """As it is stored."""
        parts = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (self.wrapped, self.sealed))
        return f"{PREFIX}{self.key_id}.{'.'.join(parts)}"


def is_sealed(text: str) -> bool:
    """Whether a stored text is an envelope."""
    return text.startswith(PREFIX)


def parse(text: str) -> Envelope:
    """Take an envelope apart. Raises ValueError, which quotes nothing."""
    parts = text.removeprefix(PREFIX).split(".")
    if not is_sealed(text) or len(parts) != 3:
        raise ValueError("not a sealed text")
    try:
        wrapped, sealed = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts[1:])
    except binascii.Error:
        raise ValueError("not a sealed text") from None
    return Envelope(parts[0], wrapped, sealed)


def bound_to(tenant: str, place: str) -> bytes:
    """What a sealed text is bound to: moved to another tenant or place, it does not open."""
    return f"{len(tenant)}:{tenant}{place}".encode()


def schedule_place(schedule_id: str) -> str:
    """Where the payload of a schedule belongs, for sealing."""
    return f"schedule {schedule_id}"


def execution_place(execution_id: str, field: str) -> str:
    """Where the payload or the result of an execution belongs, for sealing."""
    return f"execution {execution_id} {field}"


def dead_letter_place(execution_id: str) -> str:
    """Where the payload of a dead letter belongs."""
    return f"dead letter {execution_id}"
