"""``IdempotencyStore`` in memory."""

from __future__ import annotations

import threading

from msgspec.structs import replace

from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.ports.stores.idempotency import Remembered


class MemoryIdempotencyStore:
    """``IdempotencyStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], tuple[Remembered, int]] = {}

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none (or an expired one): None when written, otherwise the one that stands."""
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, 0))
            if standing is not None and expires_s > record.started_ms // 1000 and standing != record:
                return standing
            self._records[tenant, key] = (record, _expiry_s(record))
            return None

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``); its expiry stays."""
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, 0))
            if standing is None or standing.answer is not None or standing.started_ms != stale.started_ms:
                return False
            self._records[tenant, key] = (replace(record, answer=None), expires_s)
            return True

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer. Where an answer stands already, the first one stays."""
        assert record.answer is not None, "a finished call has an answer"
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, _expiry_s(record)))
            if standing is None or standing.answer is None:
                self._records[tenant, key] = (record, expires_s)

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing; an answer that another call gave stays."""
        with self._lock:
            standing, _ = self._records.get((tenant, key), (None, 0))
            if standing is not None and standing.answer is None:
                del self._records[tenant, key]


def _expiry_s(record: Remembered) -> int:
    return record.started_ms // 1000 + IDEMPOTENCY_RETENTION_S
