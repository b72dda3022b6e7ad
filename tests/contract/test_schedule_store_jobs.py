"""What ``ScheduleStore`` says of groups of jobs and of names, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Key, VersionRef
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import ScheduleChange
from tests.kit.records import START_MS, schedule, state


def group_of(stores: Stores, tenant: str, group: str) -> list[str]:
    return stores.schedules.jobs(tenant, group, 100, None).ids


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
        stores.schedules.change(ScheduleChange(gone, made.state, None, None, None, None))
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


class TestNamed:
    def test_names_find_their_holders(self, stores: Stores, new_key: Callable[[], Key]) -> None:
        a, b = new_key(), new_key()
        stores.schedules.create(schedule(a, name="n", owner="o"))
        stores.schedules.create(schedule(b, name="n#x", owner="p"))
        wanted = [("o", "n"), ("p", "n#x"), ("p", "n"), ("o", "n")]
        assert stores.schedules.named(a.tenant, wanted) == {("o", "n"): a.id, ("p", "n#x"): b.id}
        assert stores.schedules.named(a.tenant, []) == {}


def test_a_state_keeps_what_capacity_and_jobs_put_there(stores: Stores, key: Key) -> None:
    full = replace(state(key), outcome="timeout", outcome_ms=START_MS, chained=True, counted=3, weight_bytes=70_000)
    stores.schedules.create(replace(schedule(key), state=full))
    assert stores.schedules.states([key]) == {key: full}
