"""A call about a schedule whose answer was lost may be made again, and two that race are both done."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Definition, Schedule
from chalicelib.ports.stores.schedules import HalfMade, ScheduleFilter
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000
RATE = {"type": "RATE", "expr": "rate:1h"}


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def test_a_create_that_is_run_again_under_its_id_finds_what_it_made(plant: Plant) -> None:
    new = plant.services.ids.ulid(T0)
    first = schedules.create(plant.services, CALLER, ScheduleRequest(**RATE), new)
    assert schedules.create(plant.services, CALLER, ScheduleRequest(**RATE), new) == first
    found, after = schedules.page(plant.services, CALLER, ScheduleFilter(), 10, None)
    assert (found, after) == ([first], None)


def test_a_name_is_one_owners_until_its_schedule_is_deleted(plant: Plant) -> None:
    first = plant.create(**RATE, name="n")
    plant.create(**RATE, name="n", owner="another")
    with pytest.raises(Conflict) as refused:
        plant.create(**RATE, name="n")
    assert refused.value.code == "name_taken"
    schedules.delete(plant.services, CALLER, first, None)
    assert plant.create(**RATE, name="n") != first


def test_a_trigger_that_is_run_again_fires_no_second_time(plant: Plant) -> None:
    made = plant.create(**RATE)
    asked = (plant.services, CALLER, made, None, None)
    first = schedules.trigger(*asked, ("request", T0))
    assert schedules.trigger(*asked, ("request", T0)).id == first.id
    plant.run_until(T0 + 5_000)
    assert plant.bus.instants(made) == [first.firing_ms]


def test_two_triggers_of_one_millisecond_are_two_firings(plant: Plant) -> None:
    made = plant.create(**RATE)
    instants = [schedules.trigger(plant.services, CALLER, made, None, None).firing_ms for _ in range(3)]
    assert instants == [T0, T0 + 1, T0 + 2]
    plant.run_until(T0 + 5_000)
    assert sorted(plant.bus.instants(made)) == instants


def test_what_was_deleted_is_found_by_nobody_and_its_executions_stay(plant: Plant) -> None:
    made = plant.create(type="RATE", expr="rate:1s")
    plant.run_until(T0 + 3_500)
    schedules.delete(plant.services, CALLER, made, None)
    with pytest.raises(NotFound):
        plant.get(made)
    with pytest.raises(NotFound):
        schedules.delete(plant.services, CALLER, made, None)
    plant.run_until(T0 + 10_000)
    assert plant.bus.instants(made) == [T0 + 1_000, T0 + 2_000, T0 + 3_000]
    assert [e.firing_ms for e in plant.executions(made) if e.state == "completed"] == plant.bus.instants(made)


def test_a_creation_goes_on_with_what_a_run_before_it_had_written() -> None:
    s = Plant(T0).services

    class HalfThere:
        """Schedules whose first creation meets the definition of a run that died."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self.found: list[Definition] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def create(self, schedule: Schedule, *more: Any) -> None:
            if not self.found:
                self.found.append(replace(schedule.definition, version="v-of-before"))
                raise HalfMade(self.found[0])
            self._inner.create(schedule, *more)

    store = HalfThere(s.stores.schedules)
    name = s.ids.ulid(s.clock.now_ms())
    made = schedules.create(with_stores(s, schedules=store), CALLER, ScheduleRequest(**RATE), name)
    assert made.definition == store.found[0]
    assert made.state.current.id == "v-of-before"
    assert schedules.get(s, CALLER, name) == made
