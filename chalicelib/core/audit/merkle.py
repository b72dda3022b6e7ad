"""The Merkle tree over a chain's entries: the tree of RFC 6962 section 2.1, kept by its peaks.

The peaks are the roots of its full subtrees, from left to right: one for each bit of the count. With them entries are
added, and the root is found, without any earlier entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from chalicelib.core.audit.entry import Entry

EMPTY: Final = hashlib.sha256(b"").hexdigest()


def leaf(entry: Entry) -> str:
    """The leaf of an entry: it binds both digests, and an erasure changes neither."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(entry.sha256) + bytes.fromhex(entry.redacted_sha256)).hexdigest()


def add(peaks: Iterable[str], count: int, leaves: Iterable[str]) -> tuple[str, ...]:
    """The peaks after more leaves; ``count`` is how many there were."""
    found = list(peaks)
    for each in leaves:
        found.append(each)
        above = count
        while above & 1:
            right, left = found.pop(), found.pop()
            found.append(_node(left, right))
            above >>= 1
        count += 1
    return tuple(found)


def root(peaks: Iterable[str]) -> str:
    """The root of the tree that has these peaks."""
    found = list(peaks)
    if not found:
        return EMPTY
    top = found.pop()
    while found:
        top = _node(found.pop(), top)
    return top


def _node(left: str, right: str) -> str:
    return hashlib.sha256(b"\x01" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()
