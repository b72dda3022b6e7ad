"""Sealed cookies: AES-256-GCM under a key derived from the deployment's secret, so that instances share sessions.

On https the names begin with ``__Host-``. The browser takes such a cookie only with Secure and Path=/, and without
Domain, so that no other host can plant one. Browsers refuse these names on plain http, where loopback is served: there
they are plain.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chalicelib.adapters.machine.system import random_bytes
from chalicelib.core.decoders import decoder_of

COOKIE_MAX_CHARS: Final = 4_000  # browsers keep 4,096 bytes of name, value and attributes
_NONCE_BYTES: Final = 12
_TEXT_MAX_BYTES: Final = 64 * 1024


class CookieJar:
    """Seals and opens what a cookie of one name holds."""

    def __init__(self, name: str, secret: str, secure: bool, same_site: str) -> None:
        self.name = f"__Host-{name}" if secure else name
        key = HKDF(SHA256(), 32, None, b"chronowatch session " + name.encode()).derive(secret.encode())
        self._cipher = AESGCM(key)
        self._attributes = f"; Path=/; HttpOnly; SameSite={same_site}" + ("; Secure" if secure else "")

    def bake(self, content: Any, max_age_s: int) -> str | None:
        """The ``Set-Cookie`` of a content; None: it is longer than browsers keep."""
        nonce = random_bytes(_NONCE_BYTES)
        packed = zlib.compress(msgspec.json.encode(content), 9)
        sealed = nonce + self._cipher.encrypt(nonce, packed, self.name.encode())
        value = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        cookie = f"{self.name}={value}; Max-Age={max_age_s}{self._attributes}"
        return cookie if len(cookie) <= COOKIE_MAX_CHARS else None

    def gone(self) -> str:
        """The ``Set-Cookie`` that takes it away."""
        return f"{self.name}=; Max-Age=0{self._attributes}"

    def find(self, cookies: str, kind: type[Any]) -> Any:
        """The content of this cookie in a ``Cookie`` header; None: it is not there, or was not sealed here."""
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.name and (found := self._opened(value, kind)) is not None:
                return found
        return None

    def _opened(self, value: str, kind: type[Any]) -> Any:
        try:
            raw = base64.b64decode(value.encode("ascii") + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)
            packed = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self.name.encode())
            text = zlib.decompressobj().decompress(packed, _TEXT_MAX_BYTES)
            return decoder_of(kind).decode(text)
        except (binascii.Error, UnicodeEncodeError, ValueError, InvalidTag, zlib.error, msgspec.MsgspecError):
            return None
