"""``LeaseStore`` in memory."""

from __future__ import annotations

import threading


class MemoryLeaseStore:
    """``LeaseStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, str], tuple[str, int]] = {}

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        with self._lock:
            return self._leases.get((tenant, name))

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if self._leases.get((tenant, name), ("", 0))[1] != expected_rev:
                return False
            self._leases[tenant, name] = (document, rev)
            return True

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        with self._lock:
            names = sorted(n for t, n in self._leases if t == tenant and (after is None or n > after))
            documents = [self._leases[tenant, name][0] for name in names[:limit]]
        return documents, names[limit - 1] if len(names) > limit else None
