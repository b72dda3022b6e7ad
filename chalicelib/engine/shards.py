"""Which shards a worker takes, and how it says what it did: each shard of each work is a lease with a fencing token.

Two kinds of worker share these leases. A *call* (an invocation of a function) takes what is free, for half a minute,
and lets it expire. A *node* (a process that stays, see ``workers.cluster.ownership``) keeps its shards while it lives.
Its life decides, not the lease's expiry. Either way the token grows with every change of hands, and a worker with an
older one can write no cursor any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.core.cluster.limits import NODES_MAX, SHARD_CALL_LEASE_MS, SHARDS_MAX
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.leases.lease_requests import AcquireRequest
from chalicelib.ports.services import Services

SUBJECT = "chronowatch"
KIND = "kind"  # of a holder, in its leases' metadata
CALL, NODE = "call", "node"
SWEEP = "sweep"  # the work of sweeping; reconcile has leases of its own
NODES = "#nodes"  # the tenant under which nodes are registered; no caller's tenant begins so
WRITE_ATTEMPTS = 3
STAMP_ATTEMPTS = 12  # all workers share that cursor


class HeldShard(NamedTuple):
    """A shard and the token under which it is held."""

    shard: int
    fencing_token: int


def each_shard(s: Services, work: str) -> Iterator[HeldShard]:
    """The shards whose lease for ``work`` this call could take, one after the other.

    A lease is left to expire, not released, so that a second worker called within the same half minute does not do
    everything again.
    """
    items = shard_items(s, work)
    nodes = live_nodes(s) if any(_is_node(item) for item in items.values()) else {}
    for shard in range(s.config.shards):
        item = items.get(shard)
        if owner_of(s, item, nodes) is None:
            taken = take(s, work, shard, item, CALL, SHARD_CALL_LEASE_MS)
            if taken is not None:
                yield HeldShard(shard, taken.fencing_token)


def shard_items(s: Services, work: str) -> dict[int, LeaseItem]:
    """The leases of all shards that were ever taken, in one read."""
    documents, _ = s.stores.leases.list(tenant_of(work), SHARDS_MAX, None)
    items = [lease_document.read(document) for document in documents]
    return {int(item.name): item for item in items}


def live_nodes(s: Services) -> dict[str, LeaseItem]:
    """The nodes that are alive by their leases, by instance.

    As of before they were read: a worker that stands still after reading must not take nodes for dead that beat since.
    """
    now_ms = s.clock.now_ms()
    documents, _ = s.stores.leases.list(NODES, NODES_MAX, None)
    items = [lease_document.read(document) for document in documents]
    return {
        item.holder_id: item
        for item in items
        if item.holder_id is not None and lease.is_taken(item, now_ms, s.config.max_drift_ms)
    }


def owner_of(s: Services, item: LeaseItem | None, nodes: Collection[str]) -> str | None:
    """The instance that has a shard: a node while it lives, a call until its lease expires. None: it has no owner."""
    if item is None or item.holder_id is None:
        return None
    if _is_node(item) and item.holder_id not in nodes:
        return None
    return item.holder_id if lease.is_taken(item, s.clock.now_ms(), s.config.max_drift_ms) else None


def _is_node(item: LeaseItem) -> bool:
    return item.metadata.get(KIND) == NODE


def take(s: Services, work: str, shard: int, item: LeaseItem | None, kind: str, ttl_ms: int) -> LeaseItem | None:
    """Take a shard without an owner, as ``item`` showed it; None when another worker was faster."""
    return take_over(s, tenant_of(work), f"{shard:03d}", item, {KIND: kind}, ttl_ms)


def take_over(
    s: Services, tenant: str, name: str, item: LeaseItem | None, metadata: Mapping[str, object], ttl_ms: int
) -> LeaseItem | None:
    """Become the holder of a lease whose holder is known to be gone; None when another worker was faster."""
    request = AcquireRequest(tenant, name, s.config.instance, SUBJECT, ttl_ms, metadata=metadata)
    decision = lease.decide_take_over(item, request, s.clock.now_ms())
    assert decision.item_to_write is not None
    return decision.item_to_write if write(s, item, decision.item_to_write) else None


def write(s: Services, before: LeaseItem | None, after: LeaseItem) -> bool:
    """Replace a lease of ours, unless another worker did; False otherwise."""
    stamped = replace(after, hlc=s.ids.hlc(), origin=s.config.origin)
    expected_rev = 0 if before is None else before.rev
    return s.stores.leases.save(after.tenant, after.name, lease_document.write(stamped), after.rev, expected_rev)


def swept_at_ms(s: Services) -> list[int | None]:
    """When each shard was last swept; None for one that never was. Raises Unavailable."""
    values = s.stores.cursors.load(SWEEP).values
    return [values.get(f"at_ms#{shard}") for shard in range(s.config.shards)]


def stamp_swept(s: Services, swept: Sequence[HeldShard]) -> Sequence[HeldShard]:
    """Note in the one cursor of all shards that these were swept now. Returns those that were not noted, since a later
    owner has noted them already, or others wrote the cursor first again and again."""
    fenced: Sequence[HeldShard] = ()
    for _ in range(STAMP_ATTEMPTS if swept else 0):
        cursor, now_ms = s.stores.cursors.load(SWEEP), s.clock.now_ms()
        fenced = [held for held in swept if cursor.values.get(f"token#{held.shard}", 0) > held.fencing_token]
        noted = dict(cursor.values)
        for held in swept:
            if held not in fenced:
                noted |= {f"at_ms#{held.shard}": now_ms, f"token#{held.shard}": held.fencing_token}
        if noted == cursor.values or s.stores.cursors.save(SWEEP, noted, cursor.rev):
            return fenced
    return swept


def tenant_of(work: str) -> str:
    """Where the leases of a work's shards are kept."""
    return f"#shards/{work}"


def stamp(s: Services, name: str, fencing_token: int, **values: int) -> bool:
    """Note that some work was done now. False, and nothing written, when a later owner has written already.

    Losing a race to another worker's stamp of the same token is as good.
    """
    for _ in range(WRITE_ATTEMPTS):
        cursor = s.stores.cursors.load(name)
        if cursor.values.get("fencing_token", 0) > fencing_token:
            return False
        noted = {**cursor.values, "at_ms": s.clock.now_ms(), "fencing_token": fencing_token, **values}
        if s.stores.cursors.save(name, noted, cursor.rev):
            return True
    return False
