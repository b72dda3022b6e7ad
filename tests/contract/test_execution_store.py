"""Every sentence of ``ExecutionStore``, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import (
    COMPLETED,
    IN_PROGRESS,
    Attempt,
    Execution,
    ExecutionKey,
    Transition,
    is_listed_open,
)
from chalicelib.core.executions.journal import AttemptResult, claim, finish, reopen, running
from chalicelib.core.schedules.schedule import Key, RetryPolicy
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.executions import ExecutionStore
from tests.kit.records import START_MS, execution
from tests.kit.threads import run_together

KeyMaker = Callable[[], Key]
FAR_MS = START_MS * 2


@pytest.fixture
def store(stores: Stores) -> ExecutionStore:
    return stores.executions


def stored(store: ExecutionStore, record: Execution) -> Execution:
    return store.get([record.key])[record.key]


class TestInsert:
    def test_writes_a_record(self, store: ExecutionStore, key: Key) -> None:
        record = execution(key, START_MS)
        assert store.insert([record]) == [True]
        assert store.get([record.key]) == {record.key: record}

    def test_keeps_every_field_as_it_was(self, store: ExecutionStore, key: Key) -> None:
        rich = Execution(
            tenant=key.tenant,
            schedule_id=key.id,
            firing_ms=START_MS,
            manual=True,
            requested=True,
            offset_ms=7,
            shard=3,
            version="v",
            owner="ö",
            target_type="webhook",
            rev=9,
            state=IN_PROGRESS,
            attempt=2,
            attempts=(
                Attempt(1, 4, 5, 6, "failed", 503, "http_error", 'answered "no" \u2026'),
                Attempt(2, 1 << 40, 8),
            ),
            history=(Transition("pending", "in_progress", 1), Transition("in_progress", "failed", 2, "why")),
            fencing_token=1 << 40,
            claimed_by="me",
            lease_until_ms=10,
            retry_at_ms=11,
            asynchronous=True,
            first_started_ms=12,
            sla_ms=0,
            trace_id="t",
            payload=' {"x" : 1.50} ',
            result='{"y":null}',
            error="e" * 500,
            created_ms=13,
            finished_ms=14,
            hlc="h",
            origin="o",
        )
        store.insert([rich])
        found = stored(store, rich)
        assert found == rich
        assert isinstance(found.attempts[1], Attempt)
        assert found.history[1].reason == "why"

    def test_a_key_that_exists_is_false_and_left_alone(self, store: ExecutionStore, key: Key) -> None:
        first, second = execution(key, START_MS), execution(key, START_MS, claimed_by="other")
        fresh = execution(key, START_MS + 1)
        assert store.insert([first]) == [True]
        assert store.insert([second, fresh]) == [False, True]
        assert store.get([first.key, fresh.key]) == {first.key: first, fresh.key: fresh}

    def test_a_manual_one_has_a_key_of_its_own(self, store: ExecutionStore, key: Key) -> None:
        plain, manual = execution(key, START_MS), execution(key, START_MS, manual=True, requested=True)
        assert store.insert([plain, manual]) == [True, True]
        assert store.get([plain.key, manual.key]) == {plain.key: plain, manual.key: manual}

    def test_of_many_inserters_one_wins(self, store: ExecutionStore, key: Key) -> None:
        won: list[tuple[int, str]] = []

        def insert(worker: str) -> None:
            records = [execution(key, START_MS + n, claimed_by=worker) for n in range(20)]
            won.extend((n, worker) for n, ok in enumerate(store.insert(records)) if ok)

        run_together([lambda w=f"w{n}": insert(w) for n in range(6)])
        assert sorted(n for n, _ in won) == list(range(20))
        found = store.get([ExecutionKey(key.tenant, key.id, START_MS + n) for n in range(20)])
        assert {(at.firing_ms - START_MS, r.claimed_by) for at, r in found.items()} == set(won)

    def test_takes_any_number_and_answers_in_order(self, store: ExecutionStore, key: Key) -> None:
        records = [execution(key, START_MS + n) for n in range(60)]
        taken = {7, 25, 59}
        store.insert([records[n] for n in sorted(taken)])
        assert store.insert(records) == [n not in taken for n in range(60)]
        assert store.get([r.key for r in records]) == {r.key: r for r in records}

    def test_nothing_to_write(self, store: ExecutionStore) -> None:
        assert (store.insert([]), store.update([]), store.get([])) == ([], [], {})


class TestUpdate:
    def test_of_rev_0_writes_the_first_record(self, store: ExecutionStore, key: Key) -> None:
        first = execution(key, START_MS)
        assert store.update([(first, 0)]) == [True]
        assert store.get([first.key]) == {first.key: first}
        assert store.recent(key.tenant, [first.shard], START_MS, START_MS, 9, None).keys == [first.key]

    def test_of_rev_0_leaves_a_record_that_exists_alone(self, store: ExecutionStore, key: Key) -> None:
        first, second = execution(key, START_MS), execution(key, START_MS, claimed_by="other")
        fresh = execution(key, START_MS + 1)
        store.insert([first])
        assert store.update([(second, 0), (fresh, 0), (replace(first, rev=2), 1)]) == [False, True, True]
        assert store.get([first.key, fresh.key]) == {first.key: replace(first, rev=2), fresh.key: fresh}

    def test_a_first_record_that_is_open_for_longer_is_listed_until_it_ends(
        self, store: ExecutionStore, key: Key
    ) -> None:
        begun = running(execution(key, START_MS, attempt=1, rev=0), START_MS, START_MS + 9)
        assert store.update([(begun, 0)]) == [True]
        assert begun.key in store.open_until(begun.shard, START_MS + 9, 99).keys
        done = finish(begun, AttemptResult("completed"), RetryPolicy(), START_MS, START_MS + 5)
        assert store.update([(done, begun.rev)]) == [True]
        assert begun.key not in store.open_until(begun.shard, FAR_MS, 99).keys

    def test_replaces_and_answers_in_order(self, store: ExecutionStore, key: Key) -> None:
        records = [execution(key, START_MS + n) for n in range(25)]
        store.insert(records)
        done = [replace(r, rev=2, state=COMPLETED, finished_ms=START_MS) for r in records]
        stale = {0, 11, 24}
        assert store.update([(r, 5 if n in stale else 1) for n, r in enumerate(done)]) == [
            n not in stale for n in range(25)
        ]
        found = store.get([r.key for r in records])
        assert all(found[r.key] == (records[n] if n in stale else done[n]) for n, r in enumerate(records))

    def test_does_not_make_what_is_missing(self, store: ExecutionStore, key: Key) -> None:
        record = execution(key, START_MS)
        assert store.update([(record, 1), (replace(record, rev=3), 2)]) == [False, False]
        assert store.get([record.key]) == {}

    def test_takes_any_number(self, store: ExecutionStore, key: Key) -> None:
        records = [execution(key, START_MS + n) for n in range(60)]
        store.insert(records)
        assert store.update([(replace(r, rev=2), 1 + n % 2) for n, r in enumerate(records)]) == [True, False] * 30
        assert [r.rev for _, r in sorted(store.get([r.key for r in records]).items())] == [2, 1] * 30

    def test_no_update_is_lost_between_threads(self, store: ExecutionStore, key: Key) -> None:
        records = [execution(key, START_MS + n) for n in range(3)]
        store.insert(records)
        won: list[tuple[int, int]] = []

        def work() -> None:
            for _ in range(15):
                found = store.get([r.key for r in records])
                writes = [(replace(r, rev=r.rev + 1, attempt=r.attempt + 1), r.rev) for r in found.values()]
                answers = store.update(writes)
                won.extend((r.firing_ms, r.attempt) for (r, _), ok in zip(writes, answers, strict=True) if ok)

        run_together([work] * 6)
        assert len(won) == len(set(won)), "two writers began the same attempt"
        assert sum(r.attempt - 1 for r in store.get([r.key for r in records]).values()) == len(won)


class TestGet:
    def test_takes_any_number(self, store: ExecutionStore, key: Key) -> None:
        records = [execution(key, START_MS + n) for n in range(130)]
        store.insert(records)
        keys = [r.key for r in records]
        assert store.get([*keys, ExecutionKey(key.tenant, key.id, 1)]) == {r.key: r for r in records}

    def test_missing_ones_are_left_out(self, store: ExecutionStore, key: Key) -> None:
        record = execution(key, START_MS)
        store.insert([record])
        absent = replace(record, manual=True).key
        assert store.get([record.key, absent, record.key]) == {record.key: record}
        assert store.get([]) == {}


class TestOfSchedule:
    def test_range_includes_both_ends(self, store: ExecutionStore, key: Key) -> None:
        for n in range(5):
            store.insert([execution(key, START_MS + n)])
        store.insert([execution(key, START_MS + 3, manual=True)])
        found, after = store.of_schedule(key, START_MS + 1, START_MS + 3, 10, None)
        assert [(r.firing_ms - START_MS, r.manual) for r in found] == [(3, True), (3, False), (2, False), (1, False)]
        assert after is None
        assert store.of_schedule(key, START_MS + 9, START_MS + 8, 10, None) == ([], None)
        assert store.of_schedule(key, -5, START_MS, 10, None)[0] == [execution(key, START_MS)]

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_pages(self, store: ExecutionStore, new_key: KeyMaker, newest_first: bool) -> None:
        key, other = new_key(), new_key()
        records = [execution(key, START_MS + n // 2, manual=bool(n % 2)) for n in range(7)]
        store.insert([*records, execution(other, START_MS)])
        expected = records[::-1] if newest_first else records
        found: list[Execution] = []
        after = None
        for number in range(3):
            page, after = store.of_schedule(key, 0, FAR_MS, 3, after, newest_first)
            found += page
            assert (after is None) == (number == 2)
        assert found == expected

    def test_a_full_last_page_ends(self, store: ExecutionStore, key: Key) -> None:
        store.insert([execution(key, START_MS + n) for n in range(3)])
        assert store.of_schedule(key, 0, FAR_MS, 3, None)[1] is None

    def test_sees_what_was_just_written(self, store: ExecutionStore, key: Key) -> None:
        record = execution(key, START_MS)
        store.insert([record])
        store.update([(replace(record, rev=2, attempt=2), 1)])
        assert store.of_schedule(key, 0, FAR_MS, 3, None)[0][0].attempt == 2


class TestRecent:
    def test_merges_shards_newest_first(self, store: ExecutionStore, tenant: str, new_key: KeyMaker) -> None:
        a, b, c = new_key(), new_key(), new_key()
        for n, (at, shard) in enumerate(((a, 0), (b, 1), (a, 0), (c, 2), (b, 1))):
            store.insert([execution(at, START_MS + n, shard)])
        page = store.recent(tenant, [0, 1, 2], 0, FAR_MS, 10, None)
        assert [(k.firing_ms - START_MS, k.schedule_id) for k in page.keys] == [
            (4, b.id),
            (3, c.id),
            (2, a.id),
            (1, b.id),
            (0, a.id),
        ]
        assert page.after is None
        assert {k.firing_ms - START_MS for k in store.recent(tenant, [0], 0, FAR_MS, 10, None).keys} == {0, 2}

    def test_range_includes_both_ends(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        store.insert([execution(key, START_MS + n) for n in range(5)])
        found = store.recent(tenant, [0], START_MS + 1, START_MS + 3, 10, None)
        assert [k.firing_ms - START_MS for k in found.keys] == [3, 2, 1]
        assert store.recent(tenant, [0], START_MS + 3, START_MS + 1, 10, None).keys == []

    def test_only_of_the_tenant(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        store.insert([execution(key, START_MS)])
        assert store.recent(tenant + "x", [0], 0, FAR_MS, 10, None) == ([], None)

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 12, 13])
    def test_pages_through_equal_instants(
        self, store: ExecutionStore, tenant: str, new_key: KeyMaker, limit: int
    ) -> None:
        records = [
            execution(new_key(), START_MS + n // 4, n % 3, manual=manual) for n in range(6) for manual in (False, True)
        ]
        store.insert(records)
        found: list[ExecutionKey] = []
        after = None
        for _ in range(-(-len(records) // limit)):
            page = store.recent(tenant, [0, 1, 2], 0, FAR_MS, limit, after)
            found += page.keys
            after = page.after
        assert after is None
        assert found == sorted((r.key for r in records), key=lambda k: (k.firing_ms, k.id), reverse=True)

    @pytest.mark.parametrize("limit", [7, 20, 30, 60])
    def test_a_shard_that_has_most_of_it_is_read_to_the_end(
        self, store: ExecutionStore, tenant: str, new_key: KeyMaker, limit: int
    ) -> None:
        shards = range(8)
        records = [execution(new_key(), START_MS + n, 5 if n % 9 else n % 8) for n in range(60)]
        store.insert(records)
        newest, after, found = [r.key for r in reversed(records)], None, list[ExecutionKey]()
        while len(found) < 60:
            page = store.recent(tenant, shards, 0, FAR_MS, limit, after)
            assert page.keys == newest[len(found) : len(found) + limit]
            found, after = found + page.keys, page.after
        assert after is None

    def test_counting(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        store.insert([execution(key, START_MS + n) for n in range(70)])
        store.insert([execution(key, START_MS + 5, 1, manual=True)])
        assert store.count_recent(tenant, {0: START_MS + 3}, START_MS + 68, 1000) == 66
        assert store.count_recent(tenant, {0: 0}, FAR_MS, 65) == 65
        assert store.count_recent(tenant, {0: 0}, FAR_MS, 70) == 70
        assert store.count_recent(tenant, {1: START_MS + 5}, START_MS + 5, 9) == 1
        assert store.count_recent(tenant, {2: 0}, FAR_MS, 9) == 0
        assert store.count_recent(tenant, {0: START_MS + 9}, START_MS + 8, 9) == 0

    def test_counting_in_several_shards(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        store.insert([execution(key, START_MS + n, n % 3) for n in range(30)])
        assert store.count_recent(tenant, {0: 0, 1: START_MS + 10, 2: START_MS + 29}, FAR_MS, 100) == 10 + 7 + 1
        assert store.count_recent(tenant, {0: 0, 1: START_MS + 10, 2: START_MS + 29}, FAR_MS, 5) == 5 + 5 + 1
        assert store.count_recent(tenant, {0: START_MS + 9, 2: START_MS + 5}, START_MS + 8, 9) == 0 + 2
        assert store.count_recent(tenant, {}, FAR_MS, 9) == 0

    def test_pages_are_stable_under_new_ones(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        store.insert([execution(key, START_MS + n) for n in range(6)])
        first = store.recent(tenant, [0], 0, FAR_MS, 3, None)
        store.insert([execution(key, START_MS + 50), execution(key, START_MS + 1, manual=True)])
        second = store.recent(tenant, [0], 0, FAR_MS, 9, first.after)
        assert [(k.firing_ms - START_MS, k.manual) for k in second.keys] == [
            (2, False),
            (1, True),
            (1, False),
            (0, False),
        ]

    def test_updates_leave_the_order_alone(self, store: ExecutionStore, tenant: str, key: Key) -> None:
        record = execution(key, START_MS)
        store.insert([record, execution(key, START_MS + 1)])
        store.update([(replace(record, rev=2, state=COMPLETED, finished_ms=FAR_MS), 1)])
        assert [k.firing_ms - START_MS for k in store.recent(tenant, [0], 0, FAR_MS, 9, None).keys] == [1, 0]


class TestOpenIndex:
    """A record is in it while ``is_listed_open`` says so, under its ``open_until_ms``."""

    def until(self, store: ExecutionStore, shard: int, until_ms: int = FAR_MS) -> list[ExecutionKey]:
        return store.open_until(shard, until_ms, 100).keys

    def test_a_quick_one_never_enters(self, store: ExecutionStore, shard: int, key: Key) -> None:
        record = execution(key, START_MS, shard)
        assert not is_listed_open(record)
        store.insert([record])
        assert self.until(store, shard) == []
        done = finish(record, AttemptResult("completed"), RetryPolicy(), START_MS, START_MS + 5)
        assert store.update([(done, 1)]) == [True]
        assert self.until(store, shard) == []

    def test_one_through_all_its_states(self, store: ExecutionStore, shard: int, key: Key) -> None:
        record = execution(key, START_MS, shard)
        store.insert([record])
        policy = RetryPolicy(max_attempts=2, jitter=False)

        def write(after: Execution, before: Execution) -> Execution:
            assert store.update([(after, before.rev)]) == [True]
            listed = self.until(store, shard)
            assert listed == ([after.key] if after.is_open else [])
            if after.open_until_ms is not None:
                assert self.until(store, shard, after.open_until_ms) == [after.key]
                assert self.until(store, shard, after.open_until_ms - 1) == []
            assert stored(store, record) == after
            return after

        marked = write(running(record, START_MS, START_MS + 300_000), record)
        waiting = write(finish(marked, AttemptResult("failed", error="x"), policy, START_MS, START_MS + 50), marked)
        again = write(claim(waiting, "w2", 2, START_MS + 1050), waiting)
        failed = write(finish(again, AttemptResult("failed"), policy, START_MS + 1060, START_MS + 1070), again)
        reopened = write(reopen(failed, START_MS + 90_000), failed)
        retried = write(claim(reopened, "w3", 3, START_MS + 90_001), reopened)
        write(finish(retried, AttemptResult("completed"), policy, START_MS + 90_002, START_MS + 90_003), retried)

    def test_requested_and_late_ones_enter_at_once(self, store: ExecutionStore, shard: int, new_key: KeyMaker) -> None:
        requested = execution(new_key(), START_MS, shard, requested=True, lease_until_ms=None, retry_at_ms=START_MS + 1)
        late = execution(new_key(), START_MS, shard, created_ms=START_MS + 70_000)
        store.insert([requested, late])
        assert self.until(store, shard) == [requested.key, late.key]
        done = [
            finish(
                claim(requested, "w", 1, START_MS), AttemptResult("completed"), RetryPolicy(), START_MS, START_MS + 9
            )
        ]
        done.append(finish(late, AttemptResult("completed"), RetryPolicy(), START_MS, START_MS + 9))
        assert store.update([(r, 1) for r in done]) == [True, True]
        assert self.until(store, shard) == []

    def test_a_settled_one_never_enters(self, store: ExecutionStore, shard: int, key: Key) -> None:
        missed = execution(key, START_MS, shard, state="missed", lease_until_ms=None, finished_ms=START_MS)
        store.insert([missed])
        assert self.until(store, shard) == []

    def test_earliest_first_with_a_limit(self, store: ExecutionStore, shard: int, key: Key) -> None:
        records = [
            execution(key, START_MS + n, shard, requested=True, lease_until_ms=START_MS + 10 * (5 - n))
            for n in range(5)
        ]
        store.insert(records)
        first = store.open_until(shard, START_MS + 40, 3)
        assert first.keys == [records[4].key, records[3].key, records[2].key]
        assert store.open_until(shard, START_MS + 40, 3, first.after).keys == [records[1].key]
        assert store.open_until(shard + 1_000_000, FAR_MS, 3) == ([], None)

    def test_pages_hold_each_once_where_many_end_at_one_instant_and_entries_move(
        self, store: ExecutionStore, shard: int, key: Key
    ) -> None:
        records = [
            execution(key, START_MS + n, shard, requested=True, lease_until_ms=START_MS + 10 * (n > 4))
            for n in range(7)
        ]
        store.insert(records)
        found: list[ExecutionKey] = []
        after: str | None = None
        for _ in range(10):
            page = store.open_until(shard, FAR_MS, 2, after)
            found += page.keys
            after = page.after
            if after is None:
                break
            last = next(r for r in records if r.key == page.keys[-1])  # the entry that the page ended with goes away
            assert store.update([(replace(last, rev=2, state=COMPLETED, finished_ms=START_MS), 1)]) == [True]
        assert after is None
        assert found == [r.key for r in records]

    def test_a_write_that_lost_moves_nothing(self, store: ExecutionStore, shard: int, key: Key) -> None:
        record = execution(key, START_MS, shard, requested=True)
        store.insert([record])
        assert store.update([(replace(record, rev=4, state=COMPLETED, finished_ms=1), 3)]) == [False]
        assert self.until(store, shard) == [record.key]


class TestEndedBadly:
    def test_counts_from_an_instant_and_no_further_than_asked(self, stores: Stores, key: Key, shard: int) -> None:
        ends = [("failed", 10), ("timeout", 20), ("cancelled", 30), ("completed", 40), ("missed", 50), ("failed", 60)]
        for n, (ended, at) in enumerate(ends):
            record = execution(key, START_MS + n, shard, state=ended, finished_ms=START_MS + at)
            assert stores.executions.insert([record]) == [True]
        assert stores.executions.ended_badly([shard], START_MS, 10) == 3
        assert stores.executions.ended_badly([shard], START_MS + 20, 10) == 2
        assert stores.executions.ended_badly([shard], START_MS + 21, 10) == 1
        assert stores.executions.ended_badly([shard], START_MS, 2) == 2
        assert stores.executions.open_until(shard, START_MS * 2, 10).keys == []
        assert stores.executions.oldest_bad_ms(shard, START_MS) == min(
            START_MS + at for ended, at in ends if ended in ("failed", "timeout")
        )
        assert (stores.executions.oldest_bad_ms(shard, START_MS + 20) or 0) >= START_MS + 20
        assert stores.executions.oldest_bad_ms(shard, START_MS * 2) is None

    def test_counts_in_several_shards_and_in_each_no_further_than_asked(
        self, stores: Stores, key: Key, shard: int
    ) -> None:
        other, third = shard + 50_000, shard + 100_000
        ends = [(shard, 10), (shard, 20), (shard, 30), (other, 10), (other, 20), (third, 20)]
        for n, (of, at) in enumerate(ends):
            stores.executions.insert([execution(key, START_MS + n, of, state="failed", finished_ms=START_MS + at)])
        several = [shard, other]
        assert stores.executions.ended_badly(several, START_MS, 10) == 5
        assert stores.executions.ended_badly(several, START_MS + 20, 10) == 3
        assert stores.executions.ended_badly(several, START_MS, 2) == 4
        assert stores.executions.ended_badly([], START_MS, 2) == 0

    def test_a_retry_takes_it_back(self, stores: Stores, key: Key, shard: int) -> None:
        record = execution(key, START_MS, shard)
        failed = replace(record, rev=2, state="failed", finished_ms=START_MS + 9)
        again = replace(record, rev=3, state="pending", retry_at_ms=START_MS + 100, lease_until_ms=None)
        done = replace(record, rev=4, state="completed", finished_ms=START_MS + 200)
        stores.executions.insert([record])
        seen = []
        for n, one in enumerate((failed, again, done)):
            assert stores.executions.update([(one, n + 1)]) == [True]
            seen.append(
                (
                    stores.executions.ended_badly([shard], 0, 10),
                    len(stores.executions.open_until(shard, START_MS * 2, 10).keys),
                )
            )
        assert seen == [(1, 0), (0, 1), (0, 0)]
