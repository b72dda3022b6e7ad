"""What a change of a schedule takes back and leaves, and when it is acknowledged: nothing taken back is sent then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import progress
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


# -- the wait of a DELAY


@pytest.mark.parametrize("delay_s", [10, 1200], ids=("queued", "not queued yet"))
def test_an_edit_of_something_else_leaves_a_delay_in_its_wait(delay_s: int) -> None:
    plant, delay_ms = Plant(START_MS), delay_s * 1000
    chained = plant.create(type="DELAY", expr=f"delay:{delay_s}s")
    for number in range(1, 6):
        plant.run_until(START_MS + number * delay_ms // 6)
        edit(plant, chained, tags=(f"edit {number}",), max_runs=5 + number)
        assert next_run_ms(plant, chained) == START_MS + delay_ms
    plant.run_until(START_MS + delay_ms + 10)
    edit(plant, chained, payload='"after a run"')
    plant.run_until(START_MS + 3 * delay_ms + 500)
    assert plant.bus.instants(chained) == [START_MS + number * delay_ms for number in (1, 2, 3)]
    assert progress(plant.get(chained), plant.clock.now_ms()).run_count == 3


def test_an_edit_beside_the_claim_of_a_delay_neither_doubles_nor_moves_it() -> None:
    plant = Plant(START_MS, lead_ms=5_000)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=2)
    for second in (6, 8, 9):  # that of second 10 is claimed
        plant.run_until(START_MS + second * 1000)
        edit(plant, chained, payload=str(second))
    plant.run_until(START_MS + 60_000)
    assert plant.bus.instants(chained) == [START_MS + 10_000, START_MS + 20_000]
    assert [json.loads(d.event)["data"] for _, d in plant.bus.firings(chained)] == [9, 9]


@pytest.mark.parametrize(
    ("edited", "next_ms"),
    [
        ({"end_at_ms": START_MS + 20_000}, 20_000),
        ({"end_at_ms": START_MS + 19_999}, None),
        ({"expr": "delay:20s"}, 35_020),
        ({"start_at_ms": START_MS + 17_000}, 17_000),
        ({"exclude": ((START_MS, START_MS + 1),)}, 25_020),
    ],
)
def test_an_edit_of_the_recurrence_of_a_delay_begins_a_new_wait_and_an_earlier_end_ends_it(
    edited: dict[str, Any], next_ms: int | None
) -> None:
    plant = Plant(START_MS)
    chained = plant.create(type="DELAY", expr="delay:10s")
    plant.run_until(START_MS + 15_000)
    edit(plant, chained, **edited)
    shown_ms = next_run_ms(plant, chained)
    assert (None if shown_ms is None else shown_ms - START_MS) == next_ms
    plant.run_until(START_MS + 36_000)
    ran_ms = [at_ms - START_MS for at_ms in plant.bus.instants(chained)]
    assert ran_ms[:2] == ([10_000] if next_ms is None else [10_000, next_ms])


def edit(plant: Plant, schedule_id: str, **fields: Any) -> None:
    schedules.edit(plant.services, CALLER, schedule_id, ScheduleRequest(**fields), None)


def next_run_ms(plant: Plant, schedule_id: str) -> int | None:
    return progress(plant.get(schedule_id), plant.clock.now_ms()).next_run_ms
