"""A text that was read makes the schedule that was shown, and writes nothing before."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Forbidden, InvalidField
from chalicelib.core.security.caller import guest
from chalicelib.core.words.languages import LANGUAGES
from chalicelib.usecases import words
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


@pytest.mark.parametrize("text", ["every 7 minutes", "каждый день в 12:30", "in 5 minutes"])
def test_the_runs_are_those_that_the_schedule_then_has(plant: Plant, text: str) -> None:
    [found] = words.read_text(plant.services, CALLER, text, "Europe/Berlin", LANGUAGES).schedules
    meaning = found.meaning
    schedule_id = plant.create(type=meaning.type, expr=meaning.expr, timezone=meaning.timezone)
    plant.run_until(found.runs[0] + 5_000)
    assert plant.bus.instants(schedule_id) == [found.runs[0]]


def test_the_zone_of_the_deployment_holds_where_none_is_named(plant: Plant) -> None:
    [found] = words.read_text(plant.services, CALLER, "every day at 9:00", None, LANGUAGES).schedules
    assert found.meaning.timezone == plant.services.config.default_timezone


def test_a_wrong_zone_and_a_caller_without_leave_are_refused(plant: Plant) -> None:
    with pytest.raises(InvalidField, match="timezone"):
        words.read_text(plant.services, CALLER, "every day at 9:00", "Mars/Base", LANGUAGES)
    with pytest.raises(Forbidden):
        words.read_text(plant.services, guest([]), "every day", None, LANGUAGES)
