"""Edits that meet claims made before them, and claims whose workers died, in virtual time."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory_process import ManualClock
from chalicelib.core import limits
from chalicelib.ports.target import Outcome
from chalicelib.usecases import executions, schedules
from chalicelib.usecases.owed import firing_of
from chalicelib.workers.claim import claim_firings
from tests.unit.workers.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
LATER_EDITS = (0, limits.VERSIONS_INLINE_MAX)  # with the latter, the state does not name what was in force before them


def edit(plant: Plant, schedule_id: str, at_ms: int, **fields: object) -> None:
    """An edit while no worker works."""
    plant.skip(at_ms)
    schedules.edit(plant.services, CALLER, schedule_id, fields, None)


def edit_often(plant: Plant, schedule_id: str, times: int, at_ms: int) -> None:
    for number in range(times):
        edit(plant, schedule_id, at_ms + number, payload=f'"later {number}"')


def claim_and_die(plant: Plant, schedule_id: str, at_ms: int, now_ms: int) -> None:
    """A worker claims an instant ahead of it, and that was the last it did."""
    plant.skip(now_ms)
    claims = claim_firings(plant.services, [firing_of(plant.get(schedule_id).definition, at_ms)])
    assert [c.execution.state for c in claims.claimed] == ["pending"]


def outcomes(plant: Plant, schedule_id: str) -> list[tuple[int, str]]:
    return [(e.firing_ms - T0, e.state) for e in plant.executions(schedule_id)]


def test_an_edit_owes_nothing_after_its_last_run_though_its_grid_goes_on() -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=3)
    plant.run_until(T0 + 26_500)  # that of second 30 is claimed
    schedules.edit(plant.services, CALLER, beat, {"expr": "rate:1s"}, None)
    plant.run_until(T0 + 60_000)
    assert [at - T0 for at in plant.bus.instants(beat)] == [10_000, 20_000, 27_000]
    assert outcomes(plant, beat)[-1] == (30_000, "skipped")
    assert plant.get(beat).state.run_count == 3


def test_nor_does_it_when_it_was_edited_again_since() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=1)
    claim_and_die(plant, beat, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, beat, T0 + 7_500, expr="rate:1s")  # its only run: second 8
    edit(plant, beat, T0 + 10_500, payload='"again"')
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, beat) == [(8_000, "completed"), (10_000, "skipped")]


@pytest.mark.parametrize("later", LATER_EDITS)
def test_a_claim_whose_worker_died_runs_under_the_version_in_force_at_its_instant(later: int) -> None:
    plant = Plant(T0)
    once = plant.create(type="RATE", expr="rate:10s", max_runs=1, payload='"old"')
    claim_and_die(plant, once, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, once, T0 + 8_000, payload='"in force"')
    edit_often(plant, once, later, T0 + 11_000)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, once) == [(10_000, "completed")]
    assert [json.loads(d.event)["data"] for _, d in plant.bus.sent] == ["in force"]


@pytest.mark.parametrize("later", LATER_EDITS)
def test_a_claim_of_a_delay_whose_worker_died_runs_not_beside_what_the_edit_began(later: int) -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=1)
    claim_and_die(plant, chained, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, chained, T0 + 8_000, payload='"new"')
    edit_often(plant, chained, later, T0 + 12_000)
    plant.run_until(T0 + 200_000)
    (first, end), (_, new_end) = outcomes(plant, chained)
    assert (first, end, new_end) == (10_000, "skipped", "completed")
    assert plant.get(chained).state.run_count == 1


def test_an_edit_by_a_clock_that_was_set_back_begins_no_run_beside_the_one_in_progress() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=2, target=WEBHOOK)
    plant.run_until(T0 + 12_000)
    assert outcomes(plant, chained) == [(10_000, "in_progress")]
    set_back = replace(plant.services, clock=ManualClock(T0 + 5_000))
    schedules.edit(set_back, CALLER, chained, {"payload": "1"}, None)
    assert plant.get(chained).state.run_count == 1
    plant.run_until(T0 + 40_000)
    assert outcomes(plant, chained) == [(10_000, "in_progress")]
    for at_ms in (40_000, 60_000):
        plant.run_until(T0 + at_ms)
        executions.complete(plant.services, CALLER, plant.executions(chained)[-1].id, None)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, chained) == [(10_000, "completed"), (50_000, "completed")]
