"""Appending to a tenant's audit chain: entries of one process go together, and a lost race is tried again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

from chalicelib.core.audit import segment
from chalicelib.core.audit.entry import Draft
from chalicelib.core.audit.limits import (
    APPEND_ATTEMPTS,
    MARK_MEMORY_MS,
    READ_SEGMENTS,
    SEGMENT_MAX_ENTRIES,
    SUBJECT_MEMORY_MS,
    TAIL_MEMORY_MS,
)
from chalicelib.core.audit.segment import AuditSegment, Tail
from chalicelib.core.batches import chunks
from chalicelib.core.errors import InvalidField, OutcomeUnknown, Unavailable
from chalicelib.ports.services import Services
from chalicelib.ports.stores.audit import AuditMark, StoredSegment


def append(s: Services, tenant: str, drafts: Iterable[Draft]) -> None:
    """Enter the drafts in the tenant's chain, in their order. Raises Unavailable, OutcomeUnknown.

    After an error some of them may stand in the chain: who repeats an append looks for their ids first.
    """
    s.process.audit.commit(tenant, list(drafts), partial(_append_all, s, tenant))


def segments_down(s: Services, tenant: str, before: int | None = None) -> Iterator[StoredSegment]:
    """A tenant's segments, the newest first."""
    while True:
        some = s.stores.audit.newest(tenant, READ_SEGMENTS, before)
        yield from some
        if len(some) < READ_SEGMENTS:
            return
        before = some[-1].number


def segments_up(s: Services, tenant: str, after: int = 0) -> Iterator[StoredSegment]:
    """A tenant's segments, the oldest first."""
    while True:
        some = s.stores.audit.oldest(tenant, READ_SEGMENTS, after)
        yield from some
        if len(some) < READ_SEGMENTS:
            return
        after = some[-1].number


def read_tail(s: Services, tenant: str) -> Tail:
    """The end of a tenant's chain, as it is stored. Raises Unavailable."""
    some = s.stores.audit.newest(tenant, 1)
    return segment.tail_of(segment.read(some[0].document) if some else None)


def pseudonym_of(s: Services, tenant: str, subject: str) -> str:
    """What stands for a subject once it is erased; a new one where it has none. Raises Unavailable, OutcomeUnknown."""
    memory, store, now_ms = s.process.audit, s.stores.audit, s.clock.now_ms()
    known = memory.pseudonym(tenant, subject, now_ms, SUBJECT_MEMORY_MS) or store.pseudonym(tenant, subject)
    if known is None:
        known = f"subject-{s.ids.ulid(now_ms).lower()}"
        if not store.give_pseudonym(tenant, subject, known):
            known = store.pseudonym(tenant, subject) or known
    memory.keep_pseudonym(tenant, subject, known, now_ms)
    return known


def _append_all(s: Services, tenant: str, drafts: list[Draft]) -> None:
    names = {actor: pseudonym_of(s, tenant, actor) for actor in sorted({draft.actor for draft in drafts})}
    _mark(s, tenant)
    for some in chunks(drafts, SEGMENT_MAX_ENTRIES):
        _append_segment(s, tenant, list(some), names)


def _mark(s: Services, tenant: str) -> None:
    """Say that there will be entries without a checkpoint, before there are."""
    memory, now_ms = s.process.audit, s.clock.now_ms()
    if not memory.is_marked(tenant, now_ms, MARK_MEMORY_MS):
        s.stores.audit.mark(AuditMark(tenant, now_ms))
        memory.keep_mark(tenant, now_ms)


def _append_segment(s: Services, tenant: str, drafts: list[Draft], names: dict[str, str]) -> None:
    tail = s.process.audit.tail(tenant, s.clock.now_ms(), TAIL_MEMORY_MS)
    for _ in range(APPEND_ATTEMPTS):
        tail = read_tail(s, tenant) if tail is None else tail
        made = segment.link(tail, drafts, _stamps(s, tail, len(drafts)), names)
        if _write(s, tenant, made):
            return
        tail = None
    raise Unavailable("too many processes append to the audit at once")


def _write(s: Services, tenant: str, made: AuditSegment) -> bool:
    """Whether its entries stand. After a write without an answer, and one that seems lost, their ids are looked for.
    An earlier try of the same entries may have been written in the meantime."""
    with suppress(OutcomeUnknown):
        if s.stores.audit.append(tenant, StoredSegment(made.number, segment.write(made))):
            s.process.audit.keep_tail(tenant, segment.tail_of(made), s.clock.now_ms())
            return True
    s.process.audit.forget_tail(tenant)
    mine = [entry.id for entry in made.entries]
    standing = [segment.read(found.document) for found in s.stores.audit.oldest(tenant, 1, made.number - 1)]
    return any([entry.id for entry in found.entries] == mine for found in standing)


def _stamps(s: Services, tail: Tail, count: int) -> list[str]:
    """Stamps that are greater than the chain's last, unless that one is further ahead than a clock may be."""
    if tail.hlc is not None:
        with suppress(InvalidField):  # the sequence says the order: a clock that went wrong must not stop the audit
            s.ids.observe(tail.hlc)
    return [s.ids.hlc() for _ in range(count)]
