"""So much a minute and no more, in one process: for calls that need no credentials."""

from __future__ import annotations

from threading import Lock

MINUTE_MS = 60_000


class MinuteBudget:
    """Begins anew with every minute of the clock; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = -1
        self._spent = 0
        self._lock = Lock()

    def spend(self, count: int, now_ms: int) -> int:
        """Take ``count``. 0 when there was as much; else nothing is taken, and the seconds until there is more."""
        minute = now_ms // MINUTE_MS
        with self._lock:
            if minute != self._minute:
                self._minute, self._spent = minute, 0
            if self._spent + count <= self._most:
                self._spent += count
                return 0
        return 1 + ((minute + 1) * MINUTE_MS - now_ms) // 1000
