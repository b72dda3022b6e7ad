"""``MetricStore`` in memory."""

from __future__ import annotations

import threading


class MemoryMetricStore:
    """``MetricStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, tuple[str, int]] = {}

    def load(self, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when there is none."""
        with self._lock:
            return self._documents.get(name)

    def save(self, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if self._documents.get(name, ("", 0))[1] != expected_rev:
                return False
            self._documents[name] = (document, rev)
            return True
