"""The tenants that this process knows of, so that neither a create nor a reconcile reads the list every time."""

from __future__ import annotations

from threading import Lock


class TenantMemory:
    """Names only ever come: a tenant that was known once is known for good. Safe to share between threads."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._read_ms: int | None = None
        self._lock = Lock()

    def names(self) -> frozenset[str]:
        with self._lock:
            return self._names

    def is_fresh(self, now_ms: int, age_max_ms: int) -> bool:
        """Whether the whole list was read in the last ``age_max_ms``."""
        with self._lock:
            return self._read_ms is not None and 0 <= now_ms - self._read_ms < age_max_ms

    def keep(self, names: frozenset[str], read_ms: int) -> None:
        with self._lock:
            self._names, self._read_ms = self._names | names, read_ms
