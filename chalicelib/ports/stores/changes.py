"""Where each tenant's log of changes is kept. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chalicelib.core.changes.change_log import LogHead, Segment


class ChangeStore(Protocol):
    """One head a tenant, and the segments of its log, which expire."""

    def head(self, tenant: str) -> LogHead:
        """Where a tenant's log ends; an empty head at rev 0 when there is none."""
        ...

    def append(self, head: LogHead, segment: Segment, expected_rev: int) -> bool:
        """Write head and segment if the stored head's rev still is the given one (0: if there is none): both or
        nothing."""
        ...

    def segments(self, tenant: str, after: int, limit: int) -> Sequence[Segment]:
        """At most ``limit`` segments that end after a position, ascending. Those that have expired may be gone."""
        ...
