"""The ledger of a schedule and its backfill, as callers ask for them and see them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import (
    Body,
    Instant,
    Opt,
    PageToken,
    Query,
)
from chalicelib.api.http.responses import ShownInstant
from chalicelib.core.schedules.limits import (
    LEDGER_MAX_ITEMS,
)


class LedgerQuery(Query, kw_only=True):
    """Which span, both ends included; without one, the last day."""

    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET
    limit: Annotated[int, Meta(ge=1, le=LEDGER_MAX_ITEMS, description="Instants on a page.")] = LEDGER_MAX_ITEMS
    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the page before.")] = UNSET


class LedgerLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One instant. `expected`: it was owed. `outcome`: a delivery state, or `excluded`, `paused`, `lost`."""

    firing_unix_ms: ShownInstant
    expected: bool
    outcome: str
    lateness_ms: int | None = None
    reason: str | None = None


class LedgerView(msgspec.Struct):
    """What was owed against what became of it, in order of time; `lost` counts the owed without an answer."""

    items: list[LedgerLine]
    lost: int
    next_page_token: str | None


class BackfillBody(Body, kw_only=True):
    """Which instants; both ends count."""

    from_unix_ms: Instant
    to_unix_ms: Instant


class Backfilled(msgspec.Struct):
    """How many instants were without an execution and fire now."""

    count: int
