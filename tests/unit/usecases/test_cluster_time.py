"""Cluster stamps: one order for all instances, whatever their clocks say."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from itertools import pairwise

import pytest
from msgspec.structs import replace

from chalicelib.adapters.machine.signals import ThreadSignals
from chalicelib.adapters.memory.machine import CountingIds
from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp
from chalicelib.core.errors import OutcomeUnknown, TooMany
from chalicelib.ports.services import Services
from chalicelib.ports.stores.cursors import Cursor, CursorStore
from chalicelib.usecases.cluster_time import ClusterClock
from tests.kit.machine import MovableClock
from tests.kit.services import make_services, with_stores


class Counting:
    """Cursors that count calls, and lose what they are told to."""

    def __init__(self, inner: CursorStore) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.lose_races = 0
        self.lose_answer = False

    def load(self, name: str) -> Cursor:
        self.calls.append("load")
        return self._inner.load(name)

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        self.calls.append("save")
        if self.lose_races:
            self.lose_races -= 1
            return False
        saved = self._inner.save(name, values, expected_rev)
        if self.lose_answer:
            self.lose_answer = False
            raise OutcomeUnknown("no answer")
        return saved


def instances(count: int) -> tuple[list[Services], Counting]:
    """Instances with clocks of their own over the same tables."""
    first = make_services()
    store = Counting(first.stores.cursors)
    made = []
    for _ in range(count):
        clock = MovableClock(first.clock.now_ms())
        made.append(replace(with_stores(first, cursors=store), clock=clock, ids=CountingIds(clock)))
    return made, store


def step(s: Services, ms: int) -> None:
    assert isinstance(s.clock, MovableClock)
    s.clock.step(ms)


def test_stamps_increase_over_instances_whose_clocks_jump() -> None:
    made, _ = instances(3)
    clocks = [ClusterClock() for _ in made]
    r, stamps = random.Random(1), list[Stamp]()
    for _ in range(500):
        n = r.randrange(3)
        step(made[n], r.choice((0, 0, 1, -5, 300, -300, 60_000, -60_000)))
        stamps.append(clocks[n].stamp(made[n]))
    assert all(a < b for a, b in pairwise(stamps))


def test_alone_a_stamp_is_one_write() -> None:
    [s], store = instances(1)
    clock = ClusterClock()
    clock.stamp(s)
    store.calls.clear()
    clock.stamp(s)
    assert store.calls == ["save"]


def test_after_another_instance_it_is_one_read_more() -> None:
    (s, other), store = instances(2)
    clock = ClusterClock()
    clock.stamp(s)
    later = ClusterClock().stamp(other)
    store.calls.clear()
    assert clock.stamp(s) > later
    assert store.calls == ["save", "load", "save"]


def test_later_stamps_of_the_instance_are_greater_too() -> None:
    (behind, ahead), _ = instances(2)
    step(ahead, 400)
    far = ClusterClock().stamp(ahead)
    mine = ClusterClock().stamp(behind)
    assert far < mine < hlc.parse(behind.ids.hlc())


def test_an_instance_whose_clock_is_far_ahead_is_followed_by_the_cluster_and_not_by_the_others_clocks() -> None:
    (behind, ahead), _ = instances(2)
    step(ahead, 60_000)
    far = ClusterClock().stamp(ahead)
    mine = ClusterClock().stamp(behind)
    assert mine == Stamp(far.physical_nanos, far.logical + 1)
    assert hlc.parse(behind.ids.hlc()) < mine


def test_lost_races_are_run_again_but_not_for_ever() -> None:
    [s], store = instances(1)
    clock = ClusterClock()
    store.lose_races = 10
    first = clock.stamp(s)
    store.lose_races = 1000
    with pytest.raises(TooMany):
        clock.stamp(s)
    store.lose_races = 0
    assert clock.stamp(s) > first


def test_a_lost_answer_leaves_a_gap_and_no_repeat() -> None:
    [s], store = instances(1)
    clock = ClusterClock()
    first = clock.stamp(s)
    store.lose_answer = True
    with pytest.raises(OutcomeUnknown):
        clock.stamp(s)
    assert clock.stamp(s) > first


def test_threads_share_one_clock() -> None:
    [s], _ = instances(1)
    s = replace(s, signals=ThreadSignals(s.clock.now_ms))
    clock, stamps = ClusterClock(), list[Stamp]()

    def work() -> None:
        for _ in range(50):
            stamps.append(clock.stamp(s))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(stamps)) == 400
