"""Ed25519, by the library that is imported when the first such key is used, and not before."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(seed: bytes, text: bytes) -> bytes:
    """The signature of ``text``."""
    return _private_key(seed).sign(text)


def public_key(seed: bytes) -> bytes:
    """The 32 bytes of the public half."""
    return _private_key(seed).public_key().public_bytes_raw()


@lru_cache(maxsize=16)
def _private_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)
