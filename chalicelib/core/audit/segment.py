"""Segments: entries that were appended together, as one item.

A segment is written once, under a number that no other may take. It carries on from the one before, which its
writer has read and which no append changes. So the chain cannot fork and has no gap, and no head is kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from chalicelib.core.audit.entry import Draft, Entry, enter
from chalicelib.core.decoders import decoder_of


class AuditSegment(Struct, frozen=True):
    """Entries in their order; at least one."""

    number: int
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def last(self) -> Entry:
        return self.entries[-1]


class Tail(Struct, frozen=True):
    """Where a chain ends: the number of its last segment, the sequence, digest and stamp of its last entry."""

    number: int = 0
    sequence: int = 0
    sha256: str | None = None
    hlc: str | None = None


def tail_of(segment: AuditSegment | None) -> Tail:
    """The end of a chain by its last segment; None: the chain is empty."""
    if segment is None:
        return Tail()
    return Tail(segment.number, segment.last.sequence, segment.last.sha256, segment.last.hlc)


def link(tail: Tail, drafts: Sequence[Draft], stamps: Sequence[str], pseudonyms: Mapping[str, str]) -> AuditSegment:
    """The segment that carries on from ``tail``; one stamp for each draft, one pseudonym for each actor."""
    entries: list[Entry] = []
    previous = tail.sha256
    for place, (draft, stamp) in enumerate(zip(drafts, stamps, strict=True), tail.sequence + 1):
        entries.append(enter(draft, place, stamp, previous, pseudonyms[draft.actor]))
        previous = entries[-1].sha256
    return AuditSegment(tail.number + 1, tuple(entries))


def write(segment: AuditSegment) -> str:
    """The document of a segment."""
    return msgspec.json.encode(segment).decode()


def read(document: str) -> AuditSegment:
    """The segment of a document that ``write`` made."""
    return decoder_of(AuditSegment).decode(document)
