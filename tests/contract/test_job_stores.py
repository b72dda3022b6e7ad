"""What /jobs stands on: the groups of jobs, counters of capacity, names, what ended badly, and log lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.policies.monitor import Watch
from chalicelib.core.schedules.capacity import Move, Room, Used
from chalicelib.core.schedules.schedule import Key, Schedule, VersionRef
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.logs import LogLine
from chalicelib.ports.stores.schedules import Change, NameTaken, NoRoom, RevisionLost
from tests.kit.records import START_MS, edited, execution, schedule, state
from tests.kit.threads import run_together

KeyMaker = Callable[[], Key]

_counter = iter(range(500, 1000))


@pytest.fixture
def counter() -> int:
    """A counter that no other test has."""
    return next(_counter)


def group_of(stores: Stores, tenant: str, group: str) -> list[str]:
    return stores.schedules.jobs(tenant, group, 100, None).ids


def watch(at: Key, shard: int, **fields: Any) -> Watch:
    known: dict[str, Any] = {"rev": 1 << 20, "window_ms": 60_000, "since_ms": START_MS, "success_ms": START_MS}
    return Watch(tenant=at.tenant, id=at.id, shard=shard, **{**known, "look_ms": START_MS + 60_600, **fields})


class TestWatches:
    def looked_for(self, stores: Stores, shard: int, until_ms: int) -> list[Key]:
        return list(stores.schedules.due_watches(shard, until_ms, 100))

    def test_one_begins_with_its_schedule_or_a_change_of_it(self, stores: Stores, key: Key, counter: int) -> None:
        made = schedule(key, counter)
        first, second = watch(key, counter), watch(key, counter, rev=2 << 20, since_ms=START_MS + 9, look_ms=START_MS)
        stores.schedules.create(made, (), first)
        assert stores.schedules.watches([key]) == {key: first}
        after = edited(made, "v2", START_MS + 9)
        with pytest.raises(RevisionLost):
            stores.schedules.change(Change(after.state, 7, after.definition, None, None, None, (), second))
        assert stores.schedules.watches([key]) == {key: first}
        stores.schedules.change(Change(after.state, 1, after.definition, None, None, None, (), second))
        assert stores.schedules.watches([key]) == {key: second}
        assert stores.schedules.get([key]) == {key: after}

    def test_a_change_without_one_leaves_it(self, stores: Stores, key: Key, counter: int) -> None:
        made, known = schedule(key, counter), watch(key, counter)
        stores.schedules.create(made, (), known)
        after = edited(made, "v2", START_MS + 9)
        stores.schedules.change(Change(after.state, 1, after.definition, None, None, None))
        assert stores.schedules.watches([key]) == {key: known}

    def test_a_refused_schedule_is_not_watched(self, stores: Stores, new_key: KeyMaker, counter: int) -> None:
        first, second = new_key(), new_key()
        stores.schedules.create(schedule(first, counter, name="n"))
        with pytest.raises(NameTaken):
            stores.schedules.create(schedule(second, counter, name="n"), (), watch(second, counter))
        assert stores.schedules.watches([first, second]) == {}
        assert self.looked_for(stores, counter, START_MS * 2) == []

    def test_it_is_written_and_dropped_over_the_rev_that_was_read(self, stores: Stores, key: Key, counter: int) -> None:
        known = watch(key, counter)
        assert not stores.schedules.write_watch(known, known.rev)
        stores.schedules.create(schedule(key, counter), (), known)
        silent = replace(known, rev=known.rev + 1, silent_ms=START_MS + 60_000, told=True, look_ms=START_MS + 90_000)
        assert stores.schedules.write_watch(silent, known.rev)
        assert not stores.schedules.write_watch(replace(silent, told=False), known.rev)
        assert stores.schedules.watches([key]) == {key: silent}
        assert not stores.schedules.drop_watch(key, known.rev)
        assert stores.schedules.drop_watch(key, silent.rev)
        assert not stores.schedules.drop_watch(key, silent.rev)
        assert stores.schedules.watches([key]) == {}

    def test_those_to_look_at_come_earliest_first(self, stores: Stores, new_key: KeyMaker, counter: int) -> None:
        keys = [new_key() for _ in range(4)]
        for number, at in enumerate(keys):
            stores.schedules.create(schedule(at, counter), (), watch(at, counter, look_ms=START_MS - number))
        assert self.looked_for(stores, counter, START_MS - 1) == keys[:0:-1]
        assert list(stores.schedules.due_watches(counter, START_MS, 2)) == keys[:1:-1]
        stores.schedules.drop_watch(keys[3], 1 << 20)
        stores.schedules.write_watch(watch(keys[2], counter, rev=2 << 20, look_ms=START_MS + 5), 1 << 20)
        assert self.looked_for(stores, counter, START_MS) == [keys[1], keys[0]]
        assert {due.key for due in stores.schedules.due(counter, START_MS + 9_000, 100)} == set(keys)
        assert self.looked_for(stores, counter + 100_000, START_MS * 2) == []


class TestJobs:
    def test_a_schedule_is_fresh_until_its_first_claim(self, stores: Stores, key: Key) -> None:
        made = schedule(key)
        stores.schedules.create(made)
        assert group_of(stores, key.tenant, "fresh") == [key.id]
        claimed = made.state.claimed(1, START_MS, START_MS)
        assert stores.schedules.write_states([(claimed, 1)]) == [True]
        assert group_of(stores, key.tenant, "fresh") == []
        assert group_of(stores, key.tenant, "ran") == [key.id]

    def test_a_bad_outcome_and_its_repair_move_it(self, stores: Stores, key: Key) -> None:
        made = schedule(key)
        stores.schedules.create(made)
        claimed = made.state.claimed(1, START_MS, START_MS)
        bad = replace(claimed, rev=3, outcome="failed", outcome_ms=START_MS)
        assert stores.schedules.write_states([(claimed, 1)]) == [True]
        assert stores.schedules.write_states([(bad, 2)]) == [True]
        assert (group_of(stores, key.tenant, "failed"), group_of(stores, key.tenant, "ran")) == ([key.id], [])
        assert stores.schedules.states([key])[key] == bad
        assert stores.schedules.write_states([(replace(bad, rev=4, outcome=""), 3)]) == [True]
        assert (group_of(stores, key.tenant, "failed"), group_of(stores, key.tenant, "ran")) == ([], [key.id])

    def test_a_deleted_one_is_in_none(self, stores: Stores, key: Key) -> None:
        made = schedule(key)
        stores.schedules.create(made)
        gone = made.state.with_version(VersionRef("gone", START_MS, False), status="deleted", next_run_ms=None)
        stores.schedules.change(Change(gone, 1, None, None, None, None))
        assert group_of(stores, key.tenant, "fresh") == []

    def test_pages_are_newest_first_and_whole(self, stores: Stores, new_key: Callable[[], Key]) -> None:
        keys = [new_key() for _ in range(7)]
        for at in keys:
            stores.schedules.create(schedule(at))
        found: list[str] = []
        after: str | None = None
        while True:
            page = stores.schedules.jobs(keys[0].tenant, "fresh", 3, after)
            assert len(page.ids) <= 3
            found += page.ids
            after = page.after
            if after is None:
                break
        assert found == [k.id for k in reversed(keys)]

    def test_tenants_are_apart(self, stores: Stores, key: Key) -> None:
        stores.schedules.create(schedule(key))
        assert group_of(stores, key.tenant + "x", "fresh") == []

    def test_a_claim_of_one_that_ran_leaves_the_groups_alone(self, stores: Stores, key: Key) -> None:
        made = schedule(key)
        stores.schedules.create(made)
        first = made.state.claimed(1, START_MS, START_MS)
        second = first.claimed(1, START_MS + 5000, START_MS + 5000)
        assert stores.schedules.write_states([(first, 1)]) == [True]
        assert stores.schedules.write_states([(second, 2)]) == [True]
        assert group_of(stores, key.tenant, "ran") == [key.id]


class TestCapacity:
    def used(self, stores: Stores, counter: int) -> Used:
        return stores.schedules.used().get(counter, Used(0, 0))

    def test_counters_move_with_their_schedule(self, stores: Stores, new_key: Callable[[], Key], counter: int) -> None:
        a, b = new_key(), new_key()
        stores.schedules.create(schedule(a), [Move(counter, 1, 1000)])
        stores.schedules.create(schedule(b), [Move(counter, 1, 500, Room(2, 1500))])
        assert self.used(stores, counter) == Used(2, 1500)
        made = schedule(a)
        gone = made.state.with_version(VersionRef("gone", START_MS, False), status="deleted", next_run_ms=None)
        stores.schedules.change(Change(gone, 1, None, None, None, None, (Move(counter, -1, -1000),)))
        assert self.used(stores, counter) == Used(1, 500)

    @pytest.mark.parametrize("room", [Room(1, None), Room(None, 1999), Room(1, 5000), Room(5, 1999), Room(0, None)])
    def test_without_room_nothing_is_written(
        self, stores: Stores, new_key: Callable[[], Key], counter: int, room: Room
    ) -> None:
        first, second = new_key(), new_key()
        stores.schedules.create(schedule(first), [Move(counter, 1, 1000)])
        with pytest.raises(NoRoom):
            stores.schedules.create(schedule(second, name="n"), [Move(counter, 1, 1000, room)])
        assert self.used(stores, counter) == Used(1, 1000)
        assert stores.schedules.get([second]) == {}
        assert stores.schedules.named(second.tenant, [("anonymous", "n")]) == {}
        assert stores.schedules.jobs(second.tenant, "fresh", 100, None).ids == [first.id]

    @pytest.mark.parametrize(
        ("room", "fits"), [(Room(1, 1000), True), (Room(0, None), False), (Room(None, 999), False)]
    )
    def test_a_counter_that_was_never_moved(
        self, stores: Stores, key: Key, counter: int, room: Room, fits: bool
    ) -> None:
        if not fits:
            with pytest.raises(NoRoom):
                stores.schedules.create(schedule(key), [Move(counter, 1, 1000, room)])
        else:
            stores.schedules.create(schedule(key), [Move(counter, 1, 1000, room)])
        assert (counter in stores.schedules.used()) is fits

    def test_a_change_without_room_changes_nothing(self, stores: Stores, key: Key, counter: int) -> None:
        made = schedule(key, name="a")
        stores.schedules.create(made, [Move(counter, 1, 1000)])
        after = edited(made, "v2", START_MS + 1, name="b")
        names = (("anonymous", "a"), ("anonymous", "b"))
        with pytest.raises(NoRoom):
            stores.schedules.change(
                Change(after.state, 1, after.definition, None, *names, (Move(counter, 0, 1, Room(None, 1000)),))
            )
        assert stores.schedules.get([key])[key] == made
        assert stores.schedules.named(key.tenant, list(names)) == {names[0]: key.id}

    def test_a_lost_race_and_a_taken_name_come_before_the_room(
        self, stores: Stores, new_key: Callable[[], Key], counter: int
    ) -> None:
        at, other = new_key(), new_key()
        stores.schedules.create(schedule(at, name="n"), [Move(counter, 1, 1)])
        full = [Move(counter, 1, 1, Room(1, None))]
        with pytest.raises(RevisionLost):
            stores.schedules.create(schedule(at, name="m"), full)
        with pytest.raises(NameTaken):
            stores.schedules.create(schedule(other, name="n"), full)

    def test_the_limit_holds_among_many_at_once(self, stores: Stores, new_key: Callable[[], Key], counter: int) -> None:
        keys, made = [new_key() for _ in range(24)], list[Key]()

        def create(at: Key) -> None:
            try:
                stores.schedules.create(schedule(at), [Move(counter, 1, 10, Room(10, None))])
            except NoRoom:
                return
            made.append(at)

        run_together([lambda at=at: create(at) for at in keys])  # type: ignore[misc]
        assert len(made) == 10
        assert self.used(stores, counter) == Used(10, 100)
        assert set(stores.schedules.states(keys)) == set(made)

    def test_what_is_spent_is_found_and_released_once(
        self, stores: Stores, new_key: Callable[[], Key], shard: int, counter: int
    ) -> None:
        keys = [new_key() for _ in range(3)]
        made = [spent(at, shard, counter, START_MS + n) for n, at in enumerate(keys)]
        for one in made:
            stores.schedules.create(one, [Move(counter, 1, 100)])
        assert stores.schedules.spent(shard, START_MS + 1, 10) == keys[:2]
        assert stores.schedules.spent(shard, START_MS + 9, 2) == keys[:2]
        assert stores.schedules.due(shard, START_MS * 2, 10) == []
        freed = [(replace(m.state, rev=2, counted=-1), 1) for m in made[:2]]
        moves = [Move(counter, -2, -200)]
        assert stores.schedules.release(freed, moves)
        assert not stores.schedules.release(freed, moves)
        assert self.used(stores, counter) == Used(1, 100)
        assert stores.schedules.spent(shard, START_MS + 9, 10) == keys[2:]

    def test_a_release_is_all_or_nothing(
        self, stores: Stores, new_key: Callable[[], Key], shard: int, counter: int
    ) -> None:
        a, b = (spent(new_key(), shard, counter, START_MS) for _ in range(2))
        for one in (a, b):
            stores.schedules.create(one, [Move(counter, 1, 100)])
        writes = [(replace(a.state, rev=2, counted=-1), 1), (replace(b.state, rev=3, counted=-1), 2)]
        assert not stores.schedules.release(writes, [Move(counter, -2, -200)])
        assert self.used(stores, counter) == Used(2, 200)
        assert stores.schedules.states([a.state.key]) == {a.state.key: a.state}

    @pytest.mark.parametrize(
        ("fields", "listed"),
        [
            ({}, True),
            ({"counted": -1}, False),
            ({"status": "paused"}, False),
            ({"next_run_ms": START_MS + 5000}, False),
            ({"chained": True}, False),
            ({"chained": True, "queued_ms": None}, True),
        ],
    )
    def test_who_counts_and_has_nothing_left_is_spent(
        self, stores: Stores, key: Key, shard: int, fields: dict[str, Any], listed: bool
    ) -> None:
        made = spent(key, shard, 7, START_MS)
        changed = replace(made.state, **fields)
        stores.schedules.create(replace(made, state=changed))
        assert stores.schedules.spent(shard, START_MS, 10) == ([key] if listed else [])


def spent(at: Key, shard: int, counter: int, queued_ms: int) -> Schedule:
    """A schedule whose last instant is on the queue."""
    made = schedule(at, shard, next_run_ms=None)
    return replace(made, state=replace(made.state, queued_ms=queued_ms, counted=counter, weight_bytes=100))


class TestNamed:
    def test_names_find_their_holders(self, stores: Stores, new_key: Callable[[], Key]) -> None:
        a, b = new_key(), new_key()
        stores.schedules.create(schedule(a, name="n", owner="o"))
        stores.schedules.create(schedule(b, name="n#x", owner="p"))
        wanted = [("o", "n"), ("p", "n#x"), ("p", "n"), ("o", "n")]
        assert stores.schedules.named(a.tenant, wanted) == {("o", "n"): a.id, ("p", "n#x"): b.id}
        assert stores.schedules.named(a.tenant, []) == {}


class TestEndedBadly:
    def test_counts_from_an_instant_and_no_further_than_asked(self, stores: Stores, key: Key, shard: int) -> None:
        ends = [("failed", 10), ("timeout", 20), ("cancelled", 30), ("completed", 40), ("missed", 50), ("failed", 60)]
        for n, (ended, at) in enumerate(ends):
            record = execution(key, START_MS + n, shard, state=ended, finished_ms=START_MS + at)
            assert stores.executions.insert([record]) == [True]
        assert stores.executions.ended_badly(shard, START_MS, 10) == 3
        assert stores.executions.ended_badly(shard, START_MS + 20, 10) == 2
        assert stores.executions.ended_badly(shard, START_MS + 21, 10) == 1
        assert stores.executions.ended_badly(shard, START_MS, 2) == 2
        assert stores.executions.open_until(shard, START_MS * 2, 10) == []

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
                    stores.executions.ended_badly(shard, 0, 10),
                    len(stores.executions.open_until(shard, START_MS * 2, 10)),
                )
            )
        assert seen == [(1, 0), (0, 1), (0, 0)]


class TestLogs:
    def line(self, number: int, message: str = "x") -> LogLine:
        return LogLine(number, START_MS + number, "info", message)

    def test_lines_come_back_in_order_and_in_pages(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        assert stores.logs.last(at) == 0
        assert stores.logs.page(at, 10, 0) == ([], None)
        lines = [self.line(n, f'"{n}" \u00e4\n') for n in (3, 1, 12, 2)]
        assert [stores.logs.append(at, line) for line in lines] == [True] * 4
        ordered = sorted(lines, key=lambda line: line.number)
        assert stores.logs.last(at) == 12
        assert stores.logs.page(at, 10, 0) == (ordered, None)
        assert stores.logs.page(at, 3, 0) == (ordered[:3], 3)
        assert stores.logs.page(at, 3, 3) == (ordered[3:], None)
        assert stores.logs.page(at, 4, 0) == (ordered, None)

    def test_a_number_is_given_once(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        assert stores.logs.append(at, self.line(1, "first"))
        assert not stores.logs.append(at, self.line(1, "second"))
        assert stores.logs.page(at, 10, 0)[0] == [self.line(1, "first")]

    def test_executions_are_apart(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        stores.logs.append(at, self.line(1))
        for other in (at._replace(manual=True), at._replace(firing_ms=START_MS + 1), at._replace(tenant="t")):
            assert stores.logs.last(other) == 0

    def test_lines_are_no_executions(self, stores: Stores, key: Key) -> None:
        stores.logs.append(ExecutionKey(key.tenant, key.id, START_MS), self.line(1))
        assert stores.executions.of_schedule(key, 0, START_MS * 2, 10, None) == ([], None)


def test_a_release_of_nobody_moves_the_counter_alone(stores: Stores, key: Key, counter: int) -> None:
    stores.schedules.create(schedule(key), [Move(counter, 1, 10)])
    assert stores.schedules.release([], [Move(counter, -1, -10)])
    assert stores.schedules.used()[counter] == Used(0, 0)


def test_a_state_keeps_what_capacity_and_jobs_put_there(stores: Stores, key: Key) -> None:
    full = replace(state(key), outcome="timeout", outcome_ms=START_MS, chained=True, counted=3, weight_bytes=70_000)
    stores.schedules.create(replace(schedule(key), state=full))
    assert stores.schedules.states([key]) == {key: full}
