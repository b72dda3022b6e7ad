"""Virtual time: each instance has a clock of its own, off by skew, drift and steps; only the world knows the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.ports.clock import Reading

if TYPE_CHECKING:
    from tests.simulation.world import World

NANOS_PER_MS = 1_000_000
_new = tuple.__new__  # a third of what a named tuple's own way costs; a seed reads clocks thousands of times


class InstanceClock:
    """``chalicelib.ports.clock.Clock`` of one simulated process. Sleeping lets everybody else run."""

    __slots__ = ("_born_ms", "_offset_ms", "_ppm", "_world", "wrong_ms")

    def __init__(self, world: World, skew_ms: int, drift_ppm: int, wrong_ms: int = 0) -> None:
        self._world = world
        self._born_ms = world.now
        self._offset_ms = skew_ms
        self._ppm = drift_ppm
        self.wrong_ms = wrong_ms  # how far steps have taken it beyond what skew and drift are allowed

    def now_ms(self) -> int:
        """Unix milliseconds as this instance believes them."""
        now = self._world.now
        return now + self._offset_ms + self.wrong_ms + (now - self._born_ms) * self._ppm // 1_000_000

    def sleep_until(self, unix_ms: int) -> None:
        """Return when ``now_ms() >= unix_ms``; like the real one it looks again when the clock was stepped."""
        while (left := unix_ms - self.now_ms()) > 0:
            self._world.pause(left)

    def read(self) -> Reading:
        """Wall and monotonic nanoseconds."""
        return _new(Reading, (self.now_ms() * NANOS_PER_MS, self._world.now * NANOS_PER_MS))

    def step(self, ms: int) -> None:
        """Step the clock away from the truth (or back to it)."""
        self.wrong_ms += ms

    def mend(self) -> None:
        """Right again, up to skew and drift."""
        self.wrong_ms = 0
