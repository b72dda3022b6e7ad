"""What this process knows of its clocks: the reading, how the wall clock has run, how wrong it may be."""

from __future__ import annotations

import logging
import threading
from collections import deque

from msgspec import Struct

from chalicelib.core.clock import clock_bound
from chalicelib.core.clock.clock_bound import ClockReading, Observation, WallStep
from chalicelib.core.clock.limits import DRIFT_SAMPLE_EVERY_MS, DRIFT_SAMPLES_MAX, DRIFT_STEPS_MAX, QUARTZ_PPM
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

ASSUMED = "assumed"  # the source that CHRONO_MAX_DRIFT_MS is: the deployment's own statement
_NANOS_PER_MS = 1_000_000


class ClockStatus(Struct, frozen=True):
    """One reading of the clocks, in nanoseconds. ``error_bound``: the wall is at most this wrong, as far as sources and
    the deployment can say. ``drift``: it has moved, or is proven wrong, by at least this much; positive is fast.
    ``agreeing`` of ``sources`` support the bound."""

    wall_unix_nanos: int
    monotonic_nanos: int
    drift_nanos: int
    error_bound_nanos: int
    samples: int
    steps: tuple[WallStep, ...]
    agreeing: int
    sources: int


class ClockHistory:
    """Remembers readings for a process; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: deque[ClockReading] = deque(maxlen=DRIFT_SAMPLES_MAX)
        self._steps: deque[WallStep] = deque(maxlen=DRIFT_STEPS_MAX)
        self._heard: tuple[Observation, ...] = ()
        self._narrowed: tuple[Observation, ...] = ()

    def status(self, s: Services) -> ClockStatus:
        """The clocks now."""
        reading = _read(s)
        max_drift_nanos = s.config.max_drift_ms * _NANOS_PER_MS
        with self._lock:
            samples = self._remember(reading, max_drift_nanos)
            moved_nanos = clock_bound.moved(self._readings[0], reading)
            heard = self._what_was_heard(s.time_sources.observations(), reading)
            steps = tuple(self._steps)
        stated = clock_bound.assumed(ASSUMED, max_drift_nanos, moved_nanos, reading)
        estimate = clock_bound.estimate((*heard, stated), reading, QUARTZ_PPM)
        proven = clock_bound.estimate(heard, reading, QUARTZ_PPM)
        assert estimate is not None
        drifts = (moved_nanos, 0 if proven is None else proven.drift_nanos)
        return ClockStatus(
            wall_unix_nanos=reading.wall_nanos,
            monotonic_nanos=reading.after_nanos,
            drift_nanos=max(drifts, key=abs),
            error_bound_nanos=estimate.error_bound_nanos,
            samples=samples,
            steps=steps,
            agreeing=estimate.agreeing,
            sources=estimate.sources,
        )

    def _remember(self, reading: ClockReading, step_nanos: int) -> int:
        """Keep the reading when the last is old enough or the wall was stepped since; how many there are with it."""
        if not self._readings:
            self._readings.append(reading)
            return 1
        last = self._readings[-1]
        moved_nanos = clock_bound.moved(last, reading)
        if moved_nanos != 0 and abs(moved_nanos) >= step_nanos:
            self._steps.append(WallStep(reading.wall_nanos, moved_nanos))
            log.warning("the wall clock was stepped by %.3f ms", moved_nanos / _NANOS_PER_MS)
        elif reading.before_nanos - last.after_nanos < DRIFT_SAMPLE_EVERY_MS * _NANOS_PER_MS:
            return len(self._readings) + 1
        self._readings.append(reading)
        return len(self._readings)

    def _what_was_heard(self, observations: tuple[Observation, ...], reading: ClockReading) -> tuple[Observation, ...]:
        """What sources said, one observation each: worked out anew only when something new was said."""
        if observations is not self._heard:
            self._heard = observations
            self._narrowed = clock_bound.narrowed(observations, reading, QUARTZ_PPM)
        return self._narrowed


def _read(s: Services) -> ClockReading:
    """Both clocks, the wall between two readings of the monotonic one."""
    before, now = s.clock.read(), s.clock.read()
    return ClockReading(now.wall_unix_nanos, before.monotonic_nanos, now.monotonic_nanos)
