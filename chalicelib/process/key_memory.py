"""What this process read of API keys lately, so that not every request reads its key again.

Ids of which there is no key have places of their own: callers who invent ids cannot push out the keys in use.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from chalicelib.process.limits import KEYS_REMEMBERED_MAX, KEYS_UNKNOWN_MAX

if TYPE_CHECKING:  # the functions that fire hold the memory and never use it: they need not load what keys are
    from chalicelib.core.keys.seen_key import SeenKey


class KeyMemory:
    """Two bounded least-recently-used maps by id; safe to share between threads."""

    def __init__(self, keys_max: int = KEYS_REMEMBERED_MAX, unknown_max: int = KEYS_UNKNOWN_MAX) -> None:
        self._keys: OrderedDict[str, SeenKey] = OrderedDict()
        self._unknown: OrderedDict[str, SeenKey] = OrderedDict()
        self._keys_max = keys_max
        self._unknown_max = unknown_max
        self._lock = Lock()

    def find(self, key_id: str) -> SeenKey | None:
        """What is remembered of an id, however old."""
        with self._lock:
            return self._keys.get(key_id) or self._unknown.get(key_id)

    def keep(self, key_id: str, seen: SeenKey) -> None:
        """Remember what was read."""
        with self._lock:
            self._drop(key_id)
            places, most = (self._unknown, self._unknown_max) if seen.key is None else (self._keys, self._keys_max)
            places[key_id] = seen
            if len(places) > most:
                places.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """Read it anew next time: this process changed it."""
        with self._lock:
            self._drop(key_id)

    def _drop(self, key_id: str) -> None:
        self._keys.pop(key_id, None)
        self._unknown.pop(key_id, None)
