"""Nodes: workers that stay. Each is registered by a lease of its own, and owns a fair share of the shards.

One heartbeat a second is all that a node writes while no node comes or goes. A node that is alone looks for others
every third time. A newcomer finds it, and has no shard yet that could come free. A node's shards are its own for as
long as its lease lives. When it is no longer heard of, the others take its shards over, each with a new fencing
token. When a node comes, those that have more than their share give some up. Every node works out the same plan from
what it reads (``core.cluster.shard_plan``); what decides is the conditional write.

A node stops believing by its own monotonic clock, counted from before each heartbeat, and so before others act.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from chalicelib.core.cluster.limits import (
    NODE_BEAT_AT_MS,
    NODE_HEARTBEAT_MS,
    NODE_LOOK_ALONE_MS,
    NODE_TTL_MS,
    NODES_MAX,
    SHARD_CALLED_CHECK_MS,
    SHARD_CHECK_MS,
    SHARD_NODE_LEASE_MS,
)
from chalicelib.core.cluster.shard_plan import plan
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.leases.lease_requests import ReleaseRequest, RenewRequest
from chalicelib.engine import shards
from chalicelib.engine.shards import NODES, SUBJECT
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

_NANOS_PER_MS = 1_000_000


class TooManyNodes(Exception):
    """Raised when as many nodes live as there are places for."""


class _Work(Struct):
    """A node's shards of one kind of work."""

    name: str
    leases: dict[int, LeaseItem] = field(default_factory=dict)
    settled: bool = False
    check_ms: int = 0


