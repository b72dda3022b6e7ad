"""A process: its clock, its identity, its memory, and the services the product is given there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.core.clock import hlc
from chalicelib.ports.services import Config, Machine, assemble
from chalicelib.process.memory import ProcessMemory
from chalicelib.process.shared_instants import SharedInstants
from tests.simulation.clock import NANOS_PER_MS, InstanceClock
from tests.simulation.world import Job, World

DRIFT_SHARE = 4  # skew and drift each take a quarter of the bound, so that two clocks together stay within it
LONGEST_LIFE_MS = 4_000_000


class Ids:
    """``ports.clock.Ids``: unique names from the world's counter, stamps from the product's own clock."""

    def __init__(self, world: World, clock: InstanceClock, max_drift_ms: int) -> None:
        self._world = world
        self._clock = HlcClock(lambda: clock.now_ms() * NANOS_PER_MS, max_drift_ms)
        self._last = hlc.ZERO

    def ulid(self, now_ms: int) -> str:
        self._world.serial += 1
        return f"{now_ms:013d}{self._world.serial:013d}"

    def secret_bits(self) -> int:
        self._world.serial += 1
        return int.from_bytes(hashlib.sha256(b"%d" % self._world.serial).digest())

    def hlc(self) -> str:
        stamp = self._clock.now()
        if not stamp > self._last:
            self._world.record.stamps_backward.append(f"{self._last} then {stamp}")
        self._last = stamp
        return str(stamp)

    def observe(self, stamp: str) -> None:
        self._clock.observe(hlc.parse(stamp))


class Tasks:
    """``ports.clock.Tasks``: greenlets of one instance."""

    def __init__(self, world: World, clock: InstanceClock) -> None:
        self._world = world
        self._clock = clock

    def at(self, unix_ms: int, job: Callable[[], None]) -> Job:
        world, clock = self._world, self._clock

        def work() -> None:
            clock.sleep_until(unix_ms)
            job()

        return world.spawn(world.current.instance, work)

    def after(self, ms: int, job: Callable[[], None]) -> Job:
        world = self._world

        def work() -> None:
            world.pause(ms)
            job()

        return world.spawn(world.current.instance, work)

    def start(self, job: Callable[[], None]) -> Job:
        return self._world.spawn(self._world.current.instance, job)

    def hold(self, job: Callable[[], None]) -> Job:
        return self._world.hold(self._world.current.instance, job)


class Silence:
    """``ports.clock.Signals`` for worlds in which nobody waits for a lease."""

    @contextmanager
    def bell(self, name: str) -> Iterator[Any]:
        raise NotImplementedError("no one waits for leases in this world yet")
        yield None

    def ring(self, name: str) -> None:
        """Nobody listens."""


class Instance:
    """One life of one process."""

    def __init__(
        self, world: World, name: str, clock: InstanceClock, services: Mapping[str, Any], config: Config
    ) -> None:
        self.world = world
        self.name = name
        self.clock = clock
        self.alive = True
        self.born_ms = world.now
        self.died_ms: int | None = None
        self.stopped = False  # it ended because it was told to
        self.leaves_ms: int | None = None  # it was told to stop: it takes no more from then on, and ends soon
        self.restarts = True
        self.jobs: dict[Job, None] = {}  # in order, so that a seed is the same everywhere
        self.on_death: Callable[[], None] | None = None
        machine = Machine(clock, Ids(world, clock, config.max_drift_ms), Tasks(world, clock), Silence())
        # In worlds without a queue whoever calls it fails loudly.
        self.services = assemble(
            config, machine, services["stores"], services.get("queue"), services.get("targets", {})
        )
        if crowds := services.get("crowds"):
            process = ProcessMemory(shared_instants=SharedInstants(crowds))
            self.services = replace(self.services, process=process)

    def buried(self) -> None:
        """Everything of it has ended."""
        if self.on_death is not None and self.restarts:
            self.on_death()


class Fleet:
    """The instances of a deployment: keeps their number up, each new life with an empty memory."""

    def __init__(self, world: World, size: int, services: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._world = world
        self._services = services
        self._config = config
        self._lives = 0
        self.closed_until_ms = 0
        self._size = size
        self.slots: list[Instance] = []
        self.all: list[Instance] = []

    def begin(self) -> None:
        """Start all instances; the services must be complete by now."""
        self.slots = [self._start(slot) for slot in range(self._size)]
        self.all = list(self.slots)

    def _start(self, slot: int) -> Instance:
        world = self._world
        self._lives += 1
        bound = self._config["max_drift_ms"] // DRIFT_SHARE
        ppm = bound * 1_000_000 // LONGEST_LIFE_MS
        skew = round((world.random.random() * 2 - 1) * bound)
        drift = round((world.random.random() * 2 - 1) * ppm)
        name = f"i{slot}.{self._lives}"
        clock = InstanceClock(world, skew, drift)
        config = Config(instance=name, origin="simulation", **self._config)
        instance = Instance(world, name, clock, self._services, config)
        instance.on_death = lambda: self._restart_later(slot)
        return instance

    def _restart_later(self, slot: int) -> None:
        world = self._world
        delay = 50 + int(world.random.random() ** 3 * 8_000)

        def restart() -> None:
            if self.slots[slot].alive:
                return
            if world.now < self.closed_until_ms:
                world.call_at(self.closed_until_ms, restart)
                return
            self.slots[slot] = self._start(slot)
            self.all.append(self.slots[slot])
            world.tell(self.slots[slot].name, "starts")

        world.call_at(world.now + delay, restart)

    def reopen(self) -> None:
        """End an outage: whatever is down starts again now."""
        self.closed_until_ms = 0
        for slot, instance in enumerate(self.slots):
            if not instance.alive:
                self._restart_later(slot)

    def any_alive(self) -> Instance | None:
        """Some instance that runs, or None in an outage."""
        now = self._world.now
        alive = [i for i in self.slots if i.alive and (i.leaves_ms is None or now < i.leaves_ms)]
        return alive[int(self._world.random.random() * len(alive))] if alive else None

    def mend_clocks(self) -> None:
        """All clocks are right again, up to skew and drift."""
        for instance in self.slots:
            instance.clock.mend()
