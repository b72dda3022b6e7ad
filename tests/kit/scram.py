"""The server's side of SCRAM (RFC 5802), for brokers in tests that take no users themselves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

ITERATIONS: Final = 4096
HASHES: Final[Mapping[str, str]] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class ScramServer:
    """One caller that signs in: its two messages, in order."""

    def __init__(self, mechanism: str, users: Mapping[str, str]) -> None:
        self._hash = HASHES[mechanism]
        self._users = users
        self._salt = secrets.token_bytes(16)
        self._said = ""
        self._nonce = ""
        self._password: str | None = None

    def challenge(self, first: str) -> str:
        """The answer to the caller's first message."""
        header, bare = first[:3], first[3:]
        assert header == "n,,", "no binding to a channel"
        named = dict(part.split("=", 1) for part in bare.split(","))
        self._password = self._users.get(named["n"])
        self._nonce = named["r"] + secrets.token_urlsafe(18)
        challenge = f"r={self._nonce},s={base64.b64encode(self._salt).decode()},i={ITERATIONS}"
        self._said = f"{bare},{challenge}"
        return challenge

    def verdict(self, final: str) -> str | None:
        """What proves that the server knows the password too; None: the caller does not."""
        without, _, proof = final.rpartition(",p=")
        if self._password is None or f"r={self._nonce}" not in without.split(","):
            return None
        salted = hashlib.pbkdf2_hmac(self._hash, self._password.encode(), self._salt, ITERATIONS)
        said = f"{self._said},{without}".encode()
        client_key = self._mac(salted, b"Client Key")
        signature = self._mac(hashlib.new(self._hash, client_key).digest(), said)
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) != base64.b64decode(proof):
            return None
        return f"v={base64.b64encode(self._mac(self._mac(salted, b'Server Key'), said)).decode()}"

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._hash)