class Node:
    """One process. ``tick`` is called by one thread about every second, ``owned`` by any."""

    def __init__(self, works: Sequence[str], metadata: Mapping[str, object] | None = None) -> None:
        self._works = {name: _Work(name) for name in works}
        self._metadata = dict(metadata or {})
        self._lease: LeaseItem | None = None
        self._believed_until_ms = 0
        self._seen: frozenset[str] = frozenset()
        self._looked_ms = 0
        self._lock = threading.Lock()
        self._owned: dict[str, dict[int, int]] = {name: {} for name in works}

    def owned(self, s: Services, work: str) -> dict[int, int]:
        """The node's shards and their fencing tokens; none while it cannot be sure to be alive to the others."""
        with self._lock:
            return dict(self._owned[work]) if _monotonic_ms(s) < self._believed_until_ms else {}

    def tick(self, s: Services) -> int:
        """Say that we live, see who else does, take and give up shards. Returns when to call again (unix ms).

        Raises TooManyNodes, Unavailable, OutcomeUnknown; calling again is right after each.
        """
        asked_ms, believed_until_ms = _monotonic_ms(s), self._believed_until_ms
        self._beat(s)
        lapsed = _monotonic_ms(s) >= believed_until_ms  # by the time it was written, others may have seen us dead
        nodes = {} if self._is_alone(s, asked_ms, lapsed) else shards.live_nodes(s)
        if nodes:
            self._looked_ms = asked_ms
        seen = frozenset(nodes) or self._seen
        changed = lapsed or seen != self._seen
        for work in self._works.values():
            if changed or not work.settled or s.clock.now_ms() >= work.check_ms:
                self._divide(s, work, lapsed)
        self._seen = seen
        with self._lock:
            self._owned = {w.name: {n: i.fencing_token for n, i in w.leases.items()} for w in self._works.values()}
            self._believed_until_ms = asked_ms + NODE_TTL_MS
        return self._next_tick_ms(s, nodes)

    def _is_alone(self, s: Services, now_ms: int, lapsed: bool) -> bool:
        """Whether the last look showed no other node, and was not long ago."""
        settled = not lapsed and all(work.settled for work in self._works.values())
        return settled and self._seen == {s.config.instance} and now_ms - self._looked_ms < NODE_LOOK_ALONE_MS

    def leave(self, s: Services) -> None:
        """Release its lease, so that others see at once that this node is gone. Raises Unavailable, OutcomeUnknown."""
        with self._lock:
            self._believed_until_ms = 0
        if self._lease is None:
            return
        mine = self._lease
        request = ReleaseRequest(NODES, mine.name, s.config.instance, SUBJECT, mine.fencing_token)
        freed = lease.decide_release(mine, request).item_to_write
        assert freed is not None
        shards.write(s, mine, freed)
        self._lease = None

    # -- the node's own lease

    def _beat(self, s: Services) -> None:
        mine, self._lease = self._lease, None  # if the answer is lost, what is stored is read again
        if mine is not None:
            request = RenewRequest(NODES, mine.name, s.config.instance, SUBJECT, mine.fencing_token)
            renewed = lease.decide_renew(mine, request, s.clock.now_ms()).item_to_write
            if renewed is None or shards.write(s, mine, renewed):
                self._lease = renewed or mine
                return
        self._lease = self._register(s)

    def _register(self, s: Services) -> LeaseItem:
        """A place among the nodes: our own if we have one, else the first that is free. Places are numbered, so that
        nodes that come and go leave nothing behind."""
        documents, _ = s.stores.leases.list(NODES, NODES_MAX, None)
        items = {item.name: item for item in map(lease_document.read, documents)}
        own = next((i for i in items.values() if i.holder_id == s.config.instance), None)
        names = [own.name] if own else [f"{number:02d}" for number in range(NODES_MAX)]
        for name in names:
            item = items.get(name)
            if item is not own and item and lease.is_taken(item, s.clock.now_ms(), s.config.max_drift_ms):
                continue
            taken = shards.take_over(s, NODES, name, item, self._metadata, NODE_TTL_MS)
            if taken is not None:
                return taken
        raise TooManyNodes(f"{NODES_MAX} nodes are registered")

    def _next_tick_ms(self, s: Services, nodes: Mapping[str, LeaseItem]) -> int:
        """The next heartbeat, at its place in the second; sooner when another node, should it not be heard of, will be
        dead sooner."""
        now_ms = s.clock.now_ms()
        others = [i.expires_at_unix_ms for holder, i in nodes.items() if holder != s.config.instance]
        deaths = [expiry_ms + s.config.max_drift_ms for expiry_ms in others]
        unsettled = any(not work.settled for work in self._works.values())
        beat_ms = now_ms + NODE_HEARTBEAT_MS - (now_ms - NODE_BEAT_AT_MS) % NODE_HEARTBEAT_MS
        following_ms = now_ms + NODE_HEARTBEAT_MS // 4 if unsettled else beat_ms
        return max(now_ms + 1, min([following_ms, *deaths]))

    # -- its shards

    def _divide(self, s: Services, work: _Work, lapsed: bool) -> None:
        """Read all shards of a work, and do our part of the plan."""
        work.settled = False
        items = shards.shard_items(s, work.name)
        # After the shards: a node that had taken one by then is registered by now, and must not seem dead.
        nodes = {*shards.live_nodes(s), s.config.instance}
        live = nodes | shards.turn_holders(s, work.name, items)
        owners = [shards.owner_of(s, items.get(shard), live) for shard in range(s.config.shards)]
        mine = {shard: items[shard] for shard, owner in enumerate(owners) if owner == s.config.instance}
        following = plan(owners, sorted(nodes), s.config.instance)
        for shard in following.release:
            with self._lock:
                self._owned[work.name].pop(shard, None)  # before others can take it
            _give_up(s, mine.pop(shard))
        kept = {shard: _kept(s, work.name, shard, item, lapsed) for shard, item in sorted(mine.items())}
        taken = {shard: shards.take(s, work.name, shard, items.get(shard), shards.NODE) for shard in following.take}
        if taken:
            log.info("%s: took shards %s", work.name, [shard for shard, item in taken.items() if item is not None])
        work.leases = {shard: item for shard, item in (kept | taken).items() if item is not None}
        work.settled = following.settled
        work.check_ms = s.clock.now_ms() + (SHARD_CHECK_MS if nodes.issuperset(owners) else SHARD_CALLED_CHECK_MS)


def _kept(s: Services, work: str, shard: int, item: LeaseItem, lapsed: bool) -> LeaseItem | None:
    """A shard of ours, still ours; None when another node was faster.

    A node that others may have seen dead takes its shards anew: a node that read then and writes only now must lose.
    Otherwise a lease is renewed when half of it is over.
    """
    if lapsed:
        return shards.take(s, work, shard, item, shards.NODE)
    now_ms = s.clock.now_ms()
    if item.expires_at_unix_ms - now_ms > SHARD_NODE_LEASE_MS // 2:
        return item
    request = RenewRequest(item.tenant, item.name, s.config.instance, SUBJECT, item.fencing_token)
    renewed = lease.decide_renew(item, request, now_ms).item_to_write
    return renewed if renewed is not None and shards.write(s, item, renewed) else None


def _give_up(s: Services, item: LeaseItem) -> None:
    request = ReleaseRequest(item.tenant, item.name, s.config.instance, SUBJECT, item.fencing_token)
    freed = lease.decide_release(item, request).item_to_write
    assert freed is not None
    shards.write(s, item, freed)


def _monotonic_ms(s: Services) -> int:
    return s.clock.read().monotonic_nanos // _NANOS_PER_MS
