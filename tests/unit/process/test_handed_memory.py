"""What the sweep has put on the queue and left to a claim."""

from __future__ import annotations

from chalicelib.core.schedules.schedule import Key
from chalicelib.process.handed_memory import Handed, HandedMemory

KEY, OTHER = Key("t", "A" * 26), Key("t", "B" * 26)


def test_an_instant_is_known_under_its_version_alone() -> None:
    memory, first = HandedMemory(), Handed("v1", 1000, None)
    assert not memory.has(KEY, first)
    memory.keep(KEY, first)
    assert memory.has(KEY, first)
    assert not memory.has(KEY, Handed("v2", 1000, None))
    assert not memory.has(KEY, Handed("v1", 2000, None))
    assert not memory.has(OTHER, first)
    memory.keep(KEY, Handed("v2", 1000, None))
    assert not memory.has(KEY, first)


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    memory = HandedMemory(max_schedules=1)
    memory.keep(KEY, Handed("v1", 1, None))
    memory.keep(OTHER, Handed("v1", 1, None))
    assert not memory.has(KEY, Handed("v1", 1, None))
    assert memory.has(OTHER, Handed("v1", 1, None))


def test_it_says_whether_that_is_all_up_to_a_moment() -> None:
    memory = HandedMemory()
    assert not memory.is_all(KEY, 1000, 5000)
    memory.keep(KEY, Handed("v1", 1000, 6000))
    assert memory.is_all(KEY, 1000, 5999)
    assert not memory.is_all(KEY, 1000, 6000)
    assert not memory.is_all(KEY, 1001, 5999)
    assert not memory.is_all(OTHER, 1000, 5999)
    memory.keep(KEY, Handed("v1", 6000, None))
    assert memory.is_all(KEY, 6000, 10**15)
