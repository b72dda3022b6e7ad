"""``QuotaStore`` in memory."""

from __future__ import annotations

import threading

from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.ports.stores.quotas import StoredBucket


class MemoryQuotaStore:
    """``QuotaStore`` in memory. It keeps what it has: a bucket is a few bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[QuotaKey, StoredBucket] = {}

    def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
        """Write the bucket under the next rev if its stored rev still is the given one (0: there is none)."""
        with self._lock:
            standing = self._buckets.get(key, StoredBucket(SharedBucket(), 0))
            if standing.rev != expected_rev:
                return standing
            self._buckets[key] = StoredBucket(bucket, expected_rev + 1)
            return None
