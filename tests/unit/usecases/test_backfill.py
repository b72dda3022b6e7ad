"""A backfill fires what has no execution, once, whoever else is at it."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.schedules.limits import BACKFILL_MAX_INSTANTS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.usecases import backfill, explain, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


@pytest.fixture
def young(plant: Plant) -> str:
    """A schedule whose grid reaches back behind its creation."""
    return plant.create(type="RATE", expr="rate:1m", max_runs=1)


BEFORE = [T0 - n * MINUTE_MS for n in range(9, 0, -1)]


def test_every_instant_of_the_range_is_fired_once(plant: Plant, young: str) -> None:
    asked = (plant.services, CALLER, young, BEFORE[0], BEFORE[-1])
    assert backfill.backfill(*asked) == len(BEFORE)
    assert backfill.backfill(*asked) == 0
    plant.run_until(T0 + 30_000)
    assert [(e.firing_ms, e.state) for e in plant.executions(young)] == [(at_ms, "completed") for at_ms in BEFORE]
    assert sorted(plant.bus.instants(young)) == BEFORE


def test_what_is_still_to_come_is_left_to_the_schedule(plant: Plant, young: str) -> None:
    assert backfill.backfill(plant.services, CALLER, young, BEFORE[-1], T0 + 30 * MINUTE_MS) == len([BEFORE[-1], T0])


def test_two_at_once_share_the_instants(plant: Plant, young: str) -> None:
    plain, counted, once = plant.services, list[int](), [True]

    def other(*_: object) -> None:
        if once and once.pop():
            counted.append(backfill.backfill(plain, CALLER, young, BEFORE[0], BEFORE[3]))

    slow = with_stores(plain, executions=Watched(plain.stores.executions, "of_schedule", other))
    counted.append(backfill.backfill(slow, CALLER, young, BEFORE[0], BEFORE[-1]))
    assert counted == [4, 5]
    plant.run_until(T0 + 30_000)
    assert sorted(plant.bus.instants(young)) == BEFORE


@pytest.mark.parametrize(
    ("from_ms", "to_ms"), [(T0 + MINUTE_MS, T0), (T0 - (BACKFILL_MAX_INSTANTS + 2) * MINUTE_MS, T0)]
)
def test_a_range_that_is_empty_or_too_long_is_refused_by_name(
    plant: Plant, young: str, from_ms: int, to_ms: int
) -> None:
    with pytest.raises(InvalidField, match="to_unix_ms"):
        backfill.backfill(plant.services, CALLER, young, from_ms, to_ms)
    assert plant.executions(young) == []


def test_a_delay_has_no_grid_to_fill(plant: Plant) -> None:
    schedule_id = plant.create(type="DELAY", expr="delay:1m")
    with pytest.raises(InvalidField, match="DELAY"):
        backfill.backfill(plant.services, CALLER, schedule_id, T0, T0 + MINUTE_MS)


def test_the_ledger_answers_for_the_last_day_unless_asked_otherwise(plant: Plant) -> None:
    schedule_id = plant.create(type="RATE", expr="rate:6h")
    plant.skip(T0 + 49 * HOUR_MS)
    day = backfill.ledger(plant.services, CALLER, schedule_id, None, None, 100)
    assert [line.firing_ms - T0 for line in day.lines] == [h * HOUR_MS for h in (30, 36, 42, 48)]
    whole = backfill.ledger(plant.services, CALLER, schedule_id, T0, None, 100)
    assert [line.firing_ms - T0 for line in whole.lines] == [h * HOUR_MS for h in range(6, 49, 6)]


def test_a_ledger_that_ends_before_it_begins_is_refused(plant: Plant, young: str) -> None:
    with pytest.raises(InvalidField, match="to_unix_ms"):
        backfill.ledger(plant.services, CALLER, young, T0, T0 - 1, 100)


def test_runs_that_are_spent_stay_spent_when_the_schedule_is_edited(plant: Plant) -> None:
    schedule_id = plant.create(type="RATE", expr="rate:1m", max_runs=2)
    plant.run_until(T0 + 5 * MINUTE_MS)
    for name in ("beat", "pulse"):  # the second edit supersedes a version that began with no runs left
        schedules.edit(plant.services, CALLER, schedule_id, ScheduleRequest(name=name), None)
        plant.skip(plant.clock.now_ms() + HOUR_MS)
    drawn = backfill.ledger(plant.services, CALLER, schedule_id, None, None, 1000)
    assert [(line.firing_ms - T0, line.outcome) for line in drawn.lines] == [
        (MINUTE_MS, "completed"),
        (2 * MINUTE_MS, "completed"),
    ]
    assert drawn.lost == 0
    for at_ms in (T0 + 3 * MINUTE_MS, T0 + 30 * MINUTE_MS, T0 + 90 * MINUTE_MS, T0 + 900 * MINUTE_MS):
        told = explain.explain_instant(plant.services, CALLER, schedule_id, at_ms).explanation
        assert (told.owed, [reason.code for reason in told.reasons]) == (False, ["max_runs_reached"])


def test_what_falls_into_a_pause_that_outlasts_the_grid_shows_as_paused(plant: Plant) -> None:
    at = plant.create(type="AT", expr="at:2026-11-21T09:30:00Z")
    ends = plant.create(type="RATE", expr="rate:10m", end_at_ms=T0 + 25 * MINUTE_MS, max_runs=9)
    for schedule_id in (at, ends):
        schedules.pause(plant.services, CALLER, schedule_id, None, None, T0 + 30 * MINUTE_MS)
    plant.run_until(T0 + HOUR_MS)
    for schedule_id, instants in ((at, [10]), (ends, [10, 20])):
        drawn = backfill.ledger(plant.services, CALLER, schedule_id, T0, T0 + HOUR_MS, 1000)
        assert [((line.firing_ms - T0) // MINUTE_MS, line.outcome) for line in drawn.lines] == [
            (minute, "paused") for minute in instants
        ]
        told = explain.explain_instant(plant.services, CALLER, schedule_id, T0 + 10 * MINUTE_MS).explanation
        assert (told.owed, [reason.code for reason in told.reasons]) == (False, ["paused"])


def test_what_is_excluded_after_the_last_run_is_shown_and_no_edit_of_the_ended_makes_it_paused(plant: Plant) -> None:
    shut = (T0 + 3 * MINUTE_MS, T0 + 9 * MINUTE_MS)
    schedule_id = plant.create(type="RATE", expr="rate:1m", end_at_ms=T0 + 5 * MINUTE_MS, exclude=(shut,))
    plant.run_until(T0 + 20 * MINUTE_MS)
    expected = [(1, "completed"), (2, "completed"), (3, "excluded"), (4, "excluded"), (5, "excluded")]
    for name in ("beat", "pulse"):
        drawn = backfill.ledger(plant.services, CALLER, schedule_id, None, None, 1000)
        assert [((line.firing_ms - T0) // MINUTE_MS, line.outcome) for line in drawn.lines] == expected
        for minute, code in ((4, "excluded"), (7, "after_end")):
            told = explain.explain_instant(plant.services, CALLER, schedule_id, T0 + minute * MINUTE_MS).explanation
            assert (told.owed, [reason.code for reason in told.reasons]) == (False, [code])
        schedules.edit(plant.services, CALLER, schedule_id, ScheduleRequest(name=name), None)


def test_the_runs_of_a_delay_were_owed_and_one_without_a_trace_is_lost(plant: Plant) -> None:
    schedule_id = plant.create(type="DELAY", expr="delay:1m")
    plant.run_until(T0 + MINUTE_MS + 5_000)
    plant.skip(T0 + HOUR_MS)
    drawn = backfill.ledger(plant.services, CALLER, schedule_id, None, None, 1000)
    assert [(line.expected, line.outcome) for line in drawn.lines] == [(True, "completed"), (True, "lost")]
    assert drawn.lost == 1
