"""Runs that firings begin: by whom, and what begins none. ``tests/api/test_workflow_target.py`` has the whole way."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.workflows.limits import RUN_ID_MAX_CHARS
from chalicelib.usecases import run_starts
from tests.kit.house import House
from tests.kit.workflow_calls import RUNS, TARGET, delivery, publish


def test_a_run_of_a_schedule_that_is_gone_names_the_schedule() -> None:
    house = House()
    publish(house)
    fired = delivery("01GONE")
    assert run_starts.of_firing(house.services, fired) == fired.execution_id
    assert house.call("GET", f"{RUNS}/{fired.execution_id}").json["started_by"] == "schedules/01GONE"


def test_nothing_begins_without_its_workflow_or_with_an_id_that_no_run_may_have() -> None:
    house = House()
    publish(house)
    with pytest.raises(NotFound, match="gone"):
        run_starts.of_firing(house.services, delivery("s", target=TARGET | {"workflow": "gone"}))
    with pytest.raises(InvalidField):
        run_starts.of_firing(house.services, replace(delivery("s"), execution_id="x" * (RUN_ID_MAX_CHARS + 1)))
    assert house.call("GET", RUNS).json["items"] == []
