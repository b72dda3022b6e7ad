"""Leases as callers ask for them and see them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import PLAIN_TEXT, Body, Opt
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant
from chalicelib.core.json_schema import formed
from chalicelib.core.leases.limits import (
    FENCING_TOKEN_MAX,
    LEASE_HOLDER_MAX_CHARS,
    LEASE_METADATA_MAX_BYTES,
    LEASE_NAME_MAX_CHARS,
    LEASE_TTL_MAX_MS,
    LEASE_TTL_MIN_MS,
    LEASE_WAIT_MAX_MS,
)

LeaseName = Annotated[
    str,
    formed(
        min_length=1,
        max_length=LEASE_NAME_MAX_CHARS,
        pattern="^[A-Za-z0-9._:/-]+$",
        examples=["reports/nightly"],
    ),
]
Holder = Annotated[
    str,
    Meta(min_length=1, max_length=LEASE_HOLDER_MAX_CHARS, description="The caller's own name for itself."),
    PLAIN_TEXT,
]
LeaseTtl = Annotated[int, Meta(ge=LEASE_TTL_MIN_MS, le=LEASE_TTL_MAX_MS, description="Milliseconds.")]
# 0 was never granted: a caller that counts down from its first token gets "not held", and no error of its field.
FencingToken = Annotated[int, Meta(ge=0, le=FENCING_TOKEN_MAX, description="As the grant gave it.")]


class AcquireBody(Body, kw_only=True):
    """Which lease, for whom and for how long."""

    name: LeaseName
    holder_id: Holder
    ttl_ms: LeaseTtl
    wait_ms: Annotated[
        int, Meta(ge=0, le=LEASE_WAIT_MAX_MS, description="How long the call is held until granted.")
    ] = 0
    metadata: Annotated[
        Opt[dict[str, Any] | None],
        Meta(description=f"Kept with the holding; at most {LEASE_METADATA_MAX_BYTES} bytes serialised."),
    ] = UNSET


class RenewBody(Body, kw_only=True):
    """The holding to prolong; without `ttl_ms` by the ttl it has."""

    name: LeaseName
    holder_id: Holder
    fencing_token: FencingToken
    ttl_ms: Opt[LeaseTtl] = UNSET


class ReleaseBody(Body, kw_only=True):
    """The holding to end."""

    name: LeaseName
    holder_id: Holder
    fencing_token: FencingToken


class ValidateBody(Body, kw_only=True):
    """The token that a client presents to a resource."""

    name: LeaseName
    fencing_token: FencingToken


class BreakBody(Body, kw_only=True):
    """The lease to take from its holder."""

    name: LeaseName


class AcquireView(msgspec.Struct, kw_only=True):
    """Granted: `fencing_token` and until when. Or not yet: the place in the queue, and who holds the lease until when.
    These are null while the lease is free and kept for the first in the queue."""

    acquired: bool
    fencing_token: Opt[int] = UNSET
    expires_at_unix_ms: ShownInstant | None
    queue_position: Annotated[Opt[int], Meta(description="1 is next.")] = UNSET
    holder_id: Opt[str | None] = UNSET
    warnings: PolicyWarnings = UNSET


class ReleasedView(msgspec.Struct):
    """The caller no longer holds the lease."""

    released: bool


class ValidityView(msgspec.Struct):
    """Whether the token is the live holder's, and the highest ever granted for the name (0: none)."""

    valid: bool
    highest_fencing_token: int


class BrokenView(msgspec.Struct):
    """The lease is free now. The former holder learns it at its next call; until then only the fencing token protects
    the resource."""

    name: str
    broken: bool
    warnings: PolicyWarnings = UNSET


class WaiterView(msgspec.Struct):
    """One who waits, first come first."""

    holder_id: str
    asks_until_unix_ms: ShownInstant


class LeaseView(msgspec.Struct, kw_only=True):
    """A lease. `held`: it has a holder and has not expired. `fencing_token` is the highest ever granted."""

    name: str
    held: bool
    holder_id: str | None
    fencing_token: int
    ttl_ms: int | None
    acquired_at_unix_ms: ShownInstant | None
    expires_at_unix_ms: ShownInstant | None
    metadata: dict[str, Any]
    waiters: list[WaiterView]
    version: str


class LeaseList(msgspec.Struct):
    """A page of leases, by name."""

    items: list[LeaseView]
    next_page_token: str | None
