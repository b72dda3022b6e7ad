"""The limits of what callers create, as edits meet them."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import CapacityExhausted
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.engine import capacity
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


def test_a_schedule_may_grow_in_a_deployment_that_is_full_of_schedules() -> None:
    plant = Plant(T0, job_limit=1)
    beat = plant.create(type="RATE", expr="rate:60s", payload='"short"')
    with pytest.raises(CapacityExhausted):
        plant.create(type="RATE", expr="rate:60s")
    before = capacity.used(plant.services)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(payload='"a good deal longer"'), None)
    after = capacity.used(plant.services)
    assert (before.jobs, after.jobs) == (1, 1)
    assert after.weight_bytes > before.weight_bytes


def test_a_schedule_may_not_grow_beyond_the_memory_that_is_allowed() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:60s", payload='"short"')
    plant.create(type="RATE", expr="rate:60s")
    plant.reconfigure(memory_limit_bytes=capacity.used(plant.services).weight_bytes)
    with pytest.raises(CapacityExhausted):
        schedules.edit(plant.services, CALLER, beat, ScheduleRequest(payload='"longer"'), None)
    assert plant.get(beat).definition.payload == '"short"'


def test_one_that_has_nothing_left_to_do_is_edited_in_a_deployment_that_is_full() -> None:
    plant = Plant(T0, job_limit=1)
    over = plant.create(type="RATE", expr="rate:10s", max_runs=1)
    plant.run_until(T0 + 120_000)
    plant.create(type="RATE", expr="rate:60s")
    schedules.edit(plant.services, CALLER, over, ScheduleRequest(name="done"), None)
    assert capacity.used(plant.services).jobs == 1
    with pytest.raises(CapacityExhausted):
        schedules.edit(plant.services, CALLER, over, ScheduleRequest(max_runs=2), None)
