"""A preview tells the next runs and writes nothing."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.schedules.request import PreviewRequest
from chalicelib.usecases import preview
from chalicelib.usecases.preview import Preview
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
MINUTE_MS = 60_000


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def shown(plant: Plant, count: int, after_ms: int | None = None, **fields: str) -> Preview:
    wanted = PreviewRequest(**fields, after_ms=after_ms, count=count)  # type: ignore[arg-type]
    return preview.preview(plant.services, CALLER, wanted)


def test_the_next_runs_are_those_that_the_schedule_then_has(plant: Plant) -> None:
    fields = {"type": "CRON", "expr": "*/7 * * * *", "timezone": "Europe/Berlin"}
    found = shown(plant, 3, **fields)
    schedule_id = plant.create(**fields)
    plant.run_until(found.runs[-1] + 5_000)
    assert plant.bus.instants(schedule_id) == found.runs


def test_it_begins_strictly_after_the_instant_that_is_asked_for(plant: Plant) -> None:
    after_ms = T0 - 90 * MINUTE_MS
    assert shown(plant, 2, after_ms, type="RATE", expr="rate:10m").runs == [
        after_ms + 10 * MINUTE_MS,
        after_ms + 20 * MINUTE_MS,
    ]


def test_a_delay_has_one_next_run(plant: Plant) -> None:
    assert shown(plant, 10, type="DELAY", expr="delay:5m").runs == [T0 + 5 * MINUTE_MS]


def test_an_end_ends_it(plant: Plant) -> None:
    fields = {"type": "AT", "expr": "at:2026-11-21T09:25:00Z"}
    assert len(shown(plant, 10, **fields).runs) == 1
    assert shown(plant, 10, T0 + 3_600_000, **fields).runs == []


def test_what_a_schedule_may_not_be_is_refused(plant: Plant) -> None:
    with pytest.raises(InvalidField, match="expr"):
        shown(plant, 3, type="CRON", expr="61 * * * *")


def test_a_delay_whose_start_is_excluded_waits_for_the_end_of_the_exclusion(plant: Plant) -> None:
    start_ms = T0 + 60_000
    shut = (start_ms - 10_000, start_ms + 30_000)
    asked = PreviewRequest(type="DELAY", expr="delay:10s", start_at_ms=start_ms, exclude=(shut,), count=3)
    assert preview.preview(plant.services, CALLER, asked).runs == [start_ms + 30_001]
    made = plant.create(type="DELAY", expr="delay:10s", start_at_ms=start_ms, exclude=(shut,))
    plant.run_until(start_ms + 35_000)
    assert [e.firing_ms for e in plant.executions(made)] == [start_ms + 30_001]
