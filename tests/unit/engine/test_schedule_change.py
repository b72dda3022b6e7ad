"""When a change of a schedule is acknowledged: nothing that it takes back is sent after that."""

from __future__ import annotations

from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant

START_MS = 1_767_225_600_000


def test_a_change_outlasts_also_what_was_claimed_under_a_version_before_the_one_it_replaces() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(type="RATE", expr="rate:5s")
    plant.run_until(START_MS + 4_500)
    schedules.edit(plant.services, CALLER, schedule_id, ScheduleRequest(expr="rate:1h"), None)
    plant.run_until(START_MS + 4_990)
    began_ms = plant.clock.now_ms()
    schedules.pause(plant.services, CALLER, schedule_id, None, None)
    assert plant.clock.now_ms() - began_ms > RECHECK_AHEAD_MAX_MS


def test_a_change_of_a_schedule_that_fires_nothing_now_is_acknowledged_at_once() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(type="RATE", expr="rate:1h")
    plant.run_until(START_MS + 5_000)
    schedules.pause(plant.services, CALLER, schedule_id, None, None)
    assert plant.clock.now_ms() == START_MS + 5_000
