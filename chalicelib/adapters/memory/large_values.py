"""``LargeValueStore`` in memory."""

from __future__ import annotations

import threading


class MemoryLargeValueStore:
    """``LargeValueStore`` in memory: gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str, str], bytes] = {}

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        """Keep a value."""
        with self._lock:
            self._values[tenant, run_id, name] = bytes(content)

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        """A value that was kept; None: there is none."""
        with self._lock:
            return self._values.get((tenant, run_id, name))

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete all that is kept of a run."""
        with self._lock:
            for key in [key for key in self._values if key[:2] == (tenant, run_id)]:
                del self._values[key]
            return True
