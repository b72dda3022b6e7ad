"""Bells within a process and between processes, and turns that are a courtesy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from chalicelib.adapters.machine import signals
from chalicelib.adapters.machine.signals import LoopbackSignals, ThreadSignals

SOON_S = 10  # how long a failing test waits


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@pytest.fixture
def pair() -> Iterator[tuple[LoopbackSignals, LoopbackSignals]]:
    """As two processes have them."""
    here, there = LoopbackSignals(now_ms), LoopbackSignals(now_ms)
    yield here, there
    here.close()
    there.close()


def test_what_rings_after_hanging_up_is_not_missed() -> None:
    bells = ThreadSignals(now_ms)
    with bells.bell("n") as bell:
        bells.ring("n")
        begun = now_ms()
        bell.wait(begun + 60_000)
        assert now_ms() - begun < 30_000
        bells.ring("other")
        begun = now_ms()
        bell.wait(begun + 20)
        assert now_ms() - begun >= 19


def test_a_waiter_in_another_process_is_woken(pair: tuple[LoopbackSignals, LoopbackSignals]) -> None:
    here, there = pair
    with there.bell("lease/é") as bell:
        here.ring("lease/é", there.address)
        assert bell.event.wait(SOON_S)


def test_the_own_address_and_none_ring_here(pair: tuple[LoopbackSignals, LoopbackSignals]) -> None:
    here, _ = pair
    for at in ("", here.address):
        with here.bell("n") as bell:
            here.ring("n", at)
            assert bell.event.is_set()


@pytest.mark.parametrize("at", ["127.0.0.1:1", "127.0.0.1:99999", "127.0.0.1:x", "10.0.0.1:80", "nonsense", ":", "::1"])
def test_an_address_where_nobody_listens_is_no_error(pair: tuple[LoopbackSignals, LoopbackSignals], at: str) -> None:
    pair[0].ring("n", at)


def test_turns_pass_one_after_the_other() -> None:
    bells = ThreadSignals(now_ms)
    inside, most, lock = 0, 0, threading.Lock()

    def pass_through() -> None:
        nonlocal inside, most
        for _ in range(50):
            with bells.turn("n"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=pass_through) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert most == 1
    assert not bells._turnstiles


def test_whoever_waited_long_enough_passes() -> None:
    bells = ThreadSignals(now_ms)
    passed = threading.Event()

    def follow() -> None:
        with bells.turn("n"):
            passed.set()

    with bells.turn("n"):
        begun = now_ms()
        thread = threading.Thread(target=follow)
        thread.start()
        assert passed.wait(SOON_S)
        assert now_ms() - begun >= signals.TURN_MAX_S * 1000 - 1
    thread.join(SOON_S)
