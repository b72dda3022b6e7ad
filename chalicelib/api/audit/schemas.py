"""The audit as callers see it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Instant, Opt, PageQuery, TokenQuery
from chalicelib.core.json_schema import formed

Wanted = Annotated[str, Meta(min_length=1, max_length=384)]
Digest = Annotated[str, formed(pattern="^[0-9a-f]{64}$")]


class AuditQuery(PageQuery, kw_only=True):
    """Which entries."""

    actor: Annotated[Opt[Wanted], Meta(description="The subject.")] = UNSET
    action: Annotated[Opt[Wanted], Meta(description="The action, or the permission.")] = UNSET
    resource: Annotated[Opt[Wanted], Meta(description="As an entry has it.")] = UNSET
    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET


class AuditExportQuery(TokenQuery, kw_only=True):
    """Which part."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Entries in one answer.")] = 1000


class AuditEntryView(msgspec.Struct, kw_only=True):
    """An entry. `sha256` is over its RFC 8785 form without `sha256`, unless it is `erased`."""

    sequence: int
    id: str
    at_unix_ms: int
    hlc: str
    actor: Annotated[str, Meta(description="The subject; once it is erased, a pseudonym.")]
    action: str
    permission: str
    resource: str
    decision: Literal["allow", "deny"]
    outcome: Annotated[Literal["done", "refused", "unknown"], Meta(description="`unknown`: it may have happened.")]
    source_ip: str | None
    before_sha256: Digest | None
    after_sha256: Digest | None
    detail: str
    trace_id: str
    previous_sha256: Digest | None
    redacted_sha256: Digest
    sha256: Digest
    erased: Opt[bool] = UNSET


class AuditList(msgspec.Struct):
    """A page of entries."""

    items: list[AuditEntryView]
    next_page_token: str | None


class AuditVerdictView(msgspec.Struct, kw_only=True):
    """What became of the chain. `covered_entries`: up to this entry a signed checkpoint vouches for it."""

    valid: bool
    entries: int
    covered_entries: int
    checkpoints: int
    first_bad_sequence: Opt[int] = UNSET
    reason: Opt[str] = UNSET
