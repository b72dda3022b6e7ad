"""Page tokens: opaque positions that only this service can make, each good for one list and its filters alone.

A token is base64url of a tag and the position. The tag is HMAC-SHA256 (RFC 2104) over the scope and the position, cut
to 128 bits. Nothing is stored, so a token outlives restarts and is understood by every instance that shares the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from chalicelib.core.errors import BadRequest
from chalicelib.core.limits import PAGE_TOKEN_MAX_CHARS

_TAG_BYTES = 16
PATTERN = "^[A-Za-z0-9_-]{22,}$"  # the tag alone has 22 characters


def seal(secret: str, scope: str, position: str) -> str:
    """The token for ``position`` in the list that ``scope`` names (tenant, route and filters)."""
    text = position.encode()
    return _spell(_tag(secret, scope, text) + text)


def unseal(secret: str, scope: str, token: str) -> str:
    """The position in ``token``. Raises BadRequest (``bad_page_token``) unless it was sealed for this very scope."""
    try:
        if len(token) > PAGE_TOKEN_MAX_CHARS:
            raise _bad()
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _bad() from None
    tag, text = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    # The spelling must be ours too: base64 has idle bits in its last character, which would pass altered.
    if not hmac.compare_digest(tag, _tag(secret, scope, text)) or _spell(raw) != token:
        raise _bad()
    return text.decode()


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _tag(secret: str, scope: str, text: bytes) -> bytes:
    scope_digest = hashlib.sha256(scope.encode()).digest()  # of fixed length, so scope and position cannot run together
    return hmac.digest(secret.encode(), scope_digest + text, "sha256")[:_TAG_BYTES]


def _bad() -> BadRequest:
    return BadRequest("the page token is not one that this list gave out", code="bad_page_token")
