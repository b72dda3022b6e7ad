"""Which lone instants this process has put on the queue while their schedules still name them as the next run.

It spares a message, and a read. The sweep leaves it to the claim to move such a schedule on, and meets it again a
minute later. A process that does not remember queues the instant once more, which is harmless.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from chalicelib.core.schedules.schedule import Key

MEMORY_MAX_SCHEDULES = 65_536


class Handed(NamedTuple):
    """An instant, the version that it was queued under, and the instant after it (None: there is none)."""

    version: str
    at_ms: int
    following_ms: int | None


class HandedMemory:
    """A bounded map from schedules to what was queued last; safe to share between threads."""

    def __init__(self, max_schedules: int = MEMORY_MAX_SCHEDULES) -> None:
        self._last: OrderedDict[Key, Handed] = OrderedDict()
        self._max_schedules = max_schedules
        self._lock = Lock()

    def keep(self, key: Key, handed: Handed) -> None:
        """It is on the queue."""
        with self._lock:
            self._last.pop(key, None)
            self._last[key] = handed
            if len(self._last) > self._max_schedules:
                self._last.popitem(last=False)

    def has(self, key: Key, handed: Handed) -> bool:
        """Whether this process has queued it."""
        with self._lock:
            return self._last.get(key) == handed

    def is_all(self, key: Key, at_ms: int, until_ms: int) -> bool:
        """Whether this process has queued ``at_ms`` of a schedule, and there is no other instant up to ``until_ms``."""
        with self._lock:
            last = self._last.get(key)
        return last is not None and last.at_ms == at_ms and (last.following_ms is None or last.following_ms > until_ms)
