"""What a process remembers of its clocks between two runs of the minute rule."""

from __future__ import annotations

from collections import deque
from threading import Lock

from chalicelib.core.clock.clock_bound import ClockReading, moved

UNSENT_MAX = 16


class ClockMemory:
    """The last reading, whether the clock stood before what the tables had seen, and the events not sent yet.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: ClockReading | None = None
        self._behind = False
        self._unsent: deque[bytes] = deque(maxlen=UNSENT_MAX)

    def step_nanos(self, reading: ClockReading) -> int:
        """By how much the wall clock has moved against the monotonic one since the reading before, which this one
        replaces; 0 for the first."""
        with self._lock:
            before, self._last = self._last, reading
            return 0 if before is None else moved(before, reading)

    def falls_behind(self, behind: bool) -> bool:
        """Note whether the clock is behind; True when it was not so before."""
        with self._lock:
            was, self._behind = self._behind, behind
            return behind and not was

    def keep(self, event: bytes) -> None:
        """Keep an event to be sent; of too many the oldest is given up."""
        with self._lock:
            self._unsent.append(event)

    def unsent(self) -> list[bytes]:
        """The events to be sent, oldest first."""
        with self._lock:
            return list(self._unsent)

    def forget(self, event: bytes) -> None:
        """Drop an event that was sent."""
        with self._lock:
            if event in self._unsent:
                self._unsent.remove(event)
