"""The buckets that all processes share, one a quota of a principal. See ``ports.services``.

These calls stand in the way of every request, so an adapter does not repeat one that fails: the process goes on alone.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket


class StoredBucket(NamedTuple):
    """A bucket and its revision; rev 0 and a full bucket where there is none."""

    bucket: SharedBucket
    rev: int


class QuotaStore(Protocol):
    """Buckets by principal and quota, forgotten QUOTA_RETENTION_S after the last write."""

    def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
        """Write the bucket under the next rev if its stored rev still is the given one (0: there is none).

        None when written, otherwise what stands. ``now_s`` (unix seconds) is when its retention begins.
        """
        ...
