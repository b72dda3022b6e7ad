"""Nodes share the shards, come, die and return; calls on Lambda take what no node has; old owners write nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from msgspec.structs import replace

from chalicelib.core.cluster.limits import (
    NODE_HEARTBEAT_MS,
    NODE_LOOK_ALONE_MS,
    NODE_TTL_MS,
    NODES_MAX,
    SHARD_CALL_LEASE_MS,
    SHARD_NODE_LEASE_MS,
    TURN_LIGHT_MS,
)
from chalicelib.core.errors import OutcomeUnknown
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.engine import shards
from chalicelib.ports.services import Services
from chalicelib.ports.stores.leases import LeaseStore
from chalicelib.process.memory import ProcessMemory
from chalicelib.workers import sweep
from chalicelib.workers.cluster.ownership import Node, TooManyNodes
from tests.kit.machine import MovableClock
from tests.kit.services import make_services, with_stores

SHARDS = 6


class CountingLeases:
    """The store; the answer to a write can be lost."""

    def __init__(self, inner: LeaseStore) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.lose_answers = 0

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        self.calls.append("load")
        return self._inner.load(tenant, name)

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        self.calls.append("save")
        saved = self._inner.save(tenant, name, document, rev, expected_rev)
        if self.lose_answers:
            self.lose_answers -= 1
            raise OutcomeUnknown("no answer")
        return saved

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        self.calls.append("list")
        return self._inner.list(tenant, limit, after)


class Worker:
    """A node and the services it has."""

    def __init__(self, s: Services, name: str) -> None:
        self.s = replace(s, config=replace(s.config, instance=name))
        self.node = Node(["sweep"], {"role": "worker"})

    @property
    def owned(self) -> dict[int, int]:
        return self.node.owned(self.s, "sweep")

    def tick(self) -> int:
        return self.node.tick(self.s)


class Cluster:
    """Workers over the same tables and one clock."""

    def __init__(self) -> None:
        s = make_services()
        self.store = CountingLeases(s.stores.leases)
        self.s = replace(with_stores(s, leases=self.store), config=replace(s.config, shards=SHARDS))
        assert isinstance(s.clock, MovableClock)
        self.clock = s.clock
        self._processes: dict[str, Services] = {}

    def worker(self, name: str) -> Worker:
        return Worker(self.s, name)

    def run(self, *workers: Worker, ms: int) -> None:
        """Let each tick when it wants to."""
        end = self.clock.now_ms() + ms
        due = dict.fromkeys(workers, self.clock.now_ms())
        while (now := min(due.values())) <= end:
            self.clock.sleep_until(now)
            for worker in workers:
                if due[worker] <= now:
                    due[worker] = worker.tick()
        self.clock.sleep_until(end)

    def call(self, name: str, work: str = "sweep") -> list[shards.HeldShard]:
        """What a call on Lambda could take: each name is a process of its own."""
        return list(shards.each_shard(self.process(name), work))

    def process(self, name: str) -> Services:
        found = self._processes.get(name)
        if found is None:
            config = replace(self.s.config, instance=name)
            found = self._processes[name] = replace(self.s, config=config, process=ProcessMemory())
        return found

    def owners(self) -> dict[int, str | None]:
        items = shards.shard_items(self.s, "sweep")
        live = shards.live_nodes(self.s).keys() | shards.turn_holders(self.s, "sweep", items)
        return {n: shards.owner_of(self.s, items.get(n), live) for n in range(SHARDS)}


@pytest.fixture
def c() -> Cluster:
    return Cluster()


def test_a_node_alone_owns_all_at_its_first_tick(c: Cluster) -> None:
    a = c.worker("a")
    a.tick()
    assert a.owned == dict.fromkeys(range(SHARDS), 1)


def test_a_node_that_comes_gets_its_share_under_new_tokens(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, ms=3000)
    c.run(a, b, ms=3000)
    assert len(a.owned) == len(b.owned) == 3
    assert not a.owned.keys() & b.owned.keys()
    assert set(b.owned.values()) == {2}
    assert set(a.owned.values()) == {1}


def test_a_dead_nodes_shards_are_taken_over_within_its_ttl_and_the_margin(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, b, ms=5000)
    lost = b.owned
    died_ms = c.clock.now_ms()
    again_ms = a.tick()
    while len(a.owned) < SHARDS:
        c.clock.sleep_until(again_ms)
        again_ms = a.tick()
    assert c.clock.now_ms() - died_ms <= NODE_TTL_MS + 20 + 1
    assert all(a.owned[shard] == token + 1 for shard, token in lost.items())


def test_a_node_that_leaves_is_followed_at_the_next_heartbeat(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, b, ms=5000)
    b.node.leave(b.s)
    assert b.owned == {}
    c.run(a, ms=NODE_HEARTBEAT_MS)
    assert len(a.owned) == SHARDS


def test_an_owner_stops_believing_before_others_act(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, b, ms=5000)
    b.tick()
    for _ in range(NODE_TTL_MS // 10 + 20):
        c.clock.advance(10)
        a.tick()
        assert not a.owned.keys() & b.owned.keys()
    assert b.owned == {}


def test_a_node_that_returns_gets_back_a_share_and_not_its_old_tokens(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, b, ms=5000)
    old = b.owned
    c.run(a, ms=10_000)
    b.tick()
    assert b.owned == {}
    c.run(a, b, ms=3000)
    assert len(b.owned) == len(a.owned) == 3
    assert all(token > old.get(shard, 0) for shard, token in b.owned.items())


def test_a_lost_answer_to_a_heartbeat_loses_nothing(c: Cluster) -> None:
    a = c.worker("a")
    c.run(a, ms=5000)
    tokens = a.owned
    for _ in range(5):
        c.clock.advance(500)
        c.store.lose_answers = 1
        with pytest.raises(OutcomeUnknown):
            a.tick()
        a.tick()
        assert a.owned == tokens


def test_lost_answers_while_taking_shards(c: Cluster) -> None:
    a = c.worker("a")
    c.store.lose_answers = 4
    for _ in range(4):
        with pytest.raises(OutcomeUnknown):
            a.tick()
    a.tick()
    assert len(a.owned) == SHARDS


def test_at_rest_a_node_writes_one_heartbeat_and_reads_who_lives(c: Cluster) -> None:
    a = c.worker("a")
    c.run(a, ms=10_000)
    c.store.calls.clear()
    c.run(a, ms=60_000)
    calls = Counter(c.store.calls)
    assert 58 <= calls["save"] <= 62
    assert calls["list"] <= 62 + 2 * 13  # and all shards every five seconds, with another look at the nodes


def test_shards_are_kept_for_hours(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, b, ms=3000)
    tokens = a.owned | b.owned
    c.run(a, b, ms=2 * SHARD_NODE_LEASE_MS)
    assert a.owned | b.owned == tokens


def test_nodes_that_come_and_go_leave_nothing_behind(c: Cluster) -> None:
    for number in range(200):
        worker = c.worker(f"w{number}")
        worker.tick()
        if number % 2:
            worker.node.leave(worker.s)
        c.clock.advance(NODE_TTL_MS + 21)
    documents, _ = c.s.stores.leases.list(shards.NODES, 1000, None)
    assert len(documents) == 1


def test_there_are_places_for_so_many(c: Cluster) -> None:
    for number in range(NODES_MAX):
        c.worker(f"w{number:02d}").node._beat(c.worker(f"w{number:02d}").s)
    with pytest.raises(TooManyNodes):
        c.worker("one too many").tick()


def test_calls_take_what_is_free_for_half_a_minute(c: Cluster) -> None:
    assert c.call("x") == [shards.HeldShard(shard, 1) for shard in range(SHARDS)]
    assert c.call("y") == []
    c.clock.advance(SHARD_CALL_LEASE_MS + 19)
    assert c.call("y") == []
    c.clock.advance(1)
    assert c.call("y") == [shards.HeldShard(shard, 2) for shard in range(SHARDS)]


def test_the_next_call_of_a_process_writes_its_turn_and_no_shard(c: Cluster) -> None:
    c.call("x")
    for _ in range(3 * SHARD_NODE_LEASE_MS // 60_000):
        c.clock.advance(60_000)
        c.store.calls.clear()
        assert c.call("x") == [shards.HeldShard(shard, 1) for shard in range(SHARDS)]
        assert c.store.calls == ["load", "save", "list"]


def test_what_is_kept_over_turns_is_anothers_when_the_process_does_not_come(c: Cluster) -> None:
    c.call("x")
    c.clock.advance(60_000)
    assert c.call("y") == [shards.HeldShard(shard, 2) for shard in range(SHARDS)]
    c.clock.advance(60_000)
    assert c.call("x") == [shards.HeldShard(shard, 3) for shard in range(SHARDS)], "not under its old tokens"


def test_two_calls_at_once_have_no_shard_together(c: Cluster) -> None:
    c.call("x")
    c.clock.advance(60_000)
    first = shards.each_shard(c.process("x"), "sweep")
    mine = [next(first), next(first)]
    assert c.call("y") == []
    assert [*mine, *first] == [shards.HeldShard(shard, 1) for shard in range(SHARDS)]


def test_a_work_that_takes_long_is_shared_shard_by_shard(c: Cluster) -> None:
    def slowly(name: str, ms: int) -> Iterator[shards.HeldShard]:
        for held in shards.each_shard(c.process(name), "sweep"):
            c.clock.advance(ms)
            yield held

    assert len(list(slowly("x", TURN_LIGHT_MS // 2))) == SHARDS
    c.clock.advance(60_000)
    heavy = slowly("x", TURN_LIGHT_MS // 2)
    begun = [next(heavy), next(heavy)]
    others = c.call("y")
    assert [held.shard for held in others] == list(range(len(begun), SHARDS)), "those that it had not come to"
    assert list(heavy) == []
    c.clock.advance(60_000)
    assert len(list(slowly("x", 0))) == SHARDS
    c.clock.advance(60_000)
    c.call("x")
    c.clock.advance(60_000)
    c.store.calls.clear()
    c.call("x")
    assert c.store.calls.count("save") == 1, "light again, so it stands for all"


def test_a_turn_that_grew_long_takes_the_rest_one_by_one(c: Cluster) -> None:
    c.call("x")
    c.clock.advance(60_000)
    calls = shards.each_shard(c.process("x"), "sweep")
    assert next(calls) == shards.HeldShard(0, 1)
    c.clock.advance(SHARD_CALL_LEASE_MS + 20)
    assert c.call("y") == [shards.HeldShard(shard, 2) for shard in range(SHARDS)]
    assert list(calls) == [], "another process took them meanwhile"


def test_a_lost_answer_to_the_turn_costs_no_minute(c: Cluster) -> None:
    c.call("x")
    c.clock.advance(60_000)
    c.store.lose_answers = 1
    assert c.call("x") == [shards.HeldShard(shard, 1) for shard in range(SHARDS)]


def test_a_node_leaves_alone_what_a_call_has_in_its_turn(c: Cluster) -> None:
    c.call("x")
    c.clock.advance(60_000)
    c.call("x")
    assert set(c.owners().values()) == {"x"}
    a = c.worker("a")
    a.tick()
    assert a.owned == {}
    c.run(a, ms=SHARD_CALL_LEASE_MS + 6000)
    assert a.owned == dict.fromkeys(range(SHARDS), 2)
    assert c.call("x") == []


def test_calls_leave_alone_what_living_nodes_have_and_take_what_dead_ones_had(c: Cluster) -> None:
    a = c.worker("a")
    c.run(a, ms=3000)
    assert c.call("x") == []
    c.clock.advance(NODE_TTL_MS + 21)
    assert c.call("x") == [shards.HeldShard(shard, 2) for shard in range(SHARDS)]


def test_a_node_takes_from_calls_when_their_leases_expire(c: Cluster) -> None:
    c.call("x")
    a = c.worker("a")
    a.tick()
    assert a.owned == {}
    c.run(a, ms=SHARD_CALL_LEASE_MS + 6000)
    assert a.owned == dict.fromkeys(range(SHARDS), 2)


def test_each_work_has_leases_of_its_own(c: Cluster) -> None:
    assert len(c.call("x", "sweep")) == len(c.call("x", "reconcile")) == SHARDS


def test_a_sweep_is_stamped_with_the_token_of_its_owner(c: Cluster) -> None:
    sweep.run(c.s)
    swept = c.s.stores.cursors.load("sweep")
    assert (swept.rev, [swept.values[f"token#{n}"] for n in range(SHARDS)]) == (1, [1] * SHARDS)
    assert shards.swept_at_ms(c.s) == [c.clock.now_ms()] * SHARDS
    sweep.run_shards(c.s, [shards.HeldShard(0, 5)])
    sweep.run_shards(c.s, [shards.HeldShard(0, 4)])
    values = c.s.stores.cursors.load("sweep").values
    assert [values[f"token#{n}"] for n in range(SHARDS)] == [5, *[1] * (SHARDS - 1)]


def test_of_two_sweeps_at_once_each_notes_its_shards(c: Cluster) -> None:
    class Interrupted:
        """Cursors between whose read and write another worker notes a shard."""

        def __init__(self) -> None:
            self.load = c.s.stores.cursors.load
            self._meanwhile = [shards.HeldShard(1, 7), shards.HeldShard(0, 9)]

        def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
            if self._meanwhile:
                assert not shards.stamp_swept(c.s, [self._meanwhile.pop()])
            return c.s.stores.cursors.save(name, values, expected_rev)

    late = with_stores(c.s, cursors=Interrupted())
    mine = [shards.HeldShard(n, 3) for n in range(3)]
    assert shards.stamp_swept(late, mine) == mine[:2], "those that others have taken over since"
    values = c.s.stores.cursors.load("sweep").values
    assert [values[f"token#{n}"] for n in range(3)] == [9, 7, 3]


def test_what_is_stored_is_a_lease_like_any_other(c: Cluster) -> None:
    c.worker("a").tick()
    stored = c.s.stores.leases.load(shards.tenant_of("sweep"), "000")
    assert stored is not None
    item = lease_document.read(stored[0])
    assert isinstance(item, LeaseItem)
    assert (item.holder_id, item.fencing_token, item.metadata) == ("a", 1, {"kind": "node"})
    assert item.hlc


def test_shards_that_are_swept_together_are_noted_together(c: Cluster) -> None:
    sweep.run_shards(c.s, iter([shards.HeldShard(n, 3) for n in range(SHARDS)]))
    swept = c.s.stores.cursors.load("sweep")
    assert (swept.rev, shards.swept_at_ms(c.s)) == (1, [c.clock.now_ms()] * SHARDS)


def test_a_node_that_is_alone_looks_for_others_seldom_and_finds_them_soon(c: Cluster) -> None:
    a, b = c.worker("a"), c.worker("b")
    c.run(a, ms=10_000)
    c.store.calls.clear()
    c.run(a, ms=30_000)
    assert c.store.calls.count("list") <= 11 + 2 * 3, "every third heartbeat, and twice with each check of all shards"
    c.run(a, b, ms=NODE_LOOK_ALONE_MS + 4 * NODE_HEARTBEAT_MS)
    assert sorted((len(a.owned), len(b.owned))) == [SHARDS // 2, SHARDS // 2]
