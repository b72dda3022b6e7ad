"""Every sentence of ``ChangeStore``, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.changes.change_log import Change, LogHead, Mark, Segment, decide_append
from chalicelib.core.leases.lease_item import LeaseItem, Waiter
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.workflows.run_state import RunState, SeenRun
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.changes import ChangeStore
from tests.kit.changes import gone
from tests.kit.records import START_MS, execution, schedule
from tests.kit.threads import run_together

HUGE_SEQUENCE = 4_421_584_500_000_000_017_450_439_091


@pytest.fixture
def changes(stores: Stores) -> ChangeStore:
    return stores.changes


def segment(tenant: str, first: int, count: int = 1) -> Segment:
    return Segment(tenant, first, START_MS, tuple(gone(first + n, tenant).change for n in range(count)))


def grow(changes: ChangeStore, tenant: str, *counts: int) -> list[Segment]:
    """A log of segments with so many changes each."""
    made = []
    for count in counts:
        head = changes.head(tenant)
        made.append(segment(tenant, head.last + 1, count))
        assert changes.append(replace(head, rev=head.rev + 1, last=made[-1].last), made[-1], head.rev)
    return made


def test_the_log_of_a_new_tenant_is_empty(changes: ChangeStore, tenant: str) -> None:
    assert changes.head(tenant) == LogHead(tenant)
    assert list(changes.segments(tenant, 0, 10)) == []


def test_head_and_segment_come_back_as_they_were_appended(changes: ChangeStore, key: Key) -> None:
    lease = LeaseItem(
        key.tenant, "a/b", 3, 7, "me", "ann", 1000, metadata={"é": [1]}, waiters=(Waiter("x", "y", 1, 2),)
    )
    things = (
        Change("execution", "", START_MS, "ann", execution(key, START_MS, payload='{"a":"é"}', result="[1]")),
        Change("schedule", key.id, START_MS + 1, "bob", schedule(key, payload='"ü"', name="n#1")),
        Change("lease", "a/b", START_MS + 2, None, lease),
        Change("schedule", key.id, START_MS + 3, "bob", None),
        Change("workflow_run", "r", START_MS + 4, "ann", SeenRun(RunState(key.tenant, "r", events=2), {"value": "é"})),
    )
    things = (replace(things[0], id=things[0].now.id), *things[1:])  # type: ignore[union-attr]
    head = LogHead(key.tenant, 1, 5, {"s1": Mark(HUGE_SEQUENCE, START_MS), "s2": Mark(5, START_MS - 9)})
    assert changes.append(head, Segment(key.tenant, 1, START_MS, things), 0)
    assert changes.head(key.tenant) == head
    assert list(changes.segments(key.tenant, 0, 10)) == [Segment(key.tenant, 1, START_MS, things)]


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_moved_revision_writes_nothing(changes: ChangeStore, tenant: str, wrong: int) -> None:
    made = grow(changes, tenant, 2, 2)
    head = changes.head(tenant)
    moved = replace(head, rev=head.rev + 1, last=5)
    assert not changes.append(moved, segment(tenant, 5), head.rev + wrong)
    assert not changes.append(moved, segment(tenant, 5), 0)
    assert changes.head(tenant) == head
    assert list(changes.segments(tenant, 0, 10)) == made


def test_segments_are_found_by_the_position_after_which_they_end(changes: ChangeStore, tenant: str) -> None:
    a, b, c = grow(changes, tenant, 3, 1, 100)
    assert list(changes.segments(tenant, 0, 10)) == [a, b, c]
    assert list(changes.segments(tenant, 2, 10)) == [a, b, c]
    assert list(changes.segments(tenant, 3, 10)) == [b, c]
    assert list(changes.segments(tenant, 3, 1)) == [b]
    assert list(changes.segments(tenant, 4, 10)) == [c]
    assert list(changes.segments(tenant, 104, 10)) == []


def test_tenants_have_logs_of_their_own(changes: ChangeStore, tenant: str) -> None:
    grow(changes, tenant, 3)
    assert changes.head(tenant + "#changes") == LogHead(tenant + "#changes")
    assert list(changes.segments(tenant + "x", 0, 10)) == []


def test_of_many_writers_one_wins_every_position(changes: ChangeStore, tenant: str) -> None:
    def shard(name: str) -> Callable[[], None]:
        def write() -> None:
            for number in range(8):
                while True:
                    head = changes.head(tenant)
                    appended = decide_append(head, name, [gone(number, tenant)], START_MS)
                    assert appended is not None
                    if changes.append(appended.head, appended.segment, head.rev):
                        break

        return write

    run_together([shard(name) for name in "abcd"])
    found = list(changes.segments(tenant, 0, 100))
    assert [s.first for s in found] == list(range(1, 33))
    assert {name: mark.sequence for name, mark in changes.head(tenant).marks.items()} == dict.fromkeys("abcd", 7)
