"""Plays one seed in a world of changes: streams that bring them, processes that log them, and those who read."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.changes.change_log import Change
from tests.simulation import change_plan, checkers
from tests.simulation.actors.change_streams import FeedReader, TableStream, WatchedChanges
from tests.simulation.actors.instance import Fleet
from tests.simulation.actors.tables import Gate
from tests.simulation.change_plan import START_MS
from tests.simulation.faults import Faults
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import WorldPlay

REST_MS = 120_000
LOOK_MS = 1_000


class ChangePlay(WorldPlay):
    """One world. ``left_out`` names the faults and readers that the shrinker takes away."""

    CHECKERS = checkers.CHANGES

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = change_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, START_MS, tell)
        self.written: dict[str, list[Change]] = {}
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        world.faults = self.faults = Faults(world, kept, self.process_acts())
        inner = open_stores()
        self.watched = WatchedChanges(Gate(world), inner.changes)
        stores = replace(inner, changes=self.watched)
        config = {"max_drift_ms": 20, "changes_retention_ms": plan.retention_ms}
        self.fleet = Fleet(world, plan.instances, {"stores": stores}, config)
        self.fleet.begin()
        self.streams = [TableStream(self, number) for number in range(plan.streams)]
        numbers = [n for n in range(plan.readers) if f"reader {n}" not in left_out]
        self.readers = [FeedReader(self, number) for number in numbers]
        world.call_at(plan.end_ms, self._rest)

    def _rest(self) -> None:
        """From here on nothing goes wrong, until everything is logged and read."""
        world = self.world
        if not world.resting:
            self._end_faults()
        ends = {tenant: segments[-1].last for tenant, segments in self.watched.log.items()}
        read = all(reader.cursor == ends.get(reader.tenant, 0) for reader in self.readers)
        if read and all(stream.is_drained for stream in self.streams):
            world.over = True
        else:
            world.call_at(world.now + LOOK_MS, self._rest)

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MS)

    def _line(self) -> str:
        plan = self.plan
        return (
            f"seed {plan.seed}: changes, {plan.streams} streams, {plan.tenants} tenants, {plan.instances} instances, "
            f"{plan.readers} readers, kept {plan.retention_ms // 1000} s, {plan.mood}{', rivals' * plan.rivals}"
        )

    def _all_parts(self) -> dict[str, str]:
        parts = {f"reader {number}": f"reader {number}" for number in range(self.plan.readers)}
        parts |= {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}
        return parts


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return ChangePlay(seed, left_out, tell).run()
