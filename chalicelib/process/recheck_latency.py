"""How long a recheck takes, as this process has lately seen it: so much before an instant it has to begin."""

from __future__ import annotations

import math
from threading import Lock
from typing import Final

from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.process.limits import RECHECK_AHEAD_MIN_MS

# How a mean and its deviation follow what was measured: RFC 6298, "Computing TCP's Retransmission Timer", section 2.
_MEAN_SHARE: Final = 1 / 8
_DEVIATION_SHARE: Final = 1 / 4
_DEVIATIONS: Final = 4


class RecheckLatency:
    """A smoothed mean of what rechecks took, and of how far they were from it. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._mean_ms: float | None = None
        self._deviation_ms = 0.0

    def took(self, ms: float) -> None:
        """One recheck took so long."""
        with self._lock:
            if self._mean_ms is None:
                self._mean_ms, self._deviation_ms = ms, ms / 2
                return
            self._deviation_ms += _DEVIATION_SHARE * (abs(self._mean_ms - ms) - self._deviation_ms)
            self._mean_ms += _MEAN_SHARE * (ms - self._mean_ms)

    @property
    def ahead_ms(self) -> int:
        """How long before an instant to begin, so that nearly every recheck is over by then. Nothing is known at first:
        then it is the most."""
        with self._lock:
            if self._mean_ms is None:
                return RECHECK_AHEAD_MAX_MS
            wanted_ms = math.ceil(self._mean_ms + _DEVIATIONS * self._deviation_ms)
        return min(max(wanted_ms, RECHECK_AHEAD_MIN_MS), RECHECK_AHEAD_MAX_MS)
