"""Many changes in one call: each has its own answer, and a call that is run again does no more."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.schedules.limits import TAG_CHANGE_BUDGET_MS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.usecases import bulk, schedules
from chalicelib.usecases.bulk import BulkOperation
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000
RATE = {"type": "RATE", "expr": "rate:1h"}


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def test_one_that_is_refused_does_not_stop_those_behind_it(plant: Plant) -> None:
    ids = [plant.services.ids.ulid(T0) for _ in range(3)]
    wanted = [RATE, {"type": "RATE", "expr": "rate:never"}, RATE]
    operations = [BulkOperation("create", i, ScheduleRequest(**fields)) for i, fields in zip(ids, wanted, strict=True)]
    results = bulk.run(plant.services, CALLER, operations, again=False)
    assert [type(result.error) for result in results] == [type(None), InvalidField, type(None)]
    assert [plant.get(i).definition.id for i in (ids[0], ids[2])] == [ids[0], ids[2]]


def test_a_batch_that_is_run_again_finds_what_it_made_and_what_it_deleted(plant: Plant) -> None:
    new, old = plant.services.ids.ulid(T0), plant.create(**RATE)
    operations = [BulkOperation("create", new, ScheduleRequest(**RATE)), BulkOperation("delete", old)]
    first = bulk.run(plant.services, CALLER, operations, again=False)
    second = bulk.run(plant.services, CALLER, operations, again=True)
    assert [result.error for result in [*first, *second]] == [None] * 4
    assert second[0].schedule == first[0].schedule
    [_, third] = bulk.run(plant.services, CALLER, operations, again=False)
    assert isinstance(third.error, NotFound), "another batch is told that it is gone"


def test_a_change_by_tag_stops_when_its_time_is_over_and_says_where_to_go_on(plant: Plant) -> None:
    made = [plant.create(**RATE, tags=("t",)) for _ in range(4)]

    def take_long(*_: object) -> None:
        plant.clock.sleep_until(plant.clock.now_ms() + TAG_CHANGE_BUDGET_MS // 2)

    slow = with_stores(plant.services, schedules=Watched(plant.services.stores.schedules, "change", take_long))
    first = bulk.by_tag(slow, CALLER, "pause", "t", None, False, None)
    assert len(first.changes) == 2
    rest = bulk.by_tag(plant.services, CALLER, "pause", "t", None, False, first.after)
    assert rest.after is None
    reached = [change.before.definition.id for change in [*first.changes, *rest.changes]]
    assert reached == made[::-1]
    assert not any(plant.get(i).definition.active for i in made)


def test_a_dry_run_tells_the_same_and_writes_nothing(plant: Plant) -> None:
    on, off = plant.create(**RATE, tags=("t",)), plant.create(**RATE, tags=("t",))
    bulk.run(plant.services, CALLER, [BulkOperation("pause", off)], again=False)
    told = bulk.by_tag(plant.services, CALLER, "pause", "t", None, True, None)
    assert {change.before.definition.id: change.changed for change in told.changes} == {on: True, off: False}
    assert plant.get(on).definition.active


def test_a_pause_by_tag_makes_a_pause_longer_and_none_shorter(plant: Plant) -> None:
    made = [plant.create(type="RATE", expr="rate:1h", tags=("t",)) for _ in range(3)]
    hour_ms = 3_600_000
    ends = {made[0]: T0 + 2 * hour_ms, made[1]: T0 + 5 * hour_ms, made[2]: None}
    for schedule_id, until_ms in ends.items():
        schedules.pause(plant.services, CALLER, schedule_id, None, None, until_ms)

    def pause(until_ms: int | None) -> list[str]:
        done = bulk.by_tag(plant.services, CALLER, "pause", "t", None, False, None, until_ms)
        return [each.before.definition.id for each in done.changes if each.changed]

    assert pause(T0 + 4 * hour_ms) == [made[0]]
    assert plant.get(made[0]).definition.paused_until_ms == T0 + 4 * hour_ms
    assert pause(T0 + 4 * hour_ms) == []
    assert pause(None) == [made[1], made[0]]
    assert not any(plant.get(schedule_id).definition.active for schedule_id in made)
