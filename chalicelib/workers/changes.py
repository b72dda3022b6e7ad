"""Changes: what a shard of a table's stream brings goes into the logs of the tenants that it belongs to.

Raises what the stores raise: the batch must come again whole. Doing it again does no harm, since each tenant's log
knows up to where it covers the shard. Nothing here lies on the way of a firing: it reads what firings have written.
"""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.core.changes import change_log
from chalicelib.core.changes.change_log import Arrived
from chalicelib.core.errors import Unavailable
from chalicelib.ports.services import Services

APPEND_ATTEMPTS = 32  # against the other shards, and other processes that were given the same


def record(s: Services, shard: str, arrived: Sequence[Arrived]) -> None:
    """Append a batch of one shard, in its order. Raises Unavailable, OutcomeUnknown."""
    by_tenant: dict[str, list[Arrived]] = {}
    for one in arrived:
        by_tenant.setdefault(one.tenant, []).append(one)
    for tenant, mine in by_tenant.items():
        for piece in change_log.pieces(mine):
            _append(s, tenant, shard, piece)


def _append(s: Services, tenant: str, shard: str, piece: Sequence[Arrived]) -> None:
    for _ in range(APPEND_ATTEMPTS):
        head = s.stores.changes.head(tenant)
        appended = change_log.decide_append(head, shard, piece, s.clock.now_ms())
        if appended is None or s.stores.changes.append(appended.head, appended.segment, head.rev):
            return
    raise Unavailable(f"the change log of {tenant} is written by too many at once")
