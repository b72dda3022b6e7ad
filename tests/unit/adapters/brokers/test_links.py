"""Lanes to brokers: made once, shared, bounded, closed when idle or broken, and each for itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.adapters.brokers.faults import BrokerAway
from chalicelib.adapters.brokers.links import Links
from chalicelib.ports.target import Delivery


class Made:
    def __init__(self) -> None:
        self.open = True
        self.closed = 0

    def publish(self, delivery: Delivery, timeout_s: float) -> Mapping[str, object]:
        return {}

    def is_open(self) -> bool:
        return self.open

    def close(self) -> None:
        self.open = False
        self.closed += 1


class Plant:
    """Links of a clock that a test moves, and what they connected."""

    def __init__(self, max_count: int = 20) -> None:
        self.now_s = 0.0
        self.made: list[Made] = []
        self.links = Links(lambda: self.now_s, max_count, 50.0)

    def connect(self) -> Made:
        self.made.append(Made())
        return self.made[-1]

    def use(self, key: str) -> Made:
        with self.links.lent(key, self.connect, 1.0) as link:
            assert isinstance(link, Made)
            return link


@pytest.fixture
def plant() -> Plant:
    return Plant()


def test_a_lane_is_connected_once(plant: Plant) -> None:
    assert plant.use("a") is plant.use("a")
    assert plant.use("b") is not plant.use("a")
    assert len(plant.made) == 2
    plant.links.close()
    assert [link.closed for link in plant.made] == [1, 1]


def test_what_is_broken_is_connected_anew(plant: Plant) -> None:
    first = plant.use("a")
    first.open = False
    assert plant.use("a") is not first
    plant.links.close()


def test_what_was_idle_for_long_is_closed(plant: Plant) -> None:
    first = plant.use("a")
    plant.now_s = 49.0
    assert plant.use("a") is first
    plant.now_s = 100.0
    second = plant.use("a")
    assert (first.closed, second is first) == (1, False)
    plant.links.close()


def test_no_more_than_the_bound_are_kept_and_none_is_taken_away_in_use() -> None:
    plant = Plant(max_count=2)
    with plant.links.lent("used", plant.connect, 1.0) as used:
        others = [plant.use(key) for key in ("a", "b", "c")]
        assert [link.closed for link in others] == [1, 1, 0]
        assert used.is_open()
        plant.links.close()
        assert used.is_open()
    assert not used.is_open()


def test_a_lane_that_connects_slowly_holds_up_no_other_and_its_failure_is_told_to_all_that_wait(plant: Plant) -> None:
    go, tries = threading.Event(), []

    def slow() -> Made:
        tries.append(1)
        assert go.wait(30)
        raise BrokerAway("away")

    def use_slow() -> str:
        try:
            with plant.links.lent("slow", slow, 30.0):
                return "connected"
        except BrokerAway as problem:
            return str(problem)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(use_slow) for _ in range(3)]
        plant.use("quick")
        assert not any(each.done() for each in waiting)
        while plant.links._lanes["slow"].users < 3:
            pass
        go.set()
        assert [each.result(30) for each in waiting] == ["away"] * 3
    plant.use("slow")  # the next one tries again
    plant.links.close()


def test_who_waits_in_vain_is_told_so(plant: Plant) -> None:
    go = threading.Event()

    def slow() -> Made:
        go.wait(30)
        return plant.connect()

    def first() -> None:
        with plant.links.lent("a", slow, 30.0):
            pass

    connecting = threading.Thread(target=first)
    connecting.start()
    while "a" not in plant.links._lanes:
        pass
    with pytest.raises(BrokerAway, match="did not accept a connection in time"), plant.links.lent("a", slow, 0.05):
        pass
    go.set()
    connecting.join(30)
    plant.links.close()
