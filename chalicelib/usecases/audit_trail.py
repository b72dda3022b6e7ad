"""Reading the audit: pages, an export, and whether it is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct

from chalicelib.core.audit import checkpoint, segment
from chalicelib.core.audit.checkpoint import Checkpoint
from chalicelib.core.audit.entry import Entry, shown
from chalicelib.core.audit.limits import CHECKPOINTS_COMPARED_MAX, FILTER_MAX_SEGMENTS
from chalicelib.core.audit.verify import ChainVerdict, Verifier
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.engine import audit_chain, audit_keeping
from chalicelib.ports.services import Services


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries; None: any. ``action`` takes the permission too. Times are both included."""

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether the entry is one of these."""
        return (
            self.actor in (None, entry.actor)
            and self.action in (None, entry.action, entry.permission)
            and self.resource in (None, entry.resource)
            and (self.from_ms is None or entry.at_unix_ms >= self.from_ms)
            and (self.to_ms is None or entry.at_unix_ms <= self.to_ms)
        )


class AuditPosition(NamedTuple):
    """An entry, and the segment that holds it: a list goes on with the one before."""

    segment: int
    sequence: int


class AuditPage(Struct, frozen=True):
    """Entries, the newest first, and where the next page goes on (None: the end)."""

    entries: list[Entry]
    after: AuditPosition | None


class AuditVerdict(Struct, frozen=True):
    """``checkpointed`` is the last entry that a signature vouches for; 0: none."""

    verdict: ChainVerdict
    checkpoints: int


def page(s: Services, caller: Caller, wanted: AuditFilter, limit: int, after: AuditPosition | None = None) -> AuditPage:
    """Entries of the caller's tenant, the newest first. A page may be short or empty and still have a next one."""
    authorize(caller, "audit:read")
    found: list[Entry] = []
    last = after
    for read, stored in enumerate(audit_chain.segments_down(s, caller.tenant, after and after.segment + 1)):
        if read >= FILTER_MAX_SEGMENTS:
            return AuditPage(found, last)
        for entry in reversed(segment.read(stored.document).entries):
            if after is not None and entry.sequence >= after.sequence:
                continue
            if len(found) == limit:
                return AuditPage(found, last)
            last = AuditPosition(stored.number, entry.sequence)
            if wanted.takes(entry):
                found.append(entry)
    return AuditPage(found, None)


def verify(s: Services, caller: Caller) -> AuditVerdict:
    """Judge the whole chain of the caller's tenant. Raises Unavailable."""
    authorize(caller, "audit:read")
    tenant = caller.tenant
    known, forged = _checkpoints(s, tenant)
    if forged is not None:
        return AuditVerdict(
            ChainVerdict(0, 0, max(1, forged), "a checkpoint is not signed by this service's key"), len(known)
        )
    kept_ms = s.config.audit_retention_ms
    judge = Verifier(known, None if kept_ms is None else s.clock.now_ms() - kept_ms)
    for stored in audit_chain.segments_up(s, tenant):
        for entry in segment.read(stored.document).entries:
            judge.take(entry)
    return AuditVerdict(judge.verdict(), len(known))


def export(s: Services, caller: Caller, limit: int, after: int = 0) -> tuple[list[Entry], list[Checkpoint], int | None]:
    """Entries with a sequence above ``after``, the oldest first; the checkpoints that end among them; and where to go
    on (None: the end)."""
    authorize(caller, "audit:read")
    found: list[Entry] = []
    more = False
    for entry in _entries_up(s, caller.tenant, after):
        if len(found) == limit:
            more = True
            break
        found.append(entry)
    upto = found[-1].sequence if found else after
    named = [] if s.checkpoints is None else s.checkpoints.counts(caller.tenant)
    first = found[0].sequence - 1 if found else after
    wanted = [n for n in named if (after < n or n == first) and (n <= upto or not more)]
    read = [_load(s, caller.tenant, count) for count in wanted]
    return found, [each for each in read if each is not None], upto if more else None


def _entries_up(s: Services, tenant: str, after: int) -> Iterator[Entry]:
    number = 0
    if after:  # the segment that holds what comes next, from above: exports of the tail begin near it
        for stored in audit_chain.segments_down(s, tenant):
            number = stored.number - 1
            if segment.read(stored.document).first.sequence <= after:
                break
    for stored in audit_chain.segments_up(s, tenant, number):
        for entry in segment.read(stored.document).entries:
            if entry.sequence > after:
                yield entry


def _checkpoints(s: Services, tenant: str) -> tuple[dict[int, Checkpoint], int | None]:
    """The newest checkpoint, those around the first entry that is kept, and some between; and the count of the first
    that is not genuine."""
    if s.checkpoints is None or s.signer is None:
        return {}, None
    counts = s.checkpoints.counts(tenant)
    step = -(-len(counts) // CHECKPOINTS_COMPARED_MAX) or 1
    oldest = s.stores.audit.oldest(tenant, 1)
    first = segment.read(oldest[0].document).first.sequence if oldest else 1
    around = [count for count in counts if count >= first - 1][:2]
    found: dict[int, Checkpoint] = {}
    for count in sorted({*counts[::step], *around, *counts[-1:]}):
        each = _load(s, tenant, count)
        if each is None or each.count != count or not audit_keeping.is_genuine(s, tenant, each):
            return found, count
        found[count] = each
    return found, None


def _load(s: Services, tenant: str, count: int) -> Checkpoint | None:
    document = None if s.checkpoints is None else s.checkpoints.load(tenant, count)
    return None if document is None else checkpoint.read(document)


def line(entry: Entry | Checkpoint) -> str:
    """One line of an export: ``{"entry": …}`` or ``{"checkpoint": …}``."""
    if isinstance(entry, Entry):
        return msgspec.json.encode({"entry": shown(entry)}).decode()
    return msgspec.json.encode({"checkpoint": entry}).decode()
