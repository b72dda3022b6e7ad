"""Which shards a worker takes, and how it says what it did: each shard of each work is a lease with a fencing token.

Two kinds of worker share these leases. A *call* (an invocation of a function) takes what is free, for half a minute,
and lets it expire. A *node* (a process that stays, see ``workers.cluster.ownership``) keeps its shards while it lives.
Its life decides, not the lease's expiry. Either way the token grows with every change of hands, and a worker with an
older one can write no cursor any more.

A lease for each shard would be a write for each shard and minute. So one call of a work stands for all its shards: it
holds the work's *turn*, a lease of half a minute. What it takes then is its own for as long as it has the turn. It is
so again at its next turn, unless another worker took the shard meanwhile. So the next minute of the same process writes
the turn and no shard. A second call beside it takes single shards that have no owner.

No mutant of the simulation stands for turns. Two calls that sweep one shard do the work twice and break nothing. What
one call leaves out the next does. ``tests/unit/workers/cluster/test_ownership.py`` holds them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.core.cluster.limits import (
    NODES_MAX,
    SHARD_CALL_LEASE_MS,
    SHARD_NODE_LEASE_MS,
    SHARD_TURN_LEASE_MS,
    SHARDS_MAX,
    TURN_LIGHT_MS,
)
from chalicelib.core.errors import OutcomeUnknown
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.leases.lease_requests import AcquireRequest
from chalicelib.ports.services import Services

SUBJECT = "chronowatch"
KIND = "kind"  # of a holder, in its leases' metadata
CALL, NODE = "call", "node"
IN_TURN = "turn"  # a call that takes it in its turn; stored beside the kind of a node, whose life decides too
TURNS = "#turns"  # the tenant of the leases of turns, by work
SWEEP = "sweep"  # the work of sweeping; reconcile has leases of its own
NODES = "#nodes"  # the tenant under which nodes are registered; no caller's tenant begins so
STAMP_ATTEMPTS = 12  # all workers share that cursor


_TTL_MS = {CALL: SHARD_CALL_LEASE_MS, NODE: SHARD_NODE_LEASE_MS, IN_TURN: SHARD_TURN_LEASE_MS}


class HeldShard(NamedTuple):
    """A shard and the token under which it is held."""

    shard: int
    fencing_token: int


def each_shard(s: Services, work: str) -> Iterator[HeldShard]:
    """The shards whose lease for ``work`` this call could take, one after the other.

    A lease is left to expire, not released, so that a second worker called within the same half minute does not do
    everything again.
    """
    has_turn = s.process.turns.is_light(work) and _take_turn(s, work)
    began_ms = s.clock.now_ms()  # after the turn was taken: what is asked of it below is true for less than it lasts
    items = shard_items(s, work)
    live = {s.config.instance} if has_turn else turn_holders(s, work, items)
    if any(_is_node(item) and not _is_in_turn(item) for item in items.values()):
        live |= live_nodes(s).keys()
    for shard in range(s.config.shards):
        item = items.get(shard)
        in_turn = has_turn and s.clock.now_ms() - began_ms < TURN_LIGHT_MS
        owner = owner_of(s, item, live)
        is_kept = has_turn and item is not None and owner == s.config.instance and _is_in_turn(item)
        if is_kept and in_turn:
            assert item is not None
            yield HeldShard(shard, item.fencing_token)
        elif is_kept or owner is None:
            taken = take(s, work, shard, item, IN_TURN if in_turn else CALL)
            if taken is not None:
                yield HeldShard(shard, taken.fencing_token)
    s.process.turns.keep(work, is_light=s.clock.now_ms() - began_ms < TURN_LIGHT_MS)


def _take_turn(s: Services, work: str) -> bool:
    """Whether this call stands for all shards of the work now: no call had the turn within the last half minute."""
    item = _turn(s, work)
    if item is not None and lease.is_taken(item, s.clock.now_ms(), s.config.max_drift_ms):
        return False
    try:
        return take_over(s, TURNS, work, item, {}, SHARD_CALL_LEASE_MS) is not None
    except OutcomeUnknown:
        # Should it be ours after all, then what this process keeps has an owner, and no call would see to it.
        stored = _turn(s, work)
        is_next = stored is not None and stored.rev == (0 if item is None else item.rev) + 1
        return is_next and stored is not None and stored.holder_id == s.config.instance


def _turn(s: Services, work: str) -> LeaseItem | None:
    found = s.stores.leases.load(TURNS, work)
    return None if found is None else lease_document.read(found[0])


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


def turn_holders(s: Services, work: str, items: Mapping[int, LeaseItem]) -> set[str]:
    """The call that has the work's turn, if it has taken shards in it. Asked after the shards were read: a call that
    has taken one by then has a turn that is found."""
    turn = _turn(s, work) if any(_is_in_turn(item) for item in items.values()) else None
    if turn is None or turn.holder_id is None:
        return set()
    return {turn.holder_id} if lease.is_taken(turn, s.clock.now_ms(), s.config.max_drift_ms) else set()


def owner_of(s: Services, item: LeaseItem | None, live: Collection[str]) -> str | None:
    """The instance that has a shard: a node or the call that has the turn while it lives, any other call until its
    lease expires. None: it has no owner."""
    if item is None or item.holder_id is None:
        return None
    if _is_node(item) and item.holder_id not in live:
        return None
    return item.holder_id if lease.is_taken(item, s.clock.now_ms(), s.config.max_drift_ms) else None


def _is_node(item: LeaseItem) -> bool:
    return item.metadata.get(KIND) == NODE


def _is_in_turn(item: LeaseItem) -> bool:
    return item.metadata.get(IN_TURN) is True


def take(s: Services, work: str, shard: int, item: LeaseItem | None, kind: str) -> LeaseItem | None:
    """Take a shard without an owner, as ``item`` showed it; None when another worker was faster."""
    metadata = {KIND: NODE, IN_TURN: True} if kind == IN_TURN else {KIND: kind}
    return take_over(s, tenant_of(work), f"{shard:03d}", item, metadata, _TTL_MS[kind])


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
