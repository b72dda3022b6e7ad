"""A preview tells the next runs and writes nothing."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.usecases import preview
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
MINUTE_MS = 60_000


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def test_the_next_runs_are_those_that_the_schedule_then_has(plant: Plant) -> None:
    fields = {"type": "CRON", "expr": "*/7 * * * *", "timezone": "Europe/Berlin"}
    shown = preview.preview(plant.services, CALLER, fields, None, 3)
    schedule_id = plant.create(**fields)
    plant.run_until(shown.runs[-1] + 5_000)
    assert plant.bus.instants(schedule_id) == shown.runs


def test_it_begins_strictly_after_the_instant_that_is_asked_for(plant: Plant) -> None:
    after_ms = T0 - 90 * MINUTE_MS
    shown = preview.preview(plant.services, CALLER, {"type": "RATE", "expr": "rate:10m"}, after_ms, 2)
    assert shown.runs == [after_ms + 10 * MINUTE_MS, after_ms + 20 * MINUTE_MS]


def test_a_delay_has_one_next_run(plant: Plant) -> None:
    shown = preview.preview(plant.services, CALLER, {"type": "DELAY", "expr": "delay:5m"}, None, 10)
    assert shown.runs == [T0 + 5 * MINUTE_MS]


def test_an_end_ends_it(plant: Plant) -> None:
    fields = {"type": "AT", "expr": "at:2026-11-21T09:25:00Z"}
    assert len(preview.preview(plant.services, CALLER, fields, None, 10).runs) == 1
    assert preview.preview(plant.services, CALLER, fields, T0 + 3_600_000, 10).runs == []


def test_what_a_schedule_may_not_be_is_refused(plant: Plant) -> None:
    with pytest.raises(InvalidField, match="expr"):
        preview.preview(plant.services, CALLER, {"type": "CRON", "expr": "61 * * * *"}, None, 3)
