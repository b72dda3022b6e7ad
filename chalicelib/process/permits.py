"""How many calls a process holds open at once: each costs a thread or memory, and others must go on being answered."""

from __future__ import annotations

from threading import Lock

from chalicelib.process.limits import LEASE_HELD_CALLS_MAX


class Permits:
    """So many places; safe to share between threads."""

    def __init__(self, most: int = LEASE_HELD_CALLS_MAX) -> None:
        self._free = most
        self._lock = Lock()

    def take(self) -> bool:
        """Take a place if there is one."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Give back a place that was taken."""
        with self._lock:
            self._free += 1
