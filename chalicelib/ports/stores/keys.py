"""API keys. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_ring import KeyRing, RingChange


class KeptKey(NamedTuple):
    """A key, and when it was last seen in use (None: never)."""

    key: ApiKey
    used_ms: int | None = None


class KeyStore(Protocol):
    """Keys by their ids, which are unique among all tenants, and a ring of entries for each tenant."""

    def load(self, key_id: str) -> KeptKey | None:
        """The key of an id, whatever its tenant."""
        ...

    def load_many(self, key_ids: Sequence[str]) -> dict[str, KeptKey]:
        """Those of these keys that there are, by id."""
        ...

    def ring(self, tenant: str) -> KeyRing:
        """A tenant's ring; an empty one at rev 0 when there is none."""
        ...

    def change(self, change: RingChange) -> bool:
        """Write the ring if its stored rev is still the one before, and with it all keys of the change, or nothing.

        Also False when the id of a new key is taken, or an edited one is gone. Edited keys keep their last use.
        """
        ...

    def mark_used(self, key_id: str, now_ms: int, unless_since_ms: int) -> bool:
        """Note a use, unless a later one than ``unless_since_ms`` is noted, or there is no such key: then False."""
        ...
