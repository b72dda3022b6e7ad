"""The stream of what was written to executions: fed to the product in order and at least once, as DynamoDB's is.

A batch that failed, or whose process died, comes again; now and then one comes again that was done.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from chalicelib.core.errors import ChronoError
from chalicelib.workers import feed
from chalicelib.workers.feed import Written
from tests.simulation.world import World

PERIOD_MS = 700
LIMIT_MS = 60_000
BATCH_MAX = 40


class Batch(NamedTuple):
    """Writes that the product has dealt with, and when its work on them began and ended."""

    began_ms: int
    ended_ms: int
    written: list[Written]


class Stream:
    """One shard of the stream. ``done`` are the batches that were dealt with."""

    def __init__(self, world: World, fleet: Any) -> None:
        self._world = world
        self._fleet = fleet
        self._position = 0
        self._job: Any = None
        self.done: list[Batch] = []
        world.call_at(world.now + PERIOD_MS, self._look)

    @property
    def is_drained(self) -> bool:
        """Whether the product has dealt with everything."""
        return self._position == len(self._world.record.stream)

    def _look(self) -> None:
        world = self._world
        world.call_at(world.now + PERIOD_MS + int(world.random.random() ** 3 * 2_000), self._look)
        if self.is_drained or (self._job is not None and not self._job.done):
            return
        instance = self._fleet.any_alive()
        if instance is not None:
            batch = world.record.stream[self._position : self._position + BATCH_MAX]
            self._job = world.invoke(instance, lambda: self._work(instance, batch), LIMIT_MS)

    def _work(self, instance: Any, batch: list[Written]) -> None:
        world = self._world
        began_ms = world.now
        try:
            feed.run(instance.services, batch)
        except ChronoError:
            world.hit("client:stream again")
            return
        self.done.append(Batch(began_ms, world.now, batch))
        if world.random.random() < 0.97:  # else the answer is lost, and the batch comes again
            self._position += len(batch)
