"""Definitions by version id: immutable, so a copy read once never goes stale."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from chalicelib.core.schedules.schedule import Definition

CACHE_MAX_ITEMS = 4096


class VersionCache:
    """A bounded least-recently-used map from version id to definition; safe to share between threads."""

    def __init__(self, max_items: int = CACHE_MAX_ITEMS) -> None:
        self._items: OrderedDict[str, Definition] = OrderedDict()
        self._max_items = max_items
        self._lock = Lock()

    def find(self, version: str) -> Definition | None:
        with self._lock:
            found = self._items.get(version)
            if found is not None:
                self._items.move_to_end(version)
            return found

    def keep(self, definition: Definition) -> None:
        with self._lock:
            self._items[definition.version] = definition
            self._items.move_to_end(definition.version)
            if len(self._items) > self._max_items:
                self._items.popitem(last=False)
