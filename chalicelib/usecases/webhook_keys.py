"""What receivers may know of the key that signs webhooks."""

from __future__ import annotations

import base64
import hashlib
import json

from msgspec import Struct

from chalicelib.core.targets.webhook_signature import PUBLIC_PREFIX
from chalicelib.ports.services import Services


class PublishedKey(Struct, frozen=True):
    """One public key: as Standard Webhooks writes it, and the parts of a JSON Web Key (RFC 8037)."""

    whpk: str
    x: str
    kid: str


def published(s: Services) -> list[PublishedKey]:
    """The keys that receivers verify ``v1a`` signatures with, the newest first. Raises Unavailable."""
    return [_published(key) for key in s.webhook_keys.public_keys()]


def _published(key: bytes) -> PublishedKey:
    x = _base64url(key)
    thumbprint = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))  # RFC 7638
    kid = _base64url(hashlib.sha256(thumbprint.encode()).digest())
    return PublishedKey(PUBLIC_PREFIX + base64.b64encode(key).decode(), x, kid)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
