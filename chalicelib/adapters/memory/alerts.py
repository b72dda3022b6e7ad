"""``AlertStore`` in memory."""

from __future__ import annotations

import threading

from chalicelib.ports.stores.alerts import AlertKind, AlertRecord, WokenAlert


class MemoryAlertStore:
    """``AlertStore`` in memory: nothing is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, AlertKind, str], AlertRecord] = {}

    def load(self, tenant: str, kind: AlertKind, record_id: str) -> AlertRecord | None:
        """One document."""
        with self._lock:
            return self._records.get((tenant, kind, record_id))

    def save(self, record: AlertRecord, expected_rev: int) -> bool:
        """Write a document if its stored rev still is ``expected_rev`` (0: if there is none)."""
        place = record.tenant, record.kind, record.id
        with self._lock:
            known = self._records.get(place)
            if (0 if known is None else known.rev) != expected_rev:
                return False
            self._records[place] = record
            return True

    def delete(self, tenant: str, kind: AlertKind, record_id: str, expected_rev: int) -> bool:
        """Delete a document if its stored rev still is ``expected_rev``."""
        with self._lock:
            known = self._records.get((tenant, kind, record_id))
            if known is None or known.rev != expected_rev:
                return False
            del self._records[tenant, kind, record_id]
            return True

    def page(self, tenant: str, kind: AlertKind, limit: int, after: str | None) -> tuple[list[AlertRecord], str | None]:
        """A tenant's documents of a kind, the greatest id first, and where to go on (None: the end)."""
        with self._lock:
            known = {r.id: r for r in self._records.values() if (r.tenant, r.kind) == (tenant, kind)}
        ids = sorted((i for i in known if after is None or i < after), reverse=True)
        return [known[i] for i in ids[:limit]], ids[limit - 1] if len(ids) > limit else None

    def woken(self, until_ms: int, limit: int) -> list[WokenAlert]:
        """Documents to check by an instant, of all tenants, the earliest first."""
        with self._lock:
            found = [
                WokenAlert(r.tenant, r.kind, r.id, r.wake_ms)
                for r in self._records.values()
                if r.wake_ms is not None and r.wake_ms <= until_ms
            ]
        return sorted(found, key=lambda w: (w.wake_ms, w.tenant, w.id))[:limit]
