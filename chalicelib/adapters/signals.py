"""Waking waiters within one process: the holder of a lease releases, the next in line goes on at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from threading import Condition


class ThreadSignals:
    """Signals between threads. A notification nobody waits for is forgotten: waiters look at the tables first anyway,
    and look again on their own from time to time."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._condition = Condition()
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, int] = defaultdict(int)

    def wait(self, name: str, until_ms: int) -> None:
        with self._condition:
            seen = self._counts[name]
            self._waiting[name] += 1
            try:
                timeout_s = max(0, until_ms - self._now_ms()) / 1000
                self._condition.wait_for(lambda: self._counts[name] != seen, timeout_s)
            finally:
                self._leave(name)

    def _leave(self, name: str) -> None:
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name], self._counts[name]

    def notify(self, name: str) -> None:
        with self._condition:
            if name in self._waiting:
                self._counts[name] += 1
                self._condition.notify_all()
