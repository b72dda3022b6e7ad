"""The memory adapter, put together for one deployment with a clock that only tests move."""

from __future__ import annotations

from chalicelib.adapters.memory.machine import CountingIds, ManualClock, ManualSignals, ManualTasks, MemoryQueue
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.ports.clock import Reading
from chalicelib.ports.services import Config, Machine, Services, assemble

NOW_MS = 1_795_252_800_000  # 2026-11-21T09:20:00Z


class MovableClock(ManualClock):
    """A clock whose wall can be stepped against its monotonic side."""

    _stepped_ms = 0

    def step(self, ms: int) -> None:
        """Move the wall clock alone, forward or back."""
        self._now_ms += ms
        self._stepped_ms += ms

    def read(self) -> Reading:
        """Both clocks."""
        wall, monotonic = super().read()
        return Reading(wall, monotonic - self._stepped_ms * 1_000_000)


def make_services() -> Services:
    """An empty deployment."""
    clock = MovableClock(NOW_MS)
    machine = Machine(clock=clock, ids=CountingIds(clock), tasks=ManualTasks(clock), signals=ManualSignals(clock))
    config = Config(webhook_allow=("127.0.0.1",))
    return assemble(config, machine, open_stores(), MemoryQueue(clock.now_ms), {})
