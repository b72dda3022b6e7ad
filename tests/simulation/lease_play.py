"""Worlds of leases: clients that take them, nodes that share shards, on instances with clocks and faults of their own.

``python -m tests.simulation.lease_play --seeds 2000`` plays many, ``--seed N`` one; ``--mutant NAME`` plants a bug.
"""
# ruff: noqa: E501 - edits quote the product's lines, and are easiest compared on one line

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation import instrument
from tests.simulation.instrument import Edit

if TYPE_CHECKING:
    from tests.simulation.faults import Fault

START_MS = 1_795_252_800_000
PLAY_MS = 40_000
REST_MS = 15_000  # long enough for dead nodes to be noticed and their shards to be taken over
SHARDS = 4
MARGIN_MS = 20
LEASE, LEASES = "chalicelib.core.lease", "chalicelib.usecases.leases"
OWNERSHIP, SHARED, MEMORY = "chalicelib.workers.ownership", "chalicelib.workers.shards", "chalicelib.adapters.memory"
HLC = "chalicelib.core.hlc"

MUTANTS: dict[str, tuple[Edit, ...]] = {
    "no-margin": (Edit(LEASE, "now_ms < item.expires_at_unix_ms + margin_ms", "now_ms < item.expires_at_unix_ms"),),
    "shorten": (Edit(LEASE, "max(item.expires_at_unix_ms, now_ms + ttl_ms)", "now_ms + ttl_ms"),),
    "barge": (Edit(LEASE, "    if waiters and waiters[0].party != me:\n", "    if False:\n"),),
    "resurrect": (
        Edit(LEASE, "    return item.holder == party and item.fencing_token == fencing_token\n",
             "    return item.fencing_token == fencing_token and item.holder_id in (None, party.holder_id)\n"),
    ),
    "token-stays": (Edit(LEASE, "        fencing_token=item.fencing_token + 1,\n", ""),),
    "write-over": (
        Edit(MEMORY, '            if self._leases.get((tenant, name), ("", 0))[1] != expected_rev:\n                return False\n', ""),
    ),
    "believe-memory": (
        Edit(LEASES, "    if decision.item_to_write is None:\n        return None\n    return _written(s, remembered",
             "    if decision.item_to_write is None:\n        return _Decided(decision.answer, remembered)\n"
             "    return _written(s, remembered"),
    ),
    "merge-nothing": (Edit(HLC, "    return tick(max(last, remote), wall_nanos)\n", "    return tick(last, wall_nanos)\n"),),
    "believe-for-ever": (
        Edit(OWNERSHIP, "return dict(self._owned[work]) if _monotonic_ms(s) < self._believed_until_ms else {}",
             "return dict(self._owned[work])"),
    ),
    "believe-from-answer": (
        Edit(OWNERSHIP, "self._believed_until_ms = asked_ms + limits.NODE_TTL_MS",
             "self._believed_until_ms = _monotonic_ms(s) + limits.NODE_TTL_MS"),
    ),
    "unfenced-cursor": (
        Edit(SHARED, 'if cursor.values.get("fencing_token", 0) > fencing_token:', "if False:"),
    ),
    "nodes-before-shards": (
        Edit(OWNERSHIP, "        nodes = {*shards.live_nodes(s), s.config.instance}\n", "        nodes = {*seen, s.config.instance}\n"),
        Edit(OWNERSHIP, "_divide(s, work, lapsed)", "_divide(s, work, lapsed, seen)"),
        Edit(OWNERSHIP, "work: _Work, lapsed: bool)", "work: _Work, lapsed: bool, seen: frozenset[str])"),
    ),
    "back-as-if-never-gone": (
        Edit(OWNERSHIP, "    if lapsed:\n        return shards.take(s, work, shard, item, shards.NODE, limits.SHARD_NODE_LEASE_MS)\n", ""),
    ),
    "released-while-owned": (
        Edit(OWNERSHIP, "                self._owned[work.name].pop(shard, None)  # before others can take it\n", "                pass\n"),
    ),
    "dead-keep-shards": (
        Edit(SHARED, "    if _is_node(item) and item.holder_id not in nodes:\n        return None\n", ""),
    ),
}  # fmt: skip


