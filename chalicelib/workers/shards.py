"""Which shards this worker takes: those whose lease nobody else holds."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.ports.services import Services

SHARD_LEASE_MS = 30_000  # half the minute rule's period: a dead worker's shards are free again by the next call


def each_shard(s: Services, work: str) -> Iterator[int]:
    """The shards whose lease for ``work`` this instance could take, one after the other.

    The lease is one small record under optimistic concurrency: holder, expiry. It is left to expire, not released, so
    that a second worker called within the same half minute does not do everything again.
    """
    for shard in range(s.config.shards):
        if _take(s, f"{work}-lease#{shard}"):
            yield shard


def _take(s: Services, name: str) -> bool:
    cursor = s.cursors.load(name)
    now_ms = s.clock.now_ms()
    if now_ms < cursor.values.get("until_ms", 0) + s.config.max_drift_ms:
        return False
    token = cursor.values.get("fencing_token", 0) + 1
    return s.cursors.save(name, {"until_ms": now_ms + SHARD_LEASE_MS, "fencing_token": token}, cursor.rev)


def stamp(s: Services, name: str, **values: int) -> None:
    """Note that some work was done now. Losing the race to another worker's stamp is as good."""
    cursor = s.cursors.load(name)
    s.cursors.save(name, {**cursor.values, "at_ms": s.clock.now_ms(), **values}, cursor.rev)
