"""``CheckpointStore`` in memory."""

from __future__ import annotations

import threading


class MemoryCheckpoints:
    """``CheckpointStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.documents: dict[tuple[str, int], str] = {}

    def save(self, tenant: str, count: int, document: str) -> bool:
        """Write a document unless there is one of this count."""
        with self._lock:
            if (tenant, count) in self.documents:
                return False
            self.documents[tenant, count] = document
            return True

    def newest(self, tenant: str) -> str | None:
        """The document with the highest count; None: there is none."""
        counts = self.counts(tenant)
        return self.load(tenant, counts[-1]) if counts else None

    def counts(self, tenant: str) -> list[int]:
        """The counts of all documents, from the lowest."""
        with self._lock:
            return sorted(count for name, count in self.documents if name == tenant)

    def load(self, tenant: str, count: int) -> str | None:
        """A document."""
        with self._lock:
            return self.documents.get((tenant, count))
