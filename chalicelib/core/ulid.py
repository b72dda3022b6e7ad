"""ULIDs that follow from another (github.com/ulid/spec): so that a call that is run again names the same things."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_CHARS: Final = 10
_RANDOM_BITS: Final = 80
_FORM: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)


def is_ulid(text: str) -> bool:
    """Whether ``text`` has the form of a ULID, in upper case."""
    return _FORM.fullmatch(text) is not None


def derived(seed: str, number: int) -> str:
    """The ``number``-th id that follows from ``seed``: of the same millisecond, and otherwise as good as random."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=_RANDOM_BITS // 8).digest()
    value = int.from_bytes(digest)
    rest = "".join(_ALPHABET[value >> shift & 31] for shift in range(_RANDOM_BITS - 5, -1, -5))
    return seed[:_TIME_CHARS] + rest
