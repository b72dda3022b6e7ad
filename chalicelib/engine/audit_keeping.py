"""What keeps the audit whole, once a minute: entries for calls that died, checkpoints, and the end of what is too old.

Any number of processes may do this at once. Each step is one that only one of them wins, or that may be done twice.
"""

from __future__ import annotations

import logging
from itertools import islice

from msgspec.structs import replace

from chalicelib.core import ulid
from chalicelib.core.audit import checkpoint, intent, segment
from chalicelib.core.audit.checkpoint import Checkpoint
from chalicelib.core.audit.entry import UNKNOWN
from chalicelib.core.audit.intent import Intent
from chalicelib.core.audit.limits import (
    CHECKPOINT_AFTER_MS,
    CHECKPOINT_ENTRIES,
    MARK_STAYS_MS,
    RECOVER_AFTER_MS,
    RECOVER_MARGIN_MS,
    SIGNED_SEGMENTS,
    TRIM_MAX_SEGMENTS,
)
from chalicelib.core.audit.segment import AuditSegment
from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.engine import audit_chain
from chalicelib.ports.services import Services
from chalicelib.ports.stores.audit import AuditMark

log = logging.getLogger(__name__)

PAGE_ITEMS = 100


def run(s: Services) -> None:
    """One minute's work. One tenant's trouble does not stop the others."""
    try:
        recover(s)
    except ChronoError as problem:
        log.warning("not all intents of the audit were read: %s", problem)
    after: str | None = None
    while True:
        marks = s.stores.audit.marks(PAGE_ITEMS, after)
        for mark in marks:
            _keep(s, mark)
        if len(marks) < PAGE_ITEMS:
            return
        after = marks[-1].tenant


def recover(s: Services) -> None:
    """Enter the intents that are older than any call can be. Raises Unavailable, OutcomeUnknown."""
    before_id = ulid.encode(s.clock.now_ms() - RECOVER_AFTER_MS, 0)
    while True:
        found = s.stores.audit.intents(before_id, PAGE_ITEMS)
        for intent_id, document in found:
            _complete(s, intent.read(document))
            s.stores.audit.drop_intent(intent_id)
        if len(found) < PAGE_ITEMS:
            return


def sign_chain(s: Services, tenant: str) -> Checkpoint | None:
    """Sign the chain as it is now and keep the checkpoint; the newest one where nothing was added since.

    None where nothing signs or keeps checkpoints, and where the chain is empty. Raises ValueError where the chain
    contradicts the newest checkpoint, which must not be signed; Unavailable, OutcomeUnknown.
    """
    if s.signer is None or s.checkpoints is None:
        return None
    newest = newest_checkpoint(s, tenant)
    while some := _pending(s, tenant, newest):
        before, newest = newest, _sign(s, tenant, newest, some)
        if newest == before:
            raise Unavailable("a checkpoint of the audit is there, and is not found")
    return newest


def newest_checkpoint(s: Services, tenant: str) -> Checkpoint | None:
    """The newest checkpoint whose signature is good. Raises Unavailable, and ValueError for a bad one."""
    assert s.checkpoints is not None
    document = s.checkpoints.newest(tenant)
    if document is None:
        return None
    found = checkpoint.read(document)
    if found is None or not is_genuine(s, tenant, found):
        raise ValueError("the newest checkpoint is not signed by this service's key")
    return found


def is_genuine(s: Services, tenant: str, found: Checkpoint) -> bool:
    """Whether a checkpoint is this tenant's, and this service's key signed it. Raises Unavailable."""
    if s.signer is None or found.signature is None or found.tenant != tenant:
        return False
    return s.signer.holds(checkpoint.signed_bytes(found), found.signature)


def _complete(s: Services, left: Intent) -> None:
    """Enter an intent unless it is entered: its process may have died between the entry and the intent's end."""
    for stored in audit_chain.segments_down(s, left.tenant):
        entries = segment.read(stored.document).entries
        if any(entry.id == left.draft.id for entry in entries):
            return
        if max(entry.at_unix_ms for entry in entries) < left.draft.at_ms - RECOVER_MARGIN_MS:
            break
    audit_chain.append(s, left.tenant, [replace(left.draft, outcome=UNKNOWN, detail="recovered")])


def _keep(s: Services, mark: AuditMark) -> None:
    try:
        left = s.signer is not None and s.checkpoints is not None and _checkpoint_if_due(s, mark.tenant)
        _trim(s, mark.tenant)
        idle = s.clock.now_ms() - mark.at_ms >= MARK_STAYS_MS
        if idle and not left and s.config.audit_retention_ms is None:
            s.stores.audit.unmark(mark)
    except (ChronoError, ValueError) as problem:
        log.error("the audit of tenant %s has no new checkpoint: %s", mark.tenant, problem)


def _checkpoint_if_due(s: Services, tenant: str) -> bool:
    """Sign when enough was entered, or enough time has gone by; whether entries are left that no checkpoint covers."""
    pending = _pending(s, tenant, newest_checkpoint(s, tenant))
    if not pending:
        return False
    many = pending[-1].last.sequence - pending[0].first.sequence + 1 >= CHECKPOINT_ENTRIES
    if not many and s.clock.now_ms() - pending[0].first.at_unix_ms < CHECKPOINT_AFTER_MS:
        return True
    sign_chain(s, tenant)
    return False


def _pending(s: Services, tenant: str, newest: Checkpoint | None) -> list[AuditSegment]:
    """The segments after a checkpoint, in order, as many as one checkpoint takes. Raises ValueError for a cut chain."""
    after = 0 if newest is None else newest.segment
    found = [segment.read(each.document) for each in islice(audit_chain.segments_up(s, tenant, after), SIGNED_SEGMENTS)]
    if newest is not None and not found and audit_chain.read_tail(s, tenant).sequence < newest.count:
        raise ValueError(f"it ends before entry {newest.count}, which a checkpoint covers")
    return found


def _sign(s: Services, tenant: str, newest: Checkpoint | None, segments: list[AuditSegment]) -> Checkpoint | None:
    assert s.signer is not None
    assert s.checkpoints is not None
    bare = checkpoint.follow(newest, tenant, segments, s.ids.hlc(), s.clock.now_ms())
    made = replace(bare, signature=s.signer.sign(checkpoint.signed_bytes(bare)))
    if not s.checkpoints.save(tenant, made.count, checkpoint.write(made)):
        return newest_checkpoint(s, tenant)
    log.info("audit checkpoint of tenant %s: %d entries, root %s", tenant, made.count, made.root_sha256)
    return made


def _trim(s: Services, tenant: str) -> None:
    """Delete the segments whose entries are too old, up to the last checkpoint that ends among them."""
    kept_ms = s.config.audit_retention_ms
    if kept_ms is None or s.checkpoints is None:
        return
    before_ms = s.clock.now_ms() - kept_ms
    old: list[tuple[int, int]] = []
    for stored in audit_chain.segments_up(s, tenant):
        last = segment.read(stored.document).last
        if last.at_unix_ms >= before_ms or len(old) >= TRIM_MAX_SEGMENTS:
            break
        old.append((stored.number, last.sequence))
    if not old:
        return
    tail = audit_chain.read_tail(s, tenant).number
    covered = max((count for count in s.checkpoints.counts(tenant) if count <= old[-1][1]), default=0)
    for number, last_sequence in old:
        if last_sequence <= covered and number != tail:
            s.stores.audit.remove(tenant, number)
