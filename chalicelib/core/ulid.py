"""ULIDs (github.com/ulid/spec): their form, and those that follow from another, so that a call that is run again names
the same things."""

from __future__ import annotations

import hashlib
import re
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
RANDOM_BITS: Final = 80
_TIME_BITS: Final = 50  # ten characters, of which the first two bits are always 0
PATTERN: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_FORM: Final = re.compile(PATTERN, re.ASCII)


def is_ulid(text: str) -> bool:
    """Whether ``text`` has the form of a ULID, in upper case."""
    return _FORM.fullmatch(text) is not None


def encode(unix_ms: int, rest: int) -> str:
    """The ULID of 48 bits of time and 80 further ones."""
    return _digits(unix_ms, _TIME_BITS) + _digits(rest, RANDOM_BITS)


def time_ms(text: str) -> int:
    """When a ULID was made, in unix milliseconds."""
    found = 0
    for character in text[: _TIME_BITS // 5]:
        found = found << 5 | ALPHABET.find(character)
    return found


def derived(seed: str, number: int) -> str:
    """The ``number``-th id that follows from ``seed``: of the same millisecond, and otherwise as good as random."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=RANDOM_BITS // 8).digest()
    return seed[: _TIME_BITS // 5] + _digits(int.from_bytes(digest), RANDOM_BITS)


def _digits(value: int, bits: int) -> str:
    return "".join([ALPHABET[value >> shift & 31] for shift in range(bits - 5, -1, -5)])
