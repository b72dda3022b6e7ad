"""Worker nodes that others run and that report themselves: each is a lease, alive while it joins again in time.

They own no shards: those are divided among the workers that sweep (``workers.cluster.ownership``).
"""

from __future__ import annotations

from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.core.errors import Conflict
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller, system_caller
from chalicelib.ports.services import Services
from chalicelib.usecases import leases

JOINED = "#joined"  # the tenant under which they are kept; no caller's tenant begins so
LIST_MAX_PAGES = 20  # a node that is gone leaves its lease behind, which keeps its token


def join(s: Services, caller: Caller, node_id: str, address: str) -> LeaseItem:
    """Register a node, or keep it registered for another NODE_JOIN_TTL_MS. Joining again keeps its token.

    Raises Forbidden; Conflict when many join under one id at once.
    """
    authorize(caller, "cluster.join")
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


def joined_nodes(s: Services, caller: Caller) -> list[LeaseItem]:
    """The nodes that are alive, by id. Raises Forbidden."""
    authorize(caller, "cluster.read")
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
