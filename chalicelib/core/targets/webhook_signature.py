"""Standard Webhooks 1.0: the signature of a delivery, and which headers a caller may add to one.

The signed text is ``{webhook-id}.{webhook-timestamp}.{body}``; the key is what follows ``whsec_``, base64-decoded.
See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
HEADERS_MAX_COUNT = 50
HEADER_VALUE_MAX_CHARS = 4096

NAME_PATTERN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
VALUE_PATTERN = r"[\t\x20-\x7e\x80-\xff]*"
_TOKEN = re.compile(NAME_PATTERN, re.ASCII)
_VALUE = re.compile(VALUE_PATTERN)
# Ours to set, or of the connection: a caller who could set them could forge a delivery or split a request in two.
_RESERVED = frozenset(
    {
        *("host", "connection", "keep-alive", "upgrade", "te", "trailer", "transfer-encoding", "expect"),
        *("content-type", "content-length", "content-encoding", "idempotency-key", "traceparent"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    }
)


def decode_secret(text: str) -> tuple[bytes, ...]:
    """The keys in a stored secret: one ``whsec_…``, or several parted by blanks while one is being rotated out.

    Raises ValueError, which never quotes the secret.
    """
    keys = tuple(_decode_key(part) for part in text.split())
    if not keys:
        raise ValueError("the secret is empty; it must be whsec_ followed by base64")
    return keys


def sign(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1,<base64>`` a key, parted by spaces."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def check_header(name: str, value: object) -> str | None:
    """Why a caller may not add this header, or None when it may."""
    if not _TOKEN.fullmatch(name):
        return "is not a header name"
    if name.lower() in _RESERVED or name.lower().startswith("proxy-"):
        return "is set by the service"
    if not isinstance(value, str):
        return "must be a string"
    if len(value) > HEADER_VALUE_MAX_CHARS or not _VALUE.fullmatch(value):
        return f"must be at most {HEADER_VALUE_MAX_CHARS} characters of Latin-1 without line breaks"
    return None


def check_headers(headers: Mapping[str, object]) -> str | None:
    """What is wrong with a webhook's own headers, or None."""
    if len(headers) > HEADERS_MAX_COUNT:
        return f"at most {HEADERS_MAX_COUNT} headers"
    for name, value in headers.items():
        if problem := check_header(name, value):
            return f"{name[:128]!r} {problem}"
    return None


def _decode_key(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise ValueError("the secret must be whsec_ followed by base64")
    encoded = text.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ in the secret is not base64") from None
    if not key:
        raise ValueError("nothing follows whsec_ in the secret")
    return key
