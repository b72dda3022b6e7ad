"""What this process has counted and not yet published."""

from __future__ import annotations

from threading import Lock
from typing import Final, NamedTuple

from chalicelib.core.telemetry.counts import Counts
from chalicelib.core.telemetry.metric_catalogue import MetricFamily

RAW_MAX: Final = 1_000  # single values kept for a log of metrics, which wants them as they are


class PendingCounts(NamedTuple):
    """Counts with the number of their publication, which is the same until it is known to be written."""

    number: int
    counts: Counts


class ProcessMeter:
    """Counts and publications. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = Counts()
        self._raw: dict[str, list[float]] = {}
        self._pending: PendingCounts | None = None
        self._published = 0
        self._dropped = 0
        self._reported = 0.0

    def count(self, family: MetricFamily, labels: tuple[str, ...] = (), number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts.count(family, labels, number)

    def observe(self, family: MetricFamily, value: float, trace_id: str = "", at_ms: int = 0) -> None:
        """Add a value to a histogram."""
        with self._lock:
            self._counts.observe(family, value, trace_id, at_ms)
            raw = self._raw.setdefault(family.name, [])
            if len(raw) < RAW_MAX:
                raw.append(value)

    def rise_to(self, family: MetricFamily, total: int) -> None:
        """Count what a total of this process has grown by. There is one such total: spans that were dropped."""
        with self._lock:
            if total > self._dropped:
                self._counts.count(family, (), total - self._dropped)
                self._dropped = total

    def pending(self) -> PendingCounts | None:
        """What is to be published next; the same again until it is ``done``."""
        with self._lock:
            if self._pending is None and self._counts:
                self._published += 1
                self._pending, self._counts, self._raw = PendingCounts(self._published, self._counts), Counts(), {}
            return self._pending

    def done(self) -> None:
        """What was pending is written."""
        with self._lock:
            self._pending = None

    def drain(self) -> tuple[Counts, dict[str, list[float]]]:
        """All counts, and the values of histograms one by one: for a process that writes them to its log."""
        with self._lock:
            counts, raw, self._counts, self._raw = self._counts, self._raw, Counts(), {}
            return counts, raw

    def changed(self, reported: float) -> bool:
        """Whether a gauge is other than when this was asked before."""
        with self._lock:
            before, self._reported = self._reported, reported
            return reported != before or reported != 0
