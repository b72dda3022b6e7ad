"""The tenants' own roles as this process read them last, so that not every request reads them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # workers hold the memory and never read it: they need not load what roles are
    from chalicelib.core.security.permissions import Role

MEMORY_MAX_TENANTS = 1024


class RoleMemory:
    """A bounded map by tenant; safe to share between threads."""

    def __init__(self, max_tenants: int = MEMORY_MAX_TENANTS) -> None:
        self._kept: OrderedDict[str, tuple[Mapping[str, Role], int]] = OrderedDict()
        self._max_tenants = max_tenants
        self._lock = Lock()

    def find(self, tenant: str, now_ms: int, age_max_ms: int) -> Mapping[str, Role] | None:
        """What was read in the last ``age_max_ms``; None: nothing."""
        with self._lock:
            roles, read_ms = self._kept.get(tenant, ({}, None))
            fresh = read_ms is not None and 0 <= now_ms - read_ms < age_max_ms
            return roles if fresh else None

    def keep(self, tenant: str, roles: Mapping[str, Role], read_ms: int) -> None:
        with self._lock:
            self._kept[tenant] = (roles, read_ms)
            self._kept.move_to_end(tenant)
            if len(self._kept) > self._max_tenants:
                self._kept.popitem(last=False)

    def forget(self, tenant: str) -> None:
        with self._lock:
            self._kept.pop(tenant, None)
