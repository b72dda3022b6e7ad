"""The text of an API key: ``cw_{id}_{secret}{checksum}``.

The prefix is for scanners of leaked secrets. The id is public: it finds the key and names it. A wrong
checksum shows a mistyped or invented key before anything is read. There is no hyphen in it, so that a double click
selects all of it. The form is that of GitHub's tokens ("Behind GitHub's new authentication token formats", 2021).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_CHARS: Final = 8
SECRET_CHARS: Final = 30
CHECKSUM_CHARS: Final = 6
SECRET_BITS: Final = 256  # drawn for a secret: more than its characters hold, so that all are as likely
ID_PATTERN: Final = f"[0-9A-Za-z]{{{ID_CHARS}}}"
MARK: Final = "cw_"

_FORM: Final = re.compile(rf"{MARK}({ID_PATTERN})_[0-9A-Za-z]{{{SECRET_CHARS}}}[0-9A-Za-z]{{{CHECKSUM_CHARS}}}")
_ID: Final = re.compile(ID_PATTERN)


def compose(key_id: str, random_bits: int) -> str:
    """The key of an id and SECRET_BITS random bits."""
    body = f"{prefix(key_id)}_{_digits(random_bits, SECRET_CHARS)}"
    return body + _checksum(body)


def id_in(text: str) -> str | None:
    """The id of a key; None for what is no key, or has a wrong checksum. Reads nothing else."""
    found = _FORM.fullmatch(text)
    if found is None or not hmac.compare_digest(_checksum(text[:-CHECKSUM_CHARS]), text[-CHECKSUM_CHARS:]):
        return None
    return found[1]


def is_id(text: str) -> bool:
    """Whether ``text`` can be the id of a key."""
    return _ID.fullmatch(text) is not None


def prefix(key_id: str) -> str:
    """What may be shown of a key after its creation."""
    return MARK + key_id


def derived_id(seed: str, number: int) -> str:
    """The ``number``-th id that follows from ``seed``. It is public, so it may follow; a secret never does."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=16).digest()
    return _digits(int.from_bytes(digest), ID_CHARS)


def sha256(text: str) -> str:
    """What is stored of a key. Its secret has 178 bits, so nothing slower is needed against guessing."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_same(text: str, stored: str) -> bool:
    """Whether ``stored`` is the hash of ``text``, compared in constant time."""
    return hmac.compare_digest(sha256(text), stored)


def _checksum(body: str) -> str:
    return _digits(zlib.crc32(body.encode()), CHECKSUM_CHARS)


def _digits(value: int, count: int) -> str:
    """The last ``count`` digits of ``value`` in base 62."""
    found = []
    for _ in range(count):
        value, digit = divmod(value, len(ALPHABET))
        found.append(ALPHABET[digit])
    return "".join(reversed(found))
