"""Wakes all who wait for news of one thing, at once and without a thread for each."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class NewsBell:
    """Who has seen the news of number N waits for the next number. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rung = 0
        self._listeners: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def number(self) -> int:
        """How often it was rung."""
        return self._rung

    def ring(self) -> None:
        """There are news. Calls each listener; none may take long, or raise."""
        with self._lock:
            self._rung += 1
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener()

    def hang(self, listener: Callable[[], None]) -> int:
        """Have ``listener`` called at each ring from now on; answers what takes it down."""
        with self._lock:
            self._next += 1
            self._listeners[self._next] = listener
            return self._next

    def take_down(self, place: int) -> None:
        """End what ``hang`` began."""
        with self._lock:
            self._listeners.pop(place, None)
