"""Full collections come when nothing is about to fire, and never by themselves."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from localdev import garbage


class Ring:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def settings() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_a_full_collection_does_not_come_by_itself(settings: None) -> None:
    stopping = threading.Event()
    garbage.keep(stopping, lambda: True)
    stopping.set()
    assert gc.get_threshold() == (garbage.YOUNG, garbage.MIDDLE, garbage.NEVER)
    assert gc.get_freeze_count() > 0


def test_garbage_is_collected_at_a_quiet_moment() -> None:
    looks = iter([False, False, True])
    ring = weakref.ref(Ring())
    garbage.collect_quietly(threading.Event(), lambda: next(looks))
    assert ring() is None
    assert next(looks, "all taken") == "all taken"


def test_without_a_quiet_moment_it_is_collected_all_the_same() -> None:
    stopping = threading.Event()
    stopping.set()  # else this test would take as long as a process waits
    ring = weakref.ref(Ring())
    garbage.collect_quietly(stopping, lambda: False)
    assert ring() is None
