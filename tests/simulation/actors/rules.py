"""The minute rule: calls the workers on some instance, at least once a minute unless it is silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.workers import reconcile, sweep
from tests.simulation.world import World

PERIOD_MS = 60_000
LIMIT_MS = 55_000
BOTH: Mapping[str, Callable[[Any], None]] = {"sweep": sweep.run, "reconcile": reconcile.run}


class MinuteRule:
    """One rule for all workers, each time on an instance of its own choice; now and then it calls twice."""

    def __init__(
        self,
        world: World,
        fleet: Any,
        on_minute: Callable[[], None],
        workers: Mapping[str, Callable[[Any], None]] = BOTH,
    ) -> None:
        self._world = world
        self._fleet = fleet
        self._on_minute = on_minute
        self._workers = workers
        world.call_at(world.now + int(world.random.random() * 20_000), self._minute)

    def _minute(self) -> None:
        world = self._world
        world.call_at(world.now + PERIOD_MS, self._minute)
        if world.now >= world.faults.silent_until_ms:
            for name, work in self._workers.items():
                self._call(name, work)
        else:
            world.hit("fault:no_rule")
        self._on_minute()

    def _call(self, name: str, work: Callable[[Any], None]) -> None:
        world = self._world
        draw = world.random.random()
        times = 2 if draw < 0.1 else 1
        for _ in range(times):
            instance = self._fleet.any_alive()
            if instance is None:
                continue
            world.tell(instance.name, name)
            self._start(instance, work, int(world.random.random() * 300))

    def _start(self, instance: Any, work: Callable[[Any], None], delay_ms: int) -> None:
        self._world.invoke(instance, lambda: work(instance.services), LIMIT_MS, delay_ms)
