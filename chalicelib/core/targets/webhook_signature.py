"""Standard Webhooks: the signatures of a delivery, and which headers a caller may add to one.

The signed text is ``{webhook-id}.{webhook-timestamp}.{body}``. The key is what follows ``whsec_`` (HMAC-SHA256, ``v1``)
or ``whsk_`` (Ed25519, ``v1a``), base64-decoded. A receiver verifies ``v1a`` by the public key alone.
See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

PREFIX = "whsec_"
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
SEED_BYTES = 32  # of an Ed25519 key; the public half may follow it, as libsodium writes keys
KEYS_MAX_COUNT = 8  # that sign one delivery
REF_FIELD: Final = "secret_ref"
HEADERS_MAX_COUNT = 50
TOLERANCE_S = 300  # between the clock of a sender and ours
_SIGNED_BY: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
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
        *("webhook-id", "webhook-timestamp", "webhook-signature", "x-chrono-depth"),
    }
)


class SigningKey(NamedTuple):
    """A key of either scheme. ``key`` is the HMAC's, or the seed of an Ed25519 key."""

    scheme: Literal["v1", "v1a"]
    key: bytes

    def __repr__(self) -> str:
        """Without the key: a repr ends in logs."""
        return f"SigningKey({self.scheme})"


SignEd25519 = Callable[[bytes, bytes], bytes]  # (seed, text) to the signature


def decode_secret(text: str) -> tuple[SigningKey, ...]:
    """The keys in a stored secret: one, or several parted by blanks while one is being rotated out.

    Raises ValueError, which never quotes the secret.
    """
    keys = tuple(_decode_key(part) for part in text.split())
    if not keys:
        raise ValueError("the secret is empty; it must be whsec_ or whsk_ followed by base64")
    return keys


def decode_values(values: Sequence[str]) -> tuple[SigningKey, ...]:
    """The keys in the live values of a secret, the newest first, each once. Only the newest value has to be a secret:
    what was before it may have been something else. Raises ValueError, which never quotes the secret."""
    keys = dict.fromkeys(decode_secret(values[0] if values else ""))
    for text in values[1:]:
        try:
            keys |= dict.fromkeys(decode_secret(text))
        except ValueError:
            continue
    return tuple(keys)[:KEYS_MAX_COUNT]


def sign(keys: Sequence[SigningKey], message_id: str, timestamp_s: int, body: bytes, sign_ed25519: SignEd25519) -> str:
    """The value of ``webhook-signature``: one ``v1,<base64>`` or ``v1a,<base64>`` a key, parted by spaces."""
    text = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = (
        hmac.digest(key, text, hashlib.sha256) if scheme == "v1" else sign_ed25519(key, text) for scheme, key in keys
    )
    pairs = zip(keys, signatures, strict=True)
    return " ".join(f"{key.scheme},{base64.b64encode(signature).decode()}" for key, signature in pairs)


def verify_problem(
    keys: Sequence[SigningKey],
    headers: Mapping[str, str],
    body: bytes,
    now_s: int,
    sign_ed25519: SignEd25519,
) -> str | None:
    """Why a call that came in is not signed by one of these keys; None: it is. Compares in constant time."""
    message_id, stamp, given = (headers.get(name, "") for name in _SIGNED_BY)
    if not (message_id and stamp and given):
        return f"a call here needs {', '.join(_SIGNED_BY)}"
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now_s - int(stamp)) > TOLERANCE_S:
        return f"webhook-timestamp is not within {TOLERANCE_S} seconds of now"
    offered = given.split()[: 2 * KEYS_MAX_COUNT]
    for wanted in sign(keys, message_id, int(stamp), body, sign_ed25519).split():
        if any(hmac.compare_digest(wanted.encode(), one.encode()) for one in offered):
            return None
    return "the signature is not that of this inlet's secret"


def check_header(name: str, value: object) -> str | None:
    """Why a caller may not add this header, or None when it may. A value may be a reference to a secret, which is
    judged elsewhere."""
    if not _TOKEN.fullmatch(name):
        return "is not a header name"
    if name.lower() in _RESERVED or name.lower().startswith("proxy-"):
        return "is set by the service"
    return None if ref_of(value) is not None else check_value(value)


def check_value(value: object) -> str | None:
    """What is wrong with the value of a header, or None. Never quotes it: it may be a secret's."""
    if not isinstance(value, str):
        return 'must be a string or {"secret_ref": …}'
    if len(value) > HEADER_VALUE_MAX_CHARS or not _VALUE.fullmatch(value):
        return f"must be at most {HEADER_VALUE_MAX_CHARS} characters of Latin-1 without line breaks"
    return None


def ref_of(value: object) -> str | None:
    """The reference of a header whose value is a secret, or None."""
    if isinstance(value, Mapping) and set(value) == {REF_FIELD} and isinstance(value[REF_FIELD], str):
        return str(value[REF_FIELD])
    return None


def header_refs(headers: object) -> dict[str, str]:
    """The references among the values of headers, by the header's name."""
    if not isinstance(headers, Mapping):
        return {}
    return {str(name): ref for name, value in headers.items() if (ref := ref_of(value)) is not None}


def check_headers(headers: Mapping[str, object]) -> str | None:
    """What is wrong with a webhook's own headers, or None."""
    if len(headers) > HEADERS_MAX_COUNT:
        return f"at most {HEADERS_MAX_COUNT} headers"
    if len({name.lower() for name in headers}) < len(headers):
        return "a name is there twice: names differ by more than their case"
    for name, value in headers.items():
        if problem := check_header(name, value):
            return f"{name[:128]!r} {problem}"
    return None


def _decode_key(text: str) -> SigningKey:
    prefix = next((each for each in (PREFIX, PRIVATE_PREFIX) if text.startswith(each)), None)
    if prefix is None:
        raise ValueError("the secret must be whsec_ or whsk_ followed by base64")
    encoded = text.removeprefix(prefix).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {prefix} in the secret is not base64") from None
    if not key:
        raise ValueError(f"nothing follows {prefix} in the secret")
    if prefix == PREFIX:
        return SigningKey("v1", key)
    if len(key) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise ValueError("what follows whsk_ in the secret must be 32 or 64 bytes: an Ed25519 key")
    return SigningKey("v1a", key[:SEED_BYTES])
