"""Waking waiters within one process: the holder of a lease releases, the next in line goes on at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock


class ThreadBell:
    """A bell that threads wait at."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.event = Event()

    def wait(self, until_ms: int) -> None:
        self.event.wait(max(0, until_ms - self._now_ms()) / 1000)
        self.event.clear()


class ThreadSignals:
    """Signals between threads of one process."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = Lock()
        self._bells: dict[str, list[ThreadBell]] = defaultdict(list)

    @contextmanager
    def bell(self, name: str) -> Iterator[ThreadBell]:
        hung = ThreadBell(self._now_ms)
        with self._lock:
            self._bells[name].append(hung)
        try:
            yield hung
        finally:
            with self._lock:
                self._bells[name].remove(hung)
                if not self._bells[name]:
                    del self._bells[name]

    def ring(self, name: str) -> None:
        with self._lock:
            for hung in self._bells.get(name, ()):
                hung.event.set()
