"""Worker nodes and shards as callers see them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt
from chalicelib.api.http.responses import ShownInstant
from chalicelib.core.json_schema import formed
from chalicelib.core.leases.limits import (
    LEASE_HOLDER_MAX_CHARS,
)


class JoinBody(Body, kw_only=True):
    """A worker node of yours."""

    node_id: Annotated[str, formed(min_length=1, max_length=LEASE_HOLDER_MAX_CHARS, pattern=r"^[A-Za-z0-9._:/-]+$")]
    address: Annotated[str, Meta(min_length=1, max_length=256, examples=["10.0.0.7:7000"])]


class JoinedView(msgspec.Struct):
    """A registered node; it stays so until `expires_at_unix_ms`, and longer when it joins again before."""

    node_id: str
    address: str
    fencing_token: int
    expires_at_unix_ms: ShownInstant


class NodeView(msgspec.Struct):
    """A worker that stays, kept alive by a lease. `address` is what a node of yours gave when it joined."""

    node_id: str
    role: str
    since_unix_ms: ShownInstant
    expires_at_unix_ms: ShownInstant
    address: Opt[str] = UNSET


class ShardView(msgspec.Struct):
    """Who sweeps a shard (null: no worker at the moment), and the highest token that any owner of it had."""

    shard: int
    owner: str | None
    fencing_token: int


class ClusterView(msgspec.Struct):
    """The workers. `sweep_lag_ms`: how long ago the shard was swept whose last sweep is the oldest (null: never)."""

    nodes: list[NodeView]
    shards: list[ShardView]
    sweep_lag_ms: int | None
