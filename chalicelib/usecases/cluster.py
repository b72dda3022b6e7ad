"""The cluster as an operator sees it: which nodes live, who has which shard, how long ago each was swept.

A node that others run registers itself: it is a lease, alive while it joins again in time. It owns no shards: those are
divided among the workers that sweep (``workers.cluster.ownership``).
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.core.errors import Conflict
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.security.authorize import authorize_deployment
from chalicelib.core.security.caller import Caller, system_caller
from chalicelib.engine import shards
from chalicelib.ports.services import Services
from chalicelib.usecases import leases

JOINED = "#joined"  # the tenant under which they are kept; no caller's tenant begins so
LIST_MAX_PAGES = 20  # a node that is gone leaves its lease behind, which keeps its token


class ShardStatus(NamedTuple):
    """A shard, the instance that has it (None: no live one), and the token of its last owner."""

    shard: int
    owner: str | None
    fencing_token: int


class ClusterStatus(Struct, frozen=True):
    """``sweep_lag_ms`` is the age of the oldest sweep; None until every shard was swept once."""

    nodes: tuple[LeaseItem, ...]
    shards: tuple[ShardStatus, ...]
    sweep_lag_ms: int | None


def join(s: Services, caller: Caller, node_id: str, address: str) -> LeaseItem:
    """Register a node, or keep it registered for another NODE_JOIN_TTL_MS. Joining again keeps its token.

    Raises Forbidden; Conflict when many join under one id at once.
    """
    authorize_deployment(caller, "cluster:write")
    keeper = system_caller(JOINED)
    wanted = leases.AcquireLease(
        name=node_id,
        holder_id=node_id,
        ttl_ms=NODE_JOIN_TTL_MS,
        metadata={"address": address, "role": "worker"},
    )
    leases.acquire(s, keeper, wanted)
    found = leases.get(s, keeper, node_id)
    if found.holder_id != node_id:
        raise Conflict("several processes register this node at once")
    return found


def status(s: Services, caller: Caller) -> ClusterStatus:
    """Nodes, shards and the sweep's lag as they are now. Raises Forbidden."""
    authorize_deployment(caller, "cluster:read")
    nodes, items = shards.live_nodes(s), shards.shard_items(s, shards.SWEEP)
    live = nodes.keys() | shards.turn_holders(s, shards.SWEEP, items)
    now_ms, swept = s.clock.now_ms(), shards.swept_at_ms(s)
    ages = [max(0, now_ms - at_ms) for at_ms in swept if at_ms is not None]
    return ClusterStatus(
        nodes=(*(nodes[name] for name in sorted(nodes)), *_joined_nodes(s)),
        shards=tuple(
            ShardStatus(
                shard=shard,
                owner=shards.owner_of(s, items.get(shard), live),
                fencing_token=items[shard].fencing_token if shard in items else 0,
            )
            for shard in range(s.config.shards)
        ),
        sweep_lag_ms=max(ages) if len(ages) == len(swept) else None,
    )


def _joined_nodes(s: Services) -> list[LeaseItem]:
    """The registered nodes that are alive, by id."""
    now_ms = s.clock.now_ms()
    found: list[LeaseItem] = []
    after: str | None = None
    for _ in range(LIST_MAX_PAGES):
        documents, after = s.stores.leases.list(JOINED, PAGE_MAX_ITEMS, after)
        items = [lease_document.read(document) for document in documents]
        found += [item for item in items if lease.is_taken(item, now_ms, margin_ms=0)]
        if after is None:
            break
    return found
