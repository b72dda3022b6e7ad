"""The queue of a deployment in virtual time: an hourly schedule's day is over in seconds."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.adapters.memory.machine import ManualClock, MemoryQueue
from chalicelib.ports.work_queue import Outgoing, WorkQueue


class CountedQueue(MemoryQueue):
    """Delivers in virtual time, and passes sends on to the real queue, whose calls are counted."""

    def __init__(self, real: WorkQueue, clock: ManualClock) -> None:
        super().__init__(clock.now_ms)
        self._real = real

    def send(self, messages: Sequence[Outgoing]) -> None:
        """As the port says."""
        self._real.send(messages)
        super().send(messages)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """As the port says."""
        self._real.send_dead(execution_id, event, reason)
