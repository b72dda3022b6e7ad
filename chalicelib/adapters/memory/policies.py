"""``PolicyStore`` in memory."""

from __future__ import annotations

import threading
from collections import defaultdict

from chalicelib.ports.stores.policies import KeptPolicy


class MemoryPolicyStore:
    """``PolicyStore`` in memory; ``epochs``, by tenant, are shared with the store of schedules, which shows them."""

    def __init__(self, epochs: dict[str, int]) -> None:
        self._lock = threading.Lock()
        self._epochs = epochs
        self._policies: dict[str, dict[str, KeptPolicy]] = defaultdict(dict)
        self._versions: dict[tuple[str, str], list[KeptPolicy]] = defaultdict(list)

    def load(self, tenant: str, name: str) -> KeptPolicy | None:
        """One policy."""
        with self._lock:
            return self._policies[tenant].get(name)

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[KeptPolicy], str | None]:
        """A tenant's policies by name, after a name, and the name to go on after (None: the end)."""
        with self._lock:
            known = self._policies[tenant]
            names = sorted(name for name in known if after is None or name > after)
            return [known[name] for name in names[:limit]], names[limit - 1] if len(names) > limit else None

    def save(self, tenant: str, policy: KeptPolicy, expected_rev: int) -> bool:
        """Write a policy if its stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if not self._is_at(tenant, policy.name, expected_rev):
                return False
            self._policies[tenant][policy.name] = policy
            self._versions[tenant, policy.name].append(policy)
            self._raise_epoch(tenant)
            return True

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a policy if its stored rev still is ``expected_rev``."""
        with self._lock:
            if not expected_rev or not self._is_at(tenant, name, expected_rev):
                return False
            del self._policies[tenant][name]
            self._raise_epoch(tenant)
            return True

    def versions(self, tenant: str, name: str, limit: int) -> list[KeptPolicy]:
        """The newest versions of a policy, newest first."""
        with self._lock:
            return self._versions[tenant, name][::-1][:limit]

    def _is_at(self, tenant: str, name: str, rev: int) -> bool:
        known = self._policies[tenant].get(name)
        return (0 if known is None else known.rev) == rev

    def _raise_epoch(self, tenant: str) -> None:
        self._epochs[tenant] = self._epochs.get(tenant, 0) + 1
