"""Virtual time: who waits is woken at the very millisecond, in order, and never twice."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Unavailable
from tests.kit.machine import NOW_MS
from tests.kit.virtual_time import VirtualSignals, VirtualTime


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime(NOW_MS)


def test_who_waits_for_a_task_goes_on_in_the_millisecond_in_which_it_ends(time: VirtualTime) -> None:
    seen: list[tuple[str, int]] = []
    slow = time.start(lambda: time.sleep_until(NOW_MS + 70))
    time.start(lambda: seen.append((str(slow.wait(NOW_MS + 50)), time.now_ms() - NOW_MS)))
    time.start(lambda: seen.append((str(slow.wait()), time.now_ms() - NOW_MS)))
    time.start(lambda: seen.append((str(slow.wait(NOW_MS + 500)), time.now_ms() - NOW_MS)))
    time.sleep_until(NOW_MS + 1000)
    assert seen == [("False", 50), ("True", 70), ("True", 70)]
    assert time.next_due_ms() is None


def test_a_task_that_fails_says_so_to_who_waits_also_outside(time: VirtualTime) -> None:
    def fail() -> None:
        time.sleep_until(NOW_MS + 5)
        raise Unavailable("away")

    failing = time.start(fail)
    with pytest.raises(Unavailable):
        failing.wait()
    assert time.now_ms() == NOW_MS + 5


def test_waiting_for_what_nobody_begins_is_an_error(time: VirtualTime) -> None:
    with pytest.raises(RuntimeError, match="nobody"):
        time.hold(lambda: None).wait()
    assert time.hold(lambda: None).wait(NOW_MS + 10) is False
    assert time.now_ms() == NOW_MS + 10


def test_a_bell_wakes_its_waiter_once(time: VirtualTime) -> None:
    signals, woken = VirtualSignals(time), list[int]()

    def wait_twice() -> None:
        with signals.bell("door") as bell:
            for _ in range(2):
                bell.wait(NOW_MS + 100)
                woken.append(time.now_ms() - NOW_MS)

    time.start(wait_twice)
    time.at(NOW_MS + 30, lambda: signals.ring("door"))
    time.at(NOW_MS + 40, lambda: signals.ring("another"))
    time.sleep_until(NOW_MS + 200)
    assert woken == [30, 100]


def test_a_ring_before_the_wait_is_not_missed(time: VirtualTime) -> None:
    signals = VirtualSignals(time)
    with signals.bell("door") as bell:
        signals.ring("door")
        bell.wait(NOW_MS + 100)
    assert time.now_ms() == NOW_MS
