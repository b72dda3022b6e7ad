"""A target that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chalicelib.core.targets import cloudevent
from chalicelib.ports.clock import Clock
from chalicelib.ports.target import Delivery, Outcome

COMPLETED = Outcome("completed", http_status=200)


class Recorder:
    """A target that remembers what it was sent, and answers as it is told."""

    def __init__(self, clock: Clock, max_batch: int = 10) -> None:
        self.max_batch = max_batch
        self.sent: list[tuple[int, Delivery]] = []
        self.answer: Callable[[Delivery], Outcome] = lambda _: Outcome("completed")
        self.cancelled: list[str] = []
        self._clock = clock

    def prepare(self, delivery: Delivery) -> None:
        """Nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        self.sent += [(self._clock.now_ms(), d) for d in deliveries]
        for d in deliveries:
            d.sent()
        return [self.answer(d) for d in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        self.cancelled.append(execution_id)
        return True

    def slowly(self, ms: int, outcome: Outcome = COMPLETED) -> Callable[[Delivery], Outcome]:
        """An answer that takes ``ms``, unless the delivery is broken off before."""

        def answer(delivery: Delivery) -> Outcome:
            until_ms = self._clock.now_ms() + ms
            while self._clock.now_ms() < until_ms:
                if delivery.execution_id in self.cancelled:
                    return Outcome("failed", error_type="connection_error", permanent=True, closed=True)
                self._clock.sleep_until(min(until_ms, self._clock.now_ms() + 20))
            return outcome

        return answer

    def instants(self, schedule_id: str) -> list[int]:
        return [d.firing_unix_ms for _, d in self.firings(schedule_id)]

    def firings(self, schedule_id: str) -> list[tuple[int, Delivery]]:
        """What was sent of one schedule, without what policies tell of it."""
        return [(at, d) for at, d in self.sent if d.schedule_id == schedule_id and d.event_type == cloudevent.TYPE]
