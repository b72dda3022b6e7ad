"""How many calls a process holds open at once: each costs a thread or memory, and others must go on being answered.

One principal has at most half of the places, so that who takes all it can leaves room for the others.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from chalicelib.process.limits import LEASE_HELD_CALLS_MAX

Principal = tuple[str, str]  # a tenant and a subject


class Permits:
    """So many places; safe to share between threads."""

    def __init__(self, most: int = LEASE_HELD_CALLS_MAX) -> None:
        self._free = most
        self._share = max(1, most // 2)
        self._taken: Counter[Principal] = Counter()
        self._lock = Lock()

    def take(self, principal: Principal | None) -> bool:
        """Take a place if there is one. None: all callers are one, which may have them all."""
        with self._lock:
            if self._free == 0 or (principal is not None and self._taken[principal] >= self._share):
                return False
            self._free -= 1
            if principal is not None:
                self._taken[principal] += 1
            return True

    def give_back(self, principal: Principal | None) -> None:
        """Give back a place that was taken."""
        with self._lock:
            self._free += 1
            if principal is None:
                return
            self._taken[principal] -= 1
            if self._taken[principal] == 0:
                del self._taken[principal]
