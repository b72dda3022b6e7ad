"""How ``ScheduleStore`` creates and changes schedules, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.limits import PAYLOAD_MAX_BYTES
from chalicelib.core.schedules.schedule import FailurePause, Key, Monitor, RetryPolicy, Schedule, VersionRef
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import (
    NameTaken,
    RevisionLost,
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


class TestCreate:
    def test_writes_both_items(self, store: ScheduleStore, key: Key) -> None:
        made = schedule(key)
        store.create(made)
        assert store.get([key]) == {key: made}
        assert store.states([key]) == {key: made.state}
        assert store.definitions([key]) == {key: made.definition}
        assert store.epochs([key]) == {key: 1}

    def test_keeps_every_field_as_it_was(self, store: ScheduleStore, key: Key) -> None:
        rich = Schedule(
            definition(
                key,
                version="v9",
                until_ms=LATER_MS,
                active=False,
                name='näme "quoted" 🎉',
                type="CRON",
                expr="*/5 * * * *",
                timezone="Europe/Berlin",
                start_at_ms=START_MS,
                end_at_ms=LATER_MS,
                max_runs=7,
                payload=' {"a": [1, 2.50, "\\u00e9\\n"], "b" : null} ',
                target={"type": "webhook", "url": "https://x", "headers": {"A": "b"}, "timeout_ms": 3, "async": True},
                owner="o#1%23",
                shard_key="s",
                sla_ms=0,
                overlap="queue",
                catch_up_window_ms=0,
                jitter_ms=5,
                dst_gap="skip",
                dst_overlap="twice",
                exclude=((1, 2), "0 0 * * *", (3, 4)),
                retry_policy=RetryPolicy(5, "fixed", 1, 2, False),
                timeout_ms=9,
                pause_after_failures=4,
                failures_from_ms=START_MS,
                failure_pauses=(FailurePause("e-1", 4, LATER_MS),),
                paused_until_ms=LATER_MS,
                monitor=Monitor(60_000),
                tags=("b", "a", "b"),
                note="why",
                zone_data="2026f",
            ),
            state(
                key,
                shard=3,
                rev=4,
                epoch=5,
                versions=(VersionRef("v8", 1, True), VersionRef("v9", 2, False)),
                status="paused",
                run_count=6,
                fence=1 << 40,
                claims=((1, 2), (3, 4)),
                spans=(ClaimSpan(5, 0, 1, 1 << 40, "ö"), ClaimSpan(6, 1_000, 25, 7, "me")),
                reached_ms=24_006,
                queued_ms=8,
            ),
        )
        store.create(rich)
        assert store.get([key]) == {key: rich}
        assert store.states([key])[key].versions[0] == VersionRef("v8", 1, True)

    def test_payload_may_be_large(self, store: ScheduleStore, key: Key) -> None:
        made = schedule(key, payload='"' + "x" * (PAYLOAD_MAX_BYTES - 2) + '"')
        store.create(made)
        assert store.get([key]) == {key: made}

    def test_an_id_that_exists_is_refused_and_nothing_written(self, store: ScheduleStore, key: Key) -> None:
        store.create(schedule(key))
        with pytest.raises(RevisionLost):
            store.create(schedule(key, payload='"other"', name="other"))
        assert store.get([key]) == {key: schedule(key)}
        store.create(schedule(Key(key.tenant, key.id[:-1] + "_"), name="other"))  # the name was not taken

    def test_an_id_that_was_deleted_is_refused(self, store: ScheduleStore, key: Key) -> None:
        made = schedule(key)
        store.create(made)
        store.change(deletion_of(made, LATER_MS))
        with pytest.raises(RevisionLost):
            store.create(made)

    def test_a_name_is_unique_within_its_owner(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        first, second, third = new_key(), new_key(), new_key()
        store.create(schedule(first, name="n", owner="a"))
        with pytest.raises(NameTaken):
            store.create(schedule(second, name="n", owner="a"))
        assert store.states([second]) == {}
        store.create(schedule(second, name="n", owner="b"))
        store.create(schedule(third, name="N", owner="a"))

    def test_names_are_unique_per_tenant_only(self, store: ScheduleStore, key: Key) -> None:
        store.create(schedule(key, name="n"))
        store.create(schedule(Key(key.tenant + "x", key.id), name="n"))

    def test_separators_in_names_do_not_mix_owners_up(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        for owner, name in (("a", "b#c"), ("a#b", "c"), ("a%23b", "c"), ("a", "b%23c")):
            store.create(schedule(new_key(), owner=owner, name=name))

    def test_separators_in_tenants_do_not_mix_schedules_up(self, store: ScheduleStore, key: Key) -> None:
        tenants = [f"{key.tenant}{suffix}" for suffix in ("#", "%23", "%", "#name#a")]
        for each in tenants:
            store.create(schedule(Key(each, key.id)))
        assert set(store.get([Key(t, key.id) for t in tenants])) == {Key(t, key.id) for t in tenants}

    def test_repeating_a_named_create_is_a_lost_revision_not_a_taken_name(self, store: ScheduleStore, key: Key) -> None:
        """Whoever repeats a create whose answer was lost must learn that the id exists."""
        store.create(schedule(key, name="n"))
        with pytest.raises(RevisionLost):
            store.create(schedule(key, name="n"))

    def test_of_many_at_once_with_one_name_one_wins(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        keys = [new_key() for _ in range(8)]
        outcomes: list[str] = []

        def create(at: Key) -> None:
            try:
                store.create(schedule(at, name="contested"))
                outcomes.append("won")
            except NameTaken:
                outcomes.append("taken")

        run_together([lambda k=k: create(k) for k in keys])
        assert sorted(outcomes) == ["taken"] * 7 + ["won"]
        assert len(store.get(keys)) == 1


class TestChange:
    def test_replaces_state_and_definition_and_keeps_the_snapshot(self, store: ScheduleStore, key: Key) -> None:
        before = schedule(key, payload='{"old":1}')
        after = edited(before, "v2", LATER_MS, payload='{"new":1}')
        snapshot = replace(before.definition, until_ms=LATER_MS)
        store.create(before)
        store.change(change_of(before, after, snapshot))
        assert store.get([key]) == {key: after}
        assert store.snapshots([Versioned(key, "v1")]) == {Versioned(key, "v1"): snapshot}
        assert store.epochs([key]) == {key: 2}

    def test_a_moved_revision_is_refused_and_nothing_written(self, store: ScheduleStore, key: Key) -> None:
        before = schedule(key, name="n")
        after = edited(before, "v2", LATER_MS, name="m")
        store.create(before)
        assert store.write_states([(before.state.claimed(1, 1, 1), 1)]) == [True]
        with pytest.raises(RevisionLost):
            store.change(change_of(before, after, replace(before.definition, until_ms=LATER_MS)))
        assert store.definitions([key]) == {key: before.definition}
        assert store.snapshots([Versioned(key, "v1")]) == {}
        store.create(schedule(Key(key.tenant, key.id[:-1] + "_"), name="m"))  # the new name was not taken

    def test_of_what_does_not_exist_is_refused(self, store: ScheduleStore, key: Key) -> None:
        before = schedule(key)
        with pytest.raises(RevisionLost):
            store.change(change_of(before, edited(before, "v2", LATER_MS)))
        assert store.states([key]) == {}
        assert store.definitions([key]) == {}

    def test_a_rename_frees_the_old_name_and_takes_the_new(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        first, second, third = new_key(), new_key(), new_key()
        before = schedule(first, name="old")
        after = edited(before, "v2", LATER_MS, name="new")
        store.create(before)
        store.change(change_of(before, after))
        with pytest.raises(NameTaken):
            store.create(schedule(second, name="new"))
        store.create(schedule(third, name="old"))

    def test_a_change_of_owner_moves_the_name(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        before = schedule(new_key(), name="n", owner="a")
        store.create(before)
        store.change(change_of(before, edited(before, "v2", LATER_MS, owner="b")))
        store.create(schedule(new_key(), name="n", owner="a"))
        with pytest.raises(NameTaken):
            store.create(schedule(new_key(), name="n", owner="b"))

    def test_a_rename_to_a_taken_name_is_refused_and_nothing_written(
        self, store: ScheduleStore, new_key: KeyMaker
    ) -> None:
        holder, before = schedule(new_key(), name="taken"), schedule(new_key(), name="mine")
        store.create(holder)
        store.create(before)
        with pytest.raises(NameTaken):
            store.change(change_of(before, edited(before, "v2", LATER_MS, name="taken")))
        key = before.state.key
        assert store.get([key]) == {key: before}
        with pytest.raises(NameTaken):
            store.create(schedule(new_key(), name="mine"))

    def test_a_name_that_is_its_own_may_be_taken_again(self, store: ScheduleStore, key: Key) -> None:
        before = schedule(key, name="n")
        store.create(before)
        after = edited(before, "v2", LATER_MS)
        store.change(replace(change_of(before, after), old_name=None))
        assert store.get([key]) == {key: after}

    def test_a_name_that_another_holds_is_not_freed(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        holder, other = schedule(new_key(), name="n"), schedule(new_key())
        store.create(holder)
        store.create(other)
        wrong = replace(change_of(other, edited(other, "v2", LATER_MS)), old_name=("anonymous", "n"))
        with pytest.raises(RevisionLost):
            store.change(wrong)
        assert store.get([other.state.key]) == {other.state.key: other}
        with pytest.raises(NameTaken):
            store.create(schedule(new_key(), name="n"))

    def test_equal_names_are_left_alone(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        before = schedule(new_key(), name="n")
        store.create(before)
        store.change(change_of(before, edited(before, "v2", LATER_MS, payload="1")))
        with pytest.raises(NameTaken):
            store.create(schedule(new_key(), name="n"))

    def test_taking_and_dropping_a_name(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        unnamed = schedule(new_key())
        named = edited(unnamed, "v2", LATER_MS, name="n")
        store.create(unnamed)
        store.change(change_of(unnamed, named))
        with pytest.raises(NameTaken):
            store.create(schedule(new_key(), name="n"))
        store.change(change_of(named, edited(named, "v3", LATER_MS, name=None)))
        store.create(schedule(new_key(), name="n"))

    def test_deleting_leaves_a_tombstone_and_frees_the_name(self, store: ScheduleStore, new_key: KeyMaker) -> None:
        made = schedule(new_key(), name="n")
        key = made.state.key
        store.create(made)
        deletion = deletion_of(made, LATER_MS)
        store.change(deletion)
        assert store.get([key]) == {}
        assert store.definitions([key]) == {}
        assert store.states([key]) == {key: deletion.state}
        assert store.epochs([key]) == {key: 2}
        assert store.history(key) == [deletion.snapshot]
        store.create(schedule(new_key(), name="n"))

    def test_of_concurrent_changes_one_wins(self, store: ScheduleStore, key: Key) -> None:
        before = schedule(key)
        store.create(before)
        won: list[str] = []

        def change(version: str) -> None:
            try:
                store.change(change_of(before, edited(before, version, LATER_MS)))
                won.append(version)
            except RevisionLost:
                pass

        run_together([lambda v=f"v{n}": change(v) for n in range(2, 10)])
        assert len(won) == 1
        assert store.get([key])[key].definition.version == won[0]
        assert store.states([key])[key].rev == 2
