"""``KeyStore`` in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from chalicelib.core.keys.key_ring import KeyRing, RingChange
from chalicelib.ports.stores.keys import KeptKey


class MemoryKeyStore:
    """``KeyStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, KeptKey] = {}
        self._rings: dict[str, KeyRing] = {}

    def load(self, key_id: str) -> KeptKey | None:
        """The key of an id, whatever its tenant."""
        with self._lock:
            return self._keys.get(key_id)

    def load_many(self, key_ids: Sequence[str]) -> dict[str, KeptKey]:
        """Those of these keys that there are, by id."""
        with self._lock:
            return {key_id: self._keys[key_id] for key_id in key_ids if key_id in self._keys}

    def ring(self, tenant: str) -> KeyRing:
        """A tenant's ring; an empty one at rev 0 when there is none."""
        with self._lock:
            return self._rings.get(tenant) or KeyRing(tenant)

    def change(self, change: RingChange) -> bool:
        """Write the ring if its stored rev is still the one before, and all keys of the change, or nothing."""
        with self._lock:
            standing = self._rings.get(change.ring.tenant) or KeyRing(change.ring.tenant)
            taken = any(key.id in self._keys for key in change.made)
            gone = any(key.id not in self._keys for key in change.edited)
            if standing.rev != change.ring.rev - 1 or taken or gone:
                return False
            self._rings[change.ring.tenant] = change.ring
            for key in change.made:
                self._keys[key.id] = KeptKey(key)
            for key in change.edited:
                self._keys[key.id] = KeptKey(key, self._keys[key.id].used_ms)
            for key_id in change.removed:
                self._keys.pop(key_id, None)
            return True

    def mark_used(self, key_id: str, now_ms: int, unless_since_ms: int) -> bool:
        """Note a use, unless a later one than ``unless_since_ms`` is noted, or there is no such key: then False."""
        with self._lock:
            kept = self._keys.get(key_id)
            if kept is None or (kept.used_ms is not None and kept.used_ms > unless_since_ms):
                return False
            self._keys[key_id] = KeptKey(kept.key, now_ms)
            return True
