"""Nodes that share shards, and the record of who took which shard for its own when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chalicelib.core.errors import ChronoError
from chalicelib.engine import shards
from chalicelib.workers.cluster.ownership import Node, TooManyNodes
from tests.simulation.world import World

WORK = "sweep"


class Look(NamedTuple):
    """From ``at_ms`` on: the names of those who take a shard for their own, by shard, as long as nothing changes."""

    at_ms: int
    owners: dict[int, list[str]]


class Death(NamedTuple):
    """A process died, and with it a node that owned shards; ``survivors`` had nodes of their own by then."""

    at_ms: int
    name: str
    shards: tuple[int, ...]
    survivors: tuple[str, ...]


@dataclass(slots=True)
class NodeRecord:
    """What the world saw of nodes."""

    world: World
    alive: list[NodeActor] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    cursors: list[tuple[str, int]] = field(default_factory=list)  # (name, token), in order of the writes

    def look(self) -> None:
        """Note who owns what now."""
        owners: dict[int, list[str]] = {}
        for node in self.alive:
            for shard in node.owned:
                owners.setdefault(shard, []).append(node.instance.name)
        if not self.looks or self.looks[-1].owners != owners:
            self.looks.append(Look(self.world.now, owners))
            if self.world.told is not None:
                self.world.tell("nodes", f"own {dict(sorted(owners.items()))}")

    def died(self, node: NodeActor) -> None:
        """A node's process has ended."""
        self.alive.remove(node)
        survivors = tuple(n.instance.name for n in self.alive if n.instance.alive and n.has_beaten)
        self.deaths.append(Death(self.world.now, node.instance.name, tuple(sorted(node.believed)), survivors))
        self.look()


class NodeActor:
    """The node of one life of an instance: ticks, and stamps the cursors of the shards it owns."""

    def __init__(self, world: World, instance: Any, record: NodeRecord) -> None:
        self.instance = instance
        self.has_beaten = False
        self._node = Node([WORK])
        self._world = world
        self._record = record
        record.alive.append(self)
        world.spawn(instance, self._keep)
        world.spawn(instance, self._work)

    @property
    def believed(self) -> dict[int, int]:
        """What it takes, or took as it died, for its own."""
        return self._node.owned(self.instance.services, WORK)

    @property
    def owned(self) -> dict[int, int]:
        """What it takes for its own now; nothing once its process is dead."""
        return self.believed if self.instance.alive else {}

    def _keep(self) -> None:
        s = self.instance.services
        while True:
            try:
                again_ms = self._node.tick(s)
                self.has_beaten = True
            except (ChronoError, TooManyNodes):
                again_ms = s.clock.now_ms() + 300
            self._record.look()
            s.clock.sleep_until(again_ms)

    def _work(self) -> None:
        s, world = self.instance.services, self._world
        while True:
            for shard, token in self.owned.items():
                world.pause(int(world.random.random() * 200))  # the work itself; the shard may be lost meanwhile
                try:
                    if shards.stamp_swept(s, [shards.HeldShard(shard, token)]):
                        world.hit("node: fenced off")
                except ChronoError:
                    continue
            world.pause(1 + int(world.random.random() * 1_000))
            self._record.look()


class WatchedCursors:
    """Cursors; the tokens that they are written under are put into the record."""

    def __init__(self, inner: Any, record: NodeRecord) -> None:
        self._inner = inner
        self._record = record
        self.load = inner.load

    def save(self, name: str, values: dict[str, int], expected_rev: int) -> bool:
        saved: bool = self._inner.save(name, values, expected_rev)
        if saved:
            tokens = {key: token for key, token in values.items() if key.startswith("token#")}
            self._record.cursors += [(f"{name} {key}", token) for key, token in tokens.items()]
        return saved
