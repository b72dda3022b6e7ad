"""How ``ScheduleStore`` finds schedules, and how it replaces their states, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import (
    Due,
    ScheduleFilter,
    ScheduleStore,
    Versioned,
)
from tests.contract.changes import change_of, deletion_of
from tests.kit.records import START_MS, definition, edited, schedule, state
from tests.kit.threads import run_together

LATER_MS = START_MS + 60_000
KeyMaker = Callable[[], Key]


@pytest.fixture
def store(stores: Stores) -> ScheduleStore:
    return stores.schedules


class TestReads:
    def test_missing_ones_are_left_out(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        present, absent = new_key(), new_key()
        store.create(schedule(present))
        assert set(store.get([present, absent])) == {present}
        assert set(store.states([present, absent])) == {present}
        assert set(store.epochs([present, absent])) == {present}
        assert set(store.definitions([present, absent])) == {present}
        assert store.snapshots([Versioned(present, "v1")]) == {}
        assert store.history(absent) == []

    def test_nothing_asked_is_nothing_found(self, store: ScheduleStore) -> None:
        assert store.get([]) == {}
        assert store.states([]) == {}
        assert store.epochs([]) == {}
        assert store.snapshots([]) == {}
        assert store.write_states([]) == []

    def test_a_key_asked_twice_is_found_once(self, store: ScheduleStore, key: Key) -> None:
        store.create(schedule(key))
        assert store.get([key, key]) == {key: schedule(key)}
        assert store.states([key, key]) == {key: schedule(key).state}

    def test_reads_take_any_number(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(130)]
        for at in keys:
            store.create(schedule(at, next_run_ms=None))
        assert set(store.states(keys)) == set(store.epochs(keys)) == set(store.definitions(keys)) == set(keys)
        assert set(store.get(keys)) == set(keys)
        assert store.snapshots([Versioned(at, "v") for at in keys]) == {}

    def test_nothing_to_read(self, store: ScheduleStore) -> None:
        assert store.get([]) == store.states([]) == store.epochs([]) == store.definitions([]) == {}
        assert store.snapshots([]) == {}

    def test_history_is_in_order_of_since(self, store: ScheduleStore, key: Key) -> None:
        current = schedule(key)
        store.create(current)
        kept = []
        # Version ids that sort the other way round than their times.
        for n, version in enumerate(("z", "m", "a")):
            at_ms = LATER_MS + n
            following = edited(current, version, at_ms)
            kept.append(replace(current.definition, until_ms=at_ms))
            store.change(change_of(current, following, kept[-1]))
            current = following
        assert store.history(key) == kept

    def test_history_beyond_one_page(self, store: ScheduleStore, key: Key) -> None:
        """A query answers at most 1 MB; payloads may have 64 KiB."""
        current = schedule(key, payload='"' + "x" * 60_000 + '"')
        store.create(current)
        for n in range(20):
            following = edited(current, f"w{n:02d}", LATER_MS + n)
            store.change(change_of(current, following, replace(current.definition, until_ms=LATER_MS + n)))
            current = following
        assert [d.version for d in store.history(key)] == ["v1", *(f"w{n:02d}" for n in range(19))]


class TestWriteStates:
    def test_replaces_and_answers_in_order(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(25)]
        for at in keys:
            store.create(schedule(at))
        fresh = [store.states([at])[at].claimed(1, 1, 2) for at in keys]
        stale = {3, 17, 24}
        answers = store.write_states([(s, 9 if n in stale else 1) for n, s in enumerate(fresh)])
        assert answers == [n not in stale for n in range(25)]
        stored = store.states(keys)
        assert all((stored[at] == fresh[n]) == (n not in stale) for n, at in enumerate(keys))

    def test_does_not_make_what_is_missing(self, store: ScheduleStore, key: Key) -> None:
        assert store.write_states([(state(key), 1)]) == [False]
        assert store.write_states([(state(key), 0)]) == [False]
        assert store.states([key]) == {}

    def test_leaves_definition_and_list_alone(self, store: ScheduleStore, key: Key) -> None:
        store.create(schedule(key))
        store.write_states([(state(key).claimed(1, 1, 1), 1)])
        assert store.definitions([key]) == {key: schedule(key).definition}
        assert store.list(key.tenant, ScheduleFilter(), 10, None).ids == [key.id]

    def test_changes_the_epoch_that_epochs_reads(self, store: ScheduleStore, key: Key) -> None:
        store.create(schedule(key))
        store.write_states([(replace(state(key), rev=2, epoch=7), 1)])
        assert store.epochs([key]) == {key: 7}

    def test_takes_any_number(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(30)]
        for at in keys:
            store.create(schedule(at))
        assert store.write_states([(state(at, rev=2), 1 + n % 2) for n, at in enumerate(keys)]) == [True, False] * 15

    def test_no_update_is_lost_between_threads(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(3)]
        for at in keys:
            store.create(schedule(at))
        won: list[int] = []

        def work() -> None:
            for _ in range(15):
                read = store.states(keys)
                tokens = [read[at].claimed(1, 1, 1) for at in keys]
                answers = store.write_states([(s, s.rev - 1) for s in tokens])
                won.extend(s.fence * 10 + n for n, s in enumerate(tokens) if answers[n])

        run_together([work] * 6)
        assert len(won) == len(set(won)), "two writers took the same fencing token"
        assert sum(s.fence for s in store.states(keys).values()) == len(won)
        assert all(s.rev == s.fence + 1 for s in store.states(keys).values())


class TestDue:
    def test_earliest_first_up_to_and_with_the_bound(self, store: ScheduleStore, shard: int, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(5)]
        for at, after_ms in zip(keys, (500, 100, 300, 1001, 1000), strict=True):
            store.create(schedule(at, shard, START_MS + after_ms))
        found = store.due(shard, START_MS + 1000, 10)
        assert found == [Due(START_MS + ms, keys[n]) for n, ms in ((1, 100), (2, 300), (0, 500), (4, 1000))]

    def test_only_of_the_shard(self, store: ScheduleStore, shard: int, key: Key) -> None:
        store.create(schedule(key, shard))
        assert store.due(shard + 1_000_000, START_MS * 2, 10) == []

    def test_only_active_ones_that_have_a_next_run(self, store: ScheduleStore, shard: int, new_key: KeyMaker) -> None:
        paused, exhausted, key = new_key(), new_key(), new_key()
        store.create(Schedule(definition(paused), state(paused, shard, status="paused")))
        store.create(schedule(exhausted, shard, None))
        store.create(schedule(key, shard))
        assert [d.key for d in store.due(shard, START_MS * 2, 10)] == [key]

    def test_writes_move_entries_in_and_out(self, store: ScheduleStore, shard: int, key: Key) -> None:
        before = schedule(key, shard)
        store.create(before)

        def write(**fields: object) -> None:
            stored = store.states([key])[key]
            assert store.write_states([(replace(stored, rev=stored.rev + 1, **fields), stored.rev)]) == [True]

        def due() -> list[int]:
            return [d.next_run_ms - START_MS for d in store.due(shard, START_MS * 2, 10)]

        assert due() == [5000]
        write(next_run_ms=START_MS + 9000)
        assert due() == [9000]
        write(fence=4)
        assert due() == [9000]
        write(next_run_ms=None)
        assert due() == []
        write(fence=5)  # out of the index already
        assert due() == []
        write(next_run_ms=START_MS + 7000)
        assert due() == [7000]
        write(status="paused")
        assert due() == []
        write(status="active")
        assert due() == [7000]
        stored = Schedule(before.definition, store.states([key])[key])
        store.change(deletion_of(stored, LATER_MS))
        assert due() == []

    def test_a_change_moves_entries_too(self, store: ScheduleStore, shard: int, key: Key) -> None:
        before = schedule(key, shard)
        store.create(before)
        paused = edited(before, "v2", LATER_MS, status="paused")
        store.change(change_of(before, paused))
        assert store.due(shard, START_MS * 2, 10) == []
        store.change(change_of(paused, edited(paused, "v3", LATER_MS)))
        assert [d.key for d in store.due(shard, START_MS * 2, 10)] == [key]

    def test_a_write_that_lost_moves_nothing(self, store: ScheduleStore, shard: int, key: Key) -> None:
        store.create(schedule(key, shard))
        store.write_states([(state(key, shard, next_run_ms=None, rev=8), 7)])
        assert len(store.due(shard, START_MS * 2, 10)) == 1

    def test_pages_through_equal_instants(self, store: ScheduleStore, shard: int, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(11)]
        for n, at in enumerate(keys):
            store.create(schedule(at, shard, START_MS + n // 6))
        found: list[Due] = []
        after: Due | None = None
        for _ in range(3):
            page = store.due(shard, START_MS * 2, 4, after)
            found += page
            after = page[-1]
        assert store.due(shard, START_MS * 2, 4, after) == []
        assert sorted(found) == sorted(Due(START_MS + n // 6, at) for n, at in enumerate(keys))
        assert [d.next_run_ms for d in found] == sorted(d.next_run_ms for d in found)

    def test_a_position_that_has_left_the_index_still_counts(
        self, store: ScheduleStore, shard: int, new_key: KeyMaker
    ) -> None:
        keys = [new_key() for _ in range(4)]
        for n, at in enumerate(keys):
            store.create(schedule(at, shard, START_MS + n))
        first = store.due(shard, START_MS * 2, 2)
        moved = store.states([keys[1]])[keys[1]]
        store.write_states([(replace(moved, rev=2, next_run_ms=START_MS + 900), 1)])
        rest = store.due(shard, START_MS * 2, 10, first[-1])
        assert [d.key for d in rest] == [keys[2], keys[3], keys[1]]


class TestList:
    def ids(self, store: ScheduleStore, tenant: str, wanted: ScheduleFilter, limit: int = 3) -> list[str]:
        """All pages."""
        found: list[str] = []
        after = None
        for _ in range(100):
            page = store.list(tenant, wanted, limit, after)
            assert len(page.ids) <= limit
            found += page.ids
            after = page.after
            if after is None:
                return found
        raise AssertionError("the list does not end")

    def test_newest_first_in_pages(self, store: ScheduleStore, tenant: str, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(7)]
        for at in keys:
            store.create(schedule(at))
        newest_first = [k.id for k in reversed(keys)]
        assert store.list(tenant, ScheduleFilter(), 7, None) == (newest_first, None)
        assert store.list(tenant, ScheduleFilter(), 3, None) == (newest_first[:3], newest_first[2])
        assert self.ids(store, tenant, ScheduleFilter()) == newest_first

    def test_only_of_the_tenant(self, store: ScheduleStore, tenant: str, key: Key) -> None:
        store.create(schedule(key))
        assert store.list(tenant + "x", ScheduleFilter(), 10, None) == ([], None)

    def test_filters(self, store: ScheduleStore, tenant: str, new_key: KeyMaker) -> None:
        a, b, c = new_key(), new_key(), new_key()
        store.create(schedule(a, owner="x", tags=("red", "blue"), name="alpha"))
        store.create(schedule(b, owner="x", type="CRON", expr="* * * * *", active=False, tags=("reddish",)))
        store.create(schedule(c, owner="y", name="alphabet", tags=("blue",)))

        def found(**wanted: object) -> str:
            ids = self.ids(store, tenant, ScheduleFilter(**wanted))  # type: ignore[arg-type]
            return "".join(n for n, at in zip("abc", (a, b, c), strict=True) if at.id in ids)

        assert found(owner="x") == "ab"
        assert found(enabled=True) == "ac"
        assert found(enabled=False) == "b"
        assert found(type="CRON") == "b"
        assert found(tag="red") == "a"
        assert found(tag="re") == ""
        assert found(tag="blue") == "ac"
        assert found(name_prefix="alpha") == "ac"
        assert found(name_prefix="alphab") == "c"
        assert found(name_prefix="") == "abc"
        assert found(owner="x", enabled=True, type="RATE", tag="blue", name_prefix="a") == "a"
        assert found(owner="x", name_prefix="alphabet") == ""

    def test_a_change_is_seen_by_filters(self, store: ScheduleStore, tenant: str, key: Key) -> None:
        before = schedule(key, name="n", tags=("t",))
        store.create(before)
        after = edited(before, "v2", LATER_MS, status="paused", name=None, tags=())
        store.change(change_of(before, after))
        assert self.ids(store, tenant, ScheduleFilter(enabled=False)) == [key.id]
        assert self.ids(store, tenant, ScheduleFilter(enabled=True)) == []
        assert self.ids(store, tenant, ScheduleFilter(tag="t")) == []
        assert self.ids(store, tenant, ScheduleFilter(name_prefix="n")) == []
        store.change(deletion_of(after, LATER_MS + 1))
        assert self.ids(store, tenant, ScheduleFilter()) == []

    def test_snapshots_are_not_listed(self, store: ScheduleStore, tenant: str, key: Key) -> None:
        before = schedule(key)
        store.create(before)
        store.change(change_of(before, edited(before, "v2", LATER_MS), replace(before.definition, until_ms=LATER_MS)))
        assert self.ids(store, tenant, ScheduleFilter()) == [key.id]

    def test_pages_are_stable_under_deletion_and_creation(
        self, store: ScheduleStore, tenant: str, new_key: KeyMaker
    ) -> None:
        keys = [new_key() for _ in range(6)]
        for at in keys:
            store.create(schedule(at))
        page = store.list(tenant, ScheduleFilter(), 3, None)
        store.change(deletion_of(schedule(keys[3]), LATER_MS))  # the position itself
        store.create(schedule(new_key()))
        assert store.list(tenant, ScheduleFilter(), 3, page.after).ids == [k.id for k in reversed(keys[:3])]

    def test_a_filtered_page_looks_at_no_more_than_its_bound(self, tenant: str, new_key: KeyMaker) -> None:
        """In memory only, where a thousand schedules cost nothing; the page is short and goes on."""
        from chalicelib.adapters.memory.schedules import MemoryScheduleStore

        store = MemoryScheduleStore()
        oldest = new_key()
        store.create(schedule(oldest, tags=("rare",)))
        for _ in range(LIST_SCAN_MAX_ITEMS):
            store.create(schedule(new_key()))
        first = store.list(tenant, ScheduleFilter(tag="rare"), 10, None)
        assert first.ids == []
        assert first.after is not None
        assert store.list(tenant, ScheduleFilter(tag="rare"), 10, first.after) == ([oldest.id], None)
