"""A lease as those see it who may read leases."""

from __future__ import annotations

from chalicelib.api.leases import schemas
from chalicelib.core.leases import lease
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.usecases import leases


def of_lease(item: LeaseItem, now_ms: int, margin_ms: int) -> schemas.LeaseView:
    """A lease as it stands at ``now_ms``."""
    stored = item.holder_id is not None
    return schemas.LeaseView(
        name=item.name,
        held=lease.is_taken(item, now_ms, margin_ms=0),
        holder_id=item.holder_id,
        fencing_token=item.fencing_token,
        ttl_ms=item.ttl_ms if stored else None,
        acquired_at_unix_ms=item.acquired_at_unix_ms if stored else None,
        expires_at_unix_ms=item.expires_at_unix_ms if stored else None,
        metadata=dict(item.metadata),
        waiters=[schemas.WaiterView(w.holder_id, w.asks_until_ms) for w in lease.live_waiters(item, now_ms, margin_ms)],
        version=leases.version_of(item),
    )
