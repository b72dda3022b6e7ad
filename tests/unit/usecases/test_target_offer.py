"""A deployment offers the kinds of target that it can reach, and has a default of its own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.targets import registry
from chalicelib.usecases import schedules, ticks
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
QUEUE = {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}


@pytest.fixture
def plant() -> Plant:
    return Plant(T0, default_target={"type": "log"}, unoffered=registry.OF_AWS)


def refused(plant: Plant, target: dict[str, object]) -> InvalidField:
    with pytest.raises(InvalidField) as problem:
        plant.create(type="RATE", expr="rate:1h", target=target)
    return problem.value


def test_a_schedule_without_a_target_has_that_of_the_deployment(plant: Plant) -> None:
    assert plant.get(plant.create(type="RATE", expr="rate:1h")).definition.target == {"type": "log"}


def test_kinds_that_cannot_be_had_are_refused_with_what_can(plant: Plant) -> None:
    problem = refused(plant, QUEUE)
    assert (problem.code, problem.errors[0].field) == ("not_configured", "target.type")
    assert "webhook" in problem.detail
    assert "stepfunctions" not in problem.detail


def test_an_edit_cannot_bring_one_in(plant: Plant) -> None:
    made = plant.create(type="RATE", expr="rate:1h")
    with pytest.raises(InvalidField) as problem:
        schedules.edit(plant.services, CALLER, made, ScheduleRequest(target=QUEUE), None)
    assert problem.value.code == "not_configured"


def test_a_stream_of_ticks_cannot_go_there(plant: Plant) -> None:
    with pytest.raises(InvalidField) as problem:
        ticks.enable(plant.services, replace(CALLER, roles=("admin",)), "second", QUEUE)
    assert problem.value.code == "not_configured"


def test_every_kind_is_offered_where_nothing_else_is_said() -> None:
    plant = Plant(T0)
    made = plant.get(plant.create(type="RATE", expr="rate:1h", target=QUEUE))
    assert made.definition.target["type"] == "sqs"
    assert plant.get(plant.create(type="RATE", expr="rate:1h")).definition.target["type"] == "eventbridge"
