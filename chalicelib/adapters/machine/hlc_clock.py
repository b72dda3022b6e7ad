"""The process's hybrid logical clock: holds the last stamp, hands out larger ones to any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp


class HlcClock:
    """A thread-safe generator of stamps over a wall clock that may stand still or step backward."""

    def __init__(self, wall_nanos: Callable[[], int], max_drift_ms: int) -> None:
        """``wall_nanos`` answers unix nanoseconds; ``max_drift_ms`` is the drift allowed between two clocks."""
        self._wall_nanos = wall_nanos
        self._bound_nanos = hlc.bound_nanos(max_drift_ms)
        self._lock = threading.Lock()
        self._last = hlc.ZERO

    def now(self) -> Stamp:
        """A stamp above every stamp this clock has given or observed."""
        with self._lock:
            self._last = hlc.tick(self._last, self._wall_nanos())
            return self._last

    def observe(self, remote: Stamp) -> Stamp:
        """A stamp above ``remote`` too.

        Raises InvalidField (``clock_skew``), and remembers nothing of it, when ``remote`` is too far ahead.
        """
        with self._lock:
            self._last = hlc.merge(self._last, remote, self._wall_nanos(), self._bound_nanos)
            return self._last
