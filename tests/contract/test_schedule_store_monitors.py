"""What ``ScheduleStore`` says of monitors, on every adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import NameTaken, RevisionLost, ScheduleChange
from tests.kit.records import START_MS, edited, schedule

KeyMaker = Callable[[], Key]


def monitor(at: Key, shard: int, **fields: Any) -> MonitorState:
    known: dict[str, Any] = {"rev": 1 << 20, "window_ms": 60_000, "since_ms": START_MS, "success_ms": START_MS}
    return MonitorState(tenant=at.tenant, id=at.id, shard=shard, **{**known, "look_ms": START_MS + 60_600, **fields})


class TestMonitors:
    def looked_for(self, stores: Stores, shard: int, until_ms: int) -> list[Key]:
        return list(stores.schedules.due_monitors(shard, until_ms, 100))

    def test_one_begins_with_its_schedule_or_a_change_of_it(self, stores: Stores, key: Key, shard: int) -> None:
        made = schedule(key, shard)
        first, second = monitor(key, shard), monitor(key, shard, rev=2 << 20, since_ms=START_MS + 9, look_ms=START_MS)
        stores.schedules.create(made, None, first)
        assert stores.schedules.monitors([key]) == {key: first}
        after = edited(made, "v2", START_MS + 9)
        with pytest.raises(RevisionLost):
            stores.schedules.change(
                ScheduleChange(
                    after.state, replace(made.state, rev=7), after.definition, None, None, None, None, second
                )
            )
        assert stores.schedules.monitors([key]) == {key: first}
        stores.schedules.change(
            ScheduleChange(after.state, made.state, after.definition, None, None, None, None, second)
        )
        assert stores.schedules.monitors([key]) == {key: second}
        assert stores.schedules.get([key]) == {key: after}

    def test_a_change_without_one_leaves_it(self, stores: Stores, key: Key, shard: int) -> None:
        made, known = schedule(key, shard), monitor(key, shard)
        stores.schedules.create(made, None, known)
        after = edited(made, "v2", START_MS + 9)
        stores.schedules.change(ScheduleChange(after.state, made.state, after.definition, None, None, None))
        assert stores.schedules.monitors([key]) == {key: known}

    def test_a_refused_schedule_is_not_watched(self, stores: Stores, new_key: KeyMaker, shard: int) -> None:
        first, second = new_key(), new_key()
        stores.schedules.create(schedule(first, shard, name="n"))
        with pytest.raises(NameTaken):
            stores.schedules.create(schedule(second, shard, name="n"), None, monitor(second, shard))
        assert stores.schedules.monitors([first, second]) == {}
        assert self.looked_for(stores, shard, START_MS * 2) == []

    def test_it_is_written_and_dropped_over_the_rev_that_was_read(self, stores: Stores, key: Key, shard: int) -> None:
        known = monitor(key, shard)
        assert not stores.schedules.write_monitor(known, known.rev)
        stores.schedules.create(schedule(key, shard), None, known)
        silent = replace(known, rev=known.rev + 1, silent_ms=START_MS + 60_000, told=True, look_ms=START_MS + 90_000)
        assert stores.schedules.write_monitor(silent, known.rev)
        assert not stores.schedules.write_monitor(replace(silent, told=False), known.rev)
        assert stores.schedules.monitors([key]) == {key: silent}
        assert not stores.schedules.drop_monitor(key, known.rev)
        assert stores.schedules.drop_monitor(key, silent.rev)
        assert not stores.schedules.drop_monitor(key, silent.rev)
        assert stores.schedules.monitors([key]) == {}

    def test_those_to_look_at_come_earliest_first(self, stores: Stores, new_key: KeyMaker, shard: int) -> None:
        keys = [new_key() for _ in range(4)]
        for number, at in enumerate(keys):
            stores.schedules.create(schedule(at, shard), None, monitor(at, shard, look_ms=START_MS - number))
        assert self.looked_for(stores, shard, START_MS - 1) == keys[:0:-1]
        assert list(stores.schedules.due_monitors(shard, START_MS, 2)) == keys[:1:-1]
        stores.schedules.drop_monitor(keys[3], 1 << 20)
        stores.schedules.write_monitor(monitor(keys[2], shard, rev=2 << 20, look_ms=START_MS + 5), 1 << 20)
        assert self.looked_for(stores, shard, START_MS) == [keys[1], keys[0]]
        assert {due.key for due in stores.schedules.due(shard, START_MS + 9_000, 100)} == set(keys)
        assert self.looked_for(stores, shard + 100_000, START_MS * 2) == []
