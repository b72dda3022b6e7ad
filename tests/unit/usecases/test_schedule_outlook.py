"""Versions and the outlook, in virtual time: what has run meanwhile is ahead no more."""

from __future__ import annotations

from chalicelib.core.instants import to_rfc3339
from chalicelib.usecases import schedule_outlook, schedules
from tests.kit.plant import CALLER, Plant

START_MS = 1_767_225_600_000
S = 1_000


def test_what_has_run_is_ahead_no_more() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(type="RATE", expr="rate:10s", max_runs=6)
    plant.create(type="AT", expr=f"at:{to_rfc3339(START_MS + 5 * S)}")
    plant.run_until(START_MS + 25 * S)
    found = schedule_outlook.upcoming(plant.services, CALLER, None, None)
    [ahead] = found.ahead
    assert (ahead.definition.id, ahead.total) == (schedule_id, 4)
    assert list(ahead.instants) == [START_MS + n * 10 * S for n in range(3, 7)]
    assert found.complete


def test_of_a_delay_the_next_run_is_known() -> None:
    plant = Plant(START_MS)
    plant.create(type="DELAY", expr="delay:60s")
    [ahead] = schedule_outlook.upcoming(plant.services, CALLER, None, None).ahead
    assert list(ahead.instants) == [START_MS + 60 * S]
    assert schedule_outlook.upcoming(plant.services, CALLER, START_MS + 61 * S, None).ahead == []


def test_the_version_in_force_comes_first() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(type="RATE", expr="rate:10s")
    found = schedule_outlook.versions(plant.services, CALLER, schedule_id)
    assert [v.version for v in found.versions] == [plant.get(schedule_id).definition.version]
    assert not found.more


def test_what_is_paused_for_a_while_is_ahead_from_the_end_of_its_pause() -> None:
    plant = Plant(START_MS)
    rests, stops = (plant.create(type="RATE", expr="rate:1h") for _ in range(2))
    schedules.pause(plant.services, CALLER, rests, None, None, START_MS + 5_400 * S)
    schedules.pause(plant.services, CALLER, stops, None, None)
    [ahead] = schedule_outlook.upcoming(plant.services, CALLER, None, START_MS + 10_800 * S).ahead
    assert (ahead.definition.id, list(ahead.instants)) == (rests, [START_MS + 7_200 * S, START_MS + 10_800 * S])
