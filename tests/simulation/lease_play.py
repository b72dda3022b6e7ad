"""Plays one seed in a world of leases: clients that take them, nodes that share shards, on instances with clocks and
faults of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from tests.simulation import checkers, lease_plan
from tests.simulation.actors.instance import Fleet, Instance
from tests.simulation.actors.lease_clients import Breaker, LeaseClient, LeaseRecord, WatchedLeases, WorldSignals
from tests.simulation.actors.nodes import NodeActor, NodeRecord, WatchedCursors
from tests.simulation.actors.tables import Cursors, Gate
from tests.simulation.faults import Fault, Faults
from tests.simulation.lease_plan import PLAY_MS, START_MS
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import Acts, WorldPlay

REST_MS = 15_000  # long enough for dead nodes to be noticed and their shards to be taken over
SHARDS = 4
MARGIN_MS = 20


class LeasePlay(WorldPlay):
    """One world. ``left_out`` names the faults and clients that the shrinker takes away."""

    CHECKERS = checkers.LEASES

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = lease_plan.draw(seed)
        self.left_out = left_out
        self.margin_ms = MARGIN_MS
        self.shards = SHARDS
        self.within_margin = True
        self.world = world = World(seed, START_MS, tell)
        gate = Gate(world)
        inner = open_stores()
        self.leases = LeaseRecord()
        self.nodes = NodeRecord(world)
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        world.faults = self.faults = Faults(world, kept, self._acts())
        stores = replace(
            inner,
            cursors=Cursors(gate, WatchedCursors(inner.cursors, self.nodes)),
            leases=WatchedLeases(gate, inner.leases, world, self.leases),
        )
        self.fleet = LeaseFleet(self, {"stores": stores})
        self.fleet.begin()
        self.clients = [
            LeaseClient(world, self.fleet, self.leases, number, not plan.quiet)
            for number in range(plan.clients)
            if f"client {number}" not in left_out
        ]
        self.admin = Breaker(world, self.fleet, self.leases) if plan.mood == "breaks" else None

    # -- faults of the world

    def _acts(self) -> Acts:
        return {**self.process_acts(), "clock_forward": self._clock, "clock_backward": self._clock}

    def _clock(self, fault: Fault) -> None:
        """A clock leaves the margin, for good."""
        self.within_margin = False
        self._step_clock(self._slot(fault), fault)

    # -- the course of it

    def _play(self) -> None:
        """Play, and come to rest."""
        self.world.run(START_MS + PLAY_MS)
        self._end_faults()
        for client in self.clients:
            client.stopping = True
        self.world.run(START_MS + PLAY_MS + REST_MS)
        self.nodes.look()

    def _others(self) -> Iterable[Any]:
        admin = [self.admin.process] if self.admin else []
        return [*(client.process for client in self.clients), *admin]

    def _line(self) -> str:
        plan = self.plan
        return f"seed {plan.seed}: leases, {plan.instances} instances, {plan.clients} clients, {plan.mood}"

    def _all_parts(self) -> dict[str, str]:
        parts = {f"client {number}": f"client c{number}" for number in range(self.plan.clients)}
        parts |= {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}
        return parts


class LeaseFleet(Fleet):
    """Each life has signals that reach the others, and a node."""

    def __init__(self, play: LeasePlay, services: dict[str, Any]) -> None:
        super().__init__(play.world, play.plan.instances, services, {"shards": SHARDS, "max_drift_ms": MARGIN_MS})
        self._play = play
        self._everywhere: dict[str, WorldSignals] = {}

    def _start(self, slot: int) -> Instance:
        play = self._play
        instance = super()._start(slot)
        signals = WorldSignals(play.world, instance.name, self._everywhere, not play.plan.quiet)
        instance.services = replace(instance.services, signals=signals)
        node = NodeActor(play.world, instance, play.nodes)
        restart = instance.on_death
        assert restart is not None

        def died() -> None:
            play.nodes.died(node)
            restart()

        instance.on_death = died
        return instance


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return LeasePlay(seed, left_out, tell).run()
