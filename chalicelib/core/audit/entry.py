"""One entry of the audit, and its two digests.

``sha256`` is over the canonical form of the entry without it. ``redacted_sha256``, which the first covers, is over
what is left of the entry when its actor is erased. The actor is then a pseudonym and the address is gone. So an erased
entry can still be checked in all other parts: leaves of the signed tree hold both digests.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.audit.canonical import sha256
from chalicelib.core.audit.limits import DETAIL_MAX_CHARS, RESOURCE_MAX_CHARS

ALLOW: Final = "allow"
DENY: Final = "deny"
DONE: Final = "done"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"  # its end was not heard of: it may have happened


class Draft(Struct, frozen=True, kw_only=True):
    """What is to be entered, before its place in the chain is known. ``id`` is unique; ``before`` and ``after`` are
    digests of the redacted resource."""

    id: str
    at_ms: int
    actor: str
    action: str
    permission: str
    resource: str
    decision: str = ALLOW
    outcome: str = DONE
    source_ip: str | None = None
    before: str | None = None
    after: str | None = None
    detail: str = ""
    trace_id: str = ""


class Entry(Struct, frozen=True, kw_only=True):
    """An entry as stored and shown. ``erased``: the actor is a pseudonym, and ``sha256`` is that of before."""

    sequence: int
    id: str
    at_unix_ms: int
    hlc: str
    actor: str
    action: str
    permission: str
    resource: str
    decision: str
    outcome: str
    source_ip: str | None
    before_sha256: str | None
    after_sha256: str | None
    detail: str
    trace_id: str
    previous_sha256: str | None
    redacted_sha256: str
    sha256: str
    erased: bool = False


def enter(draft: Draft, sequence: int, hlc: str, previous: str | None, pseudonym: str) -> Entry:
    """The entry of a draft at its place. ``pseudonym`` stands for the actor after an erasure."""
    bare = Entry(
        sequence=sequence,
        id=draft.id,
        at_unix_ms=draft.at_ms,
        hlc=hlc,
        actor=_clean(draft.actor, RESOURCE_MAX_CHARS),
        action=draft.action,
        permission=draft.permission,
        resource=_clean(draft.resource, RESOURCE_MAX_CHARS),
        decision=draft.decision,
        outcome=draft.outcome,
        source_ip=draft.source_ip,
        before_sha256=draft.before,
        after_sha256=draft.after,
        detail=_clean(draft.detail, DETAIL_MAX_CHARS),
        trace_id=draft.trace_id,
        previous_sha256=previous,
        redacted_sha256="",
        sha256="",
    )
    half = replace(bare, redacted_sha256=redacted_digest(bare, pseudonym))
    return replace(half, sha256=full_digest(half))


def shown(entry: Entry) -> dict[str, Any]:
    """The entry as callers and exports see it; ``erased`` is there only where it is true."""
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    if not entry.erased:
        del fields["erased"]
    return fields


def full_digest(entry: Entry) -> str:
    """What ``sha256`` must be, unless the entry is erased."""
    fields = shown(entry)
    del fields["sha256"]
    return sha256(fields)


def redacted_digest(entry: Entry, pseudonym: str) -> str:
    """What ``redacted_sha256`` must be where ``pseudonym`` stands for the actor."""
    fields = shown(replace(entry, erased=False))
    del fields["sha256"], fields["redacted_sha256"]
    return sha256({**fields, "actor": pseudonym, "source_ip": None})


def erase(entry: Entry, pseudonym: str) -> Entry:
    """The entry without its actor and their address. Raises ValueError for a pseudonym that the entry does not bind."""
    if redacted_digest(entry, pseudonym) != entry.redacted_sha256:
        raise ValueError(f"entry {entry.sequence} is bound to another pseudonym")
    return replace(entry, actor=pseudonym, source_ip=None, erased=True)


def problem(entry: Entry) -> str | None:
    """What is wrong with the entry by itself; None: nothing."""
    if not entry.erased:
        return None if full_digest(entry) == entry.sha256 else "sha256 is not that of the entry"
    intact = redacted_digest(entry, entry.actor) == entry.redacted_sha256
    return None if intact else "redacted_sha256 is not that of the erased entry"


def _clean(text: str, max_chars: int) -> str:
    """Text that UTF-8 and the item can hold."""
    return text[:max_chars].encode(errors="replace").decode()
