"""``QueueStore`` in memory."""

from __future__ import annotations

import threading


class MemoryQueueStore:
    """``QueueStore`` in memory; ``epochs``, by tenant, are shared with the stores of policies and schedules."""

    def __init__(self, epochs: dict[str, int]) -> None:
        self._lock = threading.Lock()
        self._epochs = epochs
        self._documents: dict[str, tuple[str, int]] = {}

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant's queue was never paused."""
        with self._lock:
            return self._documents.get(tenant)

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if self._documents.get(tenant, ("", 0))[1] != expected_rev:
                return False
            self._documents[tenant] = (document, rev)
            self._epochs[tenant] = self._epochs.get(tenant, 0) + 1
            return True
