"""Calls of many threads made as few, and each caller its own answer."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.adapters.machine.combining import LANES, Combiner
from chalicelib.core.errors import OutcomeUnknown


class Slow:
    """Doubles numbers; its calls stand still until they are let through."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        if -1 in items:
            raise OutcomeUnknown("no answer")
        return [item * 2 for item in items]


def gathered(combiner: Combiner[int, int], count: int) -> None:
    """Wait until ``count`` callers stand in the queue."""
    while len(combiner._waiting) < count:
        threading.Event().wait(0.001)


def test_a_lone_caller_goes_at_once() -> None:
    combiner: Combiner[int, int] = Combiner(lambda items: [i + 1 for i in items], 25)
    assert combiner.call([1, 2]) == [2, 3]
    assert combiner.call([]) == []


def test_callers_that_come_meanwhile_share_calls_within_the_bound_and_get_their_own_answers() -> None:
    slow = Slow()
    combiner = Combiner(slow, 10)
    with ThreadPoolExecutor(64) as pool:
        first = [pool.submit(combiner.call, [n]) for n in range(LANES)]
        for _ in range(LANES):
            assert slow.entered.acquire(timeout=10)
        others = [pool.submit(combiner.call, [n, n + 1, n + 2]) for n in range(100, 140)]
        gathered(combiner, 40)
        slow.gate.release(1000)
        assert [f.result() for f in first] == [[n * 2] for n in range(LANES)]
        assert [f.result() for f in others] == [[n * 2, n * 2 + 2, n * 2 + 4] for n in range(100, 140)]
    assert len(slow.calls) == LANES + 14
    assert max(len(call) for call in slow.calls) == 9


def test_what_the_shared_call_raises_everybody_in_it_gets_and_nobody_else() -> None:
    slow = Slow()
    combiner = Combiner(slow, 2)
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(combiner.call, [n]) for n in range(LANES)]
        for _ in range(LANES):
            assert slow.entered.acquire(timeout=10)
        doomed = pool.submit(combiner.call, [-1])
        gathered(combiner, 1)
        beside = pool.submit(combiner.call, [7])
        gathered(combiner, 2)
        after = pool.submit(combiner.call, [8])
        gathered(combiner, 3)
        slow.gate.release(1000)
        for future in (doomed, beside):
            with pytest.raises(OutcomeUnknown):
                future.result()
        assert after.result() == [16]
        assert [f.result() for f in first] == [[n * 2] for n in range(LANES)]
    assert combiner.call([3]) == [6]


def test_under_a_storm_no_caller_is_forgotten() -> None:
    combiner: Combiner[int, int] = Combiner(lambda items: [i * 3 for i in items], 25)
    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(lambda n: combiner.call([n]), range(20_000), timeout=60)) == [
            [n * 3] for n in range(20_000)
        ]


class Item:
    """What a call is asked for."""


def test_what_was_asked_for_does_not_wait_for_a_collection() -> None:
    combiner: Combiner[Item, int] = Combiner(lambda items: [1 for _ in items], 25)
    gc.disable()
    try:
        item = Item()
        combiner.call([item])
        left = weakref.ref(item)
        del item
        assert left() is None
    finally:
        gc.enable()