class Played(NamedTuple):
    """A seed's end."""

    seed: int
    problems: list[str]
    hits: dict[str, int]
    grants: int


def play(seed: int) -> Played:
    """Play one seed to its end and judge it."""
    from tests.simulation.checkers import leases as checker

    world = LeasePlay(seed)
    world.run()
    problems = [*world.problems, *checker.check(world)]
    problems += [f"unexpected: {text}" for text in world.world.record.unexpected]
    problems += [f"stamps went backward: {text}" for text in world.world.record.stamps_backward]
    return Played(seed, problems, world.world.hits, sum(world.leases.grants.values()))


class LeasePlay:
    """One world."""

    def __init__(self, seed: int) -> None:
        from chalicelib.adapters.memory import open_stores
        from tests.simulation.actors.lease_clients import LeaseClient, LeaseRecord, WatchedLeases
        from tests.simulation.actors.tables import Cursors, Gate
        from tests.simulation.faults import Faults
        from tests.simulation.world import World

        r = random.Random(f"leases/{seed}")
        self.margin_ms = MARGIN_MS
        self.within_margin = True
        self.world = world = World(seed, START_MS)
        planned = self._plan(r)
        self.quiet = not planned
        gate = Gate(world)
        inner = open_stores()
        self.leases = LeaseRecord()
        self.problems: list[str] = []
        self.nodes: list[Any] = []
        self._tokens: dict[str, int] = {}
        self._cursors = inner.cursors
        world.faults = self.faults = Faults(world, planned, self._acts())
        services: dict[str, Any] = {
            name: getattr(inner, name) for name in ("schedules", "executions", "idempotency", "logs", "ticks")
        }
        services["cursors"] = Cursors(gate, _WatchedCursors(inner.cursors, self))
        services["leases"] = WatchedLeases(gate, inner.leases, world, self.leases)
        services["queue"], services["targets"] = None, {}
        self._everywhere: dict[str, Any] = {}
        self.fleet = self._fleet(world, r.choice((2, 3)), services)
        self.fleet.begin()
        self.clients = [
            LeaseClient(world, self.fleet, self.leases, n, not self.quiet) for n in range(r.choice((3, 4, 6)))
        ]

    def _fleet(self, world: Any, size: int, services: dict[str, Any]) -> Any:
        from msgspec.structs import replace

        from tests.simulation.actors.instance import Fleet
        from tests.simulation.actors.lease_clients import NodeActor, WorldSignals

        play = self

        class LeaseFleet(Fleet):
            """Each life has signals that reach the others, and a node."""

            def _start(self, slot: int) -> Any:
                instance = super()._start(slot)
                signals = WorldSignals(world, instance.name, play._everywhere, not play.quiet)
                instance.services = replace(instance.services, signals=signals)
                play.nodes.append(NodeActor(world, instance, play))
                return instance

        return LeaseFleet(world, size, services, {"shards": SHARDS, "max_drift_ms": MARGIN_MS})

    def _plan(self, r: random.Random) -> list[Fault]:
        """A few kinds of faults a seed; none in one of eight."""
        from tests.simulation.faults import UNANSWERED, Fault

        kinds = ["throttle", "unknown_lost", "unknown_done", "crash_before", "crash_after", "stall_before"]
        kinds += ["stall_after", "crash", "crash", "storm", "clock_forward", "clock_backward"]
        chosen = r.sample(kinds, r.choice((1, 2, 3, 4)))
        planned = []
        for number in range(0 if r.random() < 0.125 else r.choice((2, 5, 10, 20))):
            kind = r.choice(chosen)
            amount_ms = r.choice((30, 150, 900, 3_500, 8_000)) if kind != "storm" else r.choice((500, 3_000))
            if kind.startswith("clock"):
                amount_ms = r.choice((25, 200, 2_000, 30_000))
            method = "lease_save" if kind in UNANSWERED else r.choice((None, "lease_save", "lease_load", "lease_list"))
            skip = int(r.expovariate(0.1))
            planned.append(
                Fault(number, kind, START_MS + r.randrange(PLAY_MS), amount_ms, skip, method, r.randrange(8))
            )
        return planned

    def _acts(self) -> dict[str, Any]:
        return {
            "crash": self._crash,
            "storm": lambda fault: self.faults.storm(fault),
            "clock_forward": self._clock,
            "clock_backward": self._clock,
        }

    def _crash(self, fault: Fault) -> None:
        instance = self.fleet.slots[fault.slot % len(self.fleet.slots)]
        if instance.alive:
            self.world.hit("fault:crash")
            self.world.crash(instance)

    def _clock(self, fault: Fault) -> None:
        """A clock leaves the margin, for good."""
        instance = self.fleet.slots[fault.slot % len(self.fleet.slots)]
        self.within_margin = False
        self.world.hit(f"fault:{fault.kind}")
        instance.clock.step(fault.amount_ms if fault.kind == "clock_forward" else -fault.amount_ms)

    # -- what nodes and cursors show while it runs

    def look_at_nodes(self) -> None:
        """No two nodes take the same shard for their own at the same true time."""
        if not self.within_margin:
            return
        owners: dict[int, str] = {}
        for node in self.nodes:
            for shard in node.owned:
                if shard in owners:
                    self.problems.append(f"shard {shard}: {owners[shard]} and {node.instance.name} both own it")
                owners[shard] = node.instance.name

    def saw_cursor(self, name: str, token: int) -> None:
        """A cursor was written under a token: never under one older than before."""
        if token < self._tokens.get(name, 0):
            self.problems.append(f"{name}: written under token {token} after {self._tokens[name]}")
        self._tokens[name] = max(token, self._tokens.get(name, 0))

    # -- the course of it

    def run(self) -> None:
        """Play, come to rest, and see that everything is owned and everybody was served."""
        world = self.world
        world.run(START_MS + PLAY_MS)
        self.faults.end()
        self.fleet.mend_clocks()
        for client in self.clients:
            client.stopping = True
        world.run(START_MS + PLAY_MS + REST_MS)
        self._judge_rest()
        world.close([*self.fleet.all, *(client.process for client in self.clients)])

    def _judge_rest(self) -> None:
        alive = [node for node in self.nodes if node.instance.alive]
        owned = Counter(shard for node in alive for shard in node.owned)
        # A clock that ran ahead may have promised a lease until long after the world's end.
        if self.within_margin and set(owned) != set(range(SHARDS)):
            self.problems.append(f"at rest only {sorted(owned)} of {SHARDS} shards are owned")
        shares = [len(node.owned) for node in alive]
        if self.within_margin and max(shares) - min(shares) > 1:
            self.problems.append(f"at rest the shares are {shares}")
        unserved = [client.name for client in self.clients if not self.leases.grants.get(client.name)]
        if self.quiet and unserved:
            self.problems.append(f"never served: {unserved}")


class _WatchedCursors:
    """Cursors; what is written is shown to the play at once."""

    def __init__(self, inner: Any, watcher: LeasePlay) -> None:
        self._inner = inner
        self._watcher = watcher
        self.load = inner.load

    def save(self, name: str, values: dict[str, int], expected_rev: int) -> bool:
        saved: bool = self._inner.save(name, values, expected_rev)
        if saved and "fencing_token" in values:
            self._watcher.saw_cursor(name, values["fencing_token"])
        return saved


def main() -> int:
    """0 when no seed broke anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant a bug")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first failure")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.mutant:
        instrument.install(MUTANTS[options.mutant])
    first, count = (options.seed, 1) if options.seed is not None else (options.first_seed, options.seeds)
    failed, hits, grants = [], Counter[str](), 0
    for seed in range(first, first + count):
        played = play(seed)
        hits.update(played.hits)
        grants += played.grants
        if played.problems:
            failed.append(seed)
            print(f"seed {seed}: {len(played.problems)} problems, such as {played.problems[0]}", flush=True)
            if options.until_caught:
                break
    print(f"{len(failed)} of {seed - first + 1} seeds failed; {grants} grants; {dict(sorted(hits.items()))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
