"""A machine whose time only tests move: its clock, tasks, ids and signals, all over ``adapters/memory/machine``."""

from __future__ import annotations

from chalicelib.adapters.memory.machine import CountingIds, ManualClock, ManualSignals, ManualTasks
from chalicelib.ports.clock import Reading
from chalicelib.ports.services import Machine
from chalicelib.ports.signals import Signals

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


def manual_machine(clock: ManualClock, signals: Signals | None = None) -> Machine:
    """A machine on which one job runs at a time, whenever somebody waits."""
    return Machine(clock, CountingIds(clock), ManualTasks(clock), signals or ManualSignals(clock))
