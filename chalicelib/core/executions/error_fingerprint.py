"""What errors have in common: a short name that is the same for errors that differ by numbers, ids and addresses."""

from __future__ import annotations

import hashlib
import re
from typing import Final

FINGERPRINT_CHARS: Final = 16
_ANY: Final = "#"
_MARKS: Final = str.maketrans('"`\u2018\u2019\u201c\u201d\u00ab\u00bb', "'" * 8)
# Each begins at the edge of a word or is bounded, so that no text takes more than linear time.
_VARIES: Final = re.compile(
    r"""
    (?P<kept>\b(?:https?|status(?:[ ]code)?|answered)[ ]?[:=]?[ ]?[1-5][0-9]{2}\b)   # 404 is another error than 503
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b                       # a UUID
    | \b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}                     # a mail address
    | (?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])   # IPv6, and a time of day
    | \b0x[0-9a-f]+\b
    | \b(?=[a-z]*[0-9])[0-9a-z]{20,}\b                                      # a ULID, a digest, a token
    | \b[0-9a-f]{12,}\b
    | \d+(?:[.,]\d+)*                                                       # a number, a version, IPv4
    """,
    re.VERBOSE | re.IGNORECASE,
)


def normalised(error: str) -> str:
    """An error without what differs each time. Statuses of HTTP stay; all marks of quotation are one."""
    text = _VARIES.sub(lambda found: found["kept"] or _ANY, error.translate(_MARKS))
    return " ".join(text.split())


def fingerprint(error: str) -> str:
    """The short name, 16 hex digits. It is the same on every machine and in every release that normalises alike."""
    digest = hashlib.blake2b(normalised(error).encode("utf-8", "replace"), digest_size=FINGERPRINT_CHARS // 2)
    return digest.hexdigest()
