"""Notes of scans: one for sixteen shards, never over a later owner's; nothing is counted twice, or lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.executions import traffic
from chalicelib.core.executions.traffic import PERIOD_MS
from chalicelib.engine.scans import GROUP, NOTED_EVERY_MS, NOTED_FROM, Scans, note_name, scanned_ms
from chalicelib.engine.shards import HeldShard
from chalicelib.ports.services import Services
from tests.kit.services import make_services, with_stores

NOW_MS = 1_800_000_000_000


@pytest.fixture
def s() -> Services:
    found = make_services()
    return replace(found, config=replace(found.config, shards=20))


def noted(s: Services, group: int = 0) -> Mapping[str, int]:
    return s.stores.cursors.load(note_name("a", group)).values


def scan(s: Services, until_ms: int, seen: int = 0, shards: tuple[int, ...] = (0,), token: int = 1) -> None:
    scans = Scans(s)
    for shard in shards:
        scans.done("a", HeldShard(shard, token), until_ms, [until_ms - 1] * seen)
    scans.note()


class Meanwhile:
    """Cursors between whose first read and write somebody else writes."""

    def __init__(self, inner: Any, then: Callable[[], object]) -> None:
        self._inner, self._then = inner, [then]
        self.load = inner.load

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        if self._then:
            self._then.pop()()
        return bool(self._inner.save(name, values, expected_rev))


def test_sixteen_shards_are_one_note(s: Services) -> None:
    scan(s, NOW_MS, seen=2, shards=tuple(range(20)))
    assert s.stores.cursors.load(note_name("a", 0)).rev == s.stores.cursors.load(note_name("a", 1)).rev == 1
    assert [scanned_ms(noted(s, n // GROUP), n) for n in range(20)] == [NOW_MS] * 20
    assert traffic.total(noted(s), NOW_MS) == 2 * GROUP
    assert traffic.total(noted(s, 1), NOW_MS) == 2 * (20 - GROUP)
    assert Scans(s).scanned_ms("a", 19) == NOW_MS
    assert Scans(s).scanned_ms("b", 19) is None


def test_little_is_noted_after_five_minutes_and_much_at_once(s: Services) -> None:
    scan(s, NOW_MS)
    scan(s, NOW_MS + NOTED_EVERY_MS - 1, seen=NOTED_FROM - 1)
    assert (Scans(s).scanned_ms("a", 0), traffic.total(noted(s), NOW_MS)) == (NOW_MS, 0)
    scan(s, NOW_MS + NOTED_EVERY_MS - 1, seen=NOTED_FROM)
    assert Scans(s).scanned_ms("a", 0) == NOW_MS + NOTED_EVERY_MS - 1
    scan(s, NOW_MS + 2 * NOTED_EVERY_MS, seen=1)
    assert traffic.total(noted(s), NOW_MS + 2 * NOTED_EVERY_MS) == NOTED_FROM + 1


def test_an_older_owner_notes_nothing(s: Services) -> None:
    scan(s, NOW_MS, token=2)
    scan(s, NOW_MS + NOTED_EVERY_MS, seen=3, token=1)
    assert (Scans(s).scanned_ms("a", 0), traffic.total(noted(s), NOW_MS)) == (NOW_MS, 0)
    scan(s, NOW_MS + NOTED_EVERY_MS, seen=3, token=2)
    scan(s, NOW_MS + 2 * NOTED_EVERY_MS, token=3)
    assert Scans(s).scanned_ms("a", 0) == NOW_MS + 2 * NOTED_EVERY_MS


def test_nodes_that_share_a_group_note_their_own_shards(s: Services) -> None:
    cursors = s.stores.cursors
    late = with_stores(s, cursors=Meanwhile(cursors, lambda: scan(s, NOW_MS + 5, seen=2, shards=(1,))))
    scan(late, NOW_MS, seen=3, shards=(0,))
    assert [scanned_ms(noted(s), n) for n in (0, 1, 2)] == [NOW_MS, NOW_MS + 5, None]
    assert traffic.total(noted(s), NOW_MS) == 5


def test_what_two_calls_found_in_one_shard_is_counted_once(s: Services) -> None:
    scan(s, NOW_MS)
    until_ms = NOW_MS + NOTED_EVERY_MS
    late = with_stores(s, cursors=Meanwhile(s.stores.cursors, lambda: scan(s, until_ms, seen=2)))
    scan(late, until_ms + 1, seen=2)
    assert (Scans(s).scanned_ms("a", 0), traffic.total(noted(s), until_ms)) == (until_ms, 2)


def test_what_a_release_before_noted_is_gone_on_with(s: Services) -> None:
    for shard, count in ((0, 7), (1, 5)):
        old = {"scanned_ms": NOW_MS - 1000, "fencing_token": 9, **traffic.counted({}, [NOW_MS - 2000] * count)}
        assert s.stores.cursors.save(f"reconcile#a#{shard}", old, 0)
    assert Scans(s).scanned_ms("a", 0) == NOW_MS - 1000
    scan(s, NOW_MS + NOTED_EVERY_MS, seen=1, shards=(0, 1))
    assert traffic.total(noted(s), NOW_MS + NOTED_EVERY_MS) == 7 + 5 + 2
    scan(s, NOW_MS + 2 * NOTED_EVERY_MS, shards=(0, 1))
    assert traffic.total(noted(s), NOW_MS + NOTED_EVERY_MS) == 7 + 5 + 2, "carried over once"


def test_of_two_periods_in_one_slot_the_newer_stays() -> None:
    hour_ago, now = traffic.counted({}, [NOW_MS - 12 * PERIOD_MS]), traffic.counted({}, [NOW_MS])
    assert hour_ago.keys() == now.keys()
    assert traffic.joined(now, hour_ago) == {}
    assert traffic.joined(hour_ago, now) == now
    assert traffic.joined({}, {}) == {}
