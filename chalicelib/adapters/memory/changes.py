"""``ChangeStore`` in memory."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from chalicelib.core.changes.change_log import LogHead, Segment


class MemoryChangeStore:
    """``ChangeStore`` in memory: nothing expires."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[str, LogHead] = {}
        self._segments: dict[str, list[Segment]] = defaultdict(list)

    def head(self, tenant: str) -> LogHead:
        """Where a tenant's log ends."""
        with self._lock:
            return self._heads.get(tenant, LogHead(tenant))

    def append(self, head: LogHead, segment: Segment, expected_rev: int) -> bool:
        """Write head and segment if the stored head's rev still is the given one."""
        with self._lock:
            stored = self._heads.get(head.tenant)
            if (0 if stored is None else stored.rev) != expected_rev:
                return False
            self._heads[head.tenant] = head
            self._segments[head.tenant].append(segment)
            return True

    def segments(self, tenant: str, after: int, limit: int) -> Sequence[Segment]:
        """At most ``limit`` segments that end after a position, ascending."""
        with self._lock:
            kept = self._segments[tenant]
            begin = bisect_right(kept, after, key=lambda segment: segment.last)
            return kept[begin : begin + limit]
