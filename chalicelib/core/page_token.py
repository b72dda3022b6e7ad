"""Page tokens: opaque positions that only this service can make, each good for one list and its filters alone.

A token is base64url of a tag and the masked position. The tag is HMAC-SHA256 (RFC 2104) over the scope and the
position, cut to 128 bits. The mask is HMAC-SHA256 under a key of its own, over the tag. A position may name what the
caller does not see: a list leaves that out after it is read. Nothing is stored, so a token outlives restarts and is
understood by every instance that shares the secret.
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
    tag = _tag(secret, scope, text)
    return _spell(tag + _masked(secret, tag, text))


def unseal(secret: str, scope: str, token: str) -> str:
    """The position in ``token``. Raises BadRequest (``bad_page_token``) unless it was sealed for this very scope."""
    try:
        if len(token) > PAGE_TOKEN_MAX_CHARS:
            raise _bad()
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _bad() from None
    tag, rest = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    for text in (_masked(secret, tag, rest), rest):  # the second: as releases up to 0.2 made them
        # The spelling must be ours too: base64 has idle bits in its last character, which would pass altered.
        if hmac.compare_digest(tag, _tag(secret, scope, text)) and _spell(raw) == token:
            return text.decode()
    raise _bad()


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _tag(secret: str, scope: str, text: bytes) -> bytes:
    scope_digest = hashlib.sha256(scope.encode()).digest()  # of fixed length, so scope and position cannot run together
    return hmac.digest(secret.encode(), scope_digest + text, "sha256")[:_TAG_BYTES]


def _masked(secret: str, tag: bytes, text: bytes) -> bytes:
    """The position under its mask, or without it again."""
    key = hmac.digest(secret.encode(), b"chronowatch: positions in page tokens", "sha256")
    blocks = range(-(-len(text) // hashlib.sha256().digest_size))
    mask = b"".join(hmac.digest(key, tag + number.to_bytes(4), "sha256") for number in blocks)
    return bytes(one ^ other for one, other in zip(text, mask, strict=False))


def _bad() -> BadRequest:
    return BadRequest("the page token is not one that this list gave out", code="bad_page_token")
