"""The last form of each lease that this process wrote: it makes an uncontended call one write instead of two calls."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # workers hold the memory and never read it: they need not load what leases are
    from chalicelib.core.leases.lease_item import LeaseItem

MEMORY_MAX_ITEMS = 4096


class LeaseMemory:
    """A bounded least-recently-used map by tenant and name; safe to share between threads."""

    def __init__(self, max_items: int = MEMORY_MAX_ITEMS) -> None:
        self._items: OrderedDict[tuple[str, str], LeaseItem] = OrderedDict()
        self._max_items = max_items
        self._lock = Lock()

    def find(self, tenant: str, name: str) -> LeaseItem | None:
        with self._lock:
            return self._items.get((tenant, name))

    def keep(self, item: LeaseItem) -> None:
        with self._lock:
            known = self._items.get((item.tenant, item.name))
            if known is not None and known.rev > item.rev:
                return  # another thread of this process wrote later and was here first
            self._items[item.tenant, item.name] = item
            self._items.move_to_end((item.tenant, item.name))
            if len(self._items) > self._max_items:
                self._items.popitem(last=False)

    def forget(self, tenant: str, name: str) -> None:
        with self._lock:
            self._items.pop((tenant, name), None)
