from __future__ import annotations

import pytest

from chalicelib.core.instants import to_rfc3339
from chalicelib.usecases import explain
from tests.kit.callers import who
from tests.kit.conformance import conforms
from tests.kit.house import House

PATH = "/api/v1/schedules/{schedule_id}:explain"


@pytest.fixture
def house() -> House:
    return House()


def test_without_an_instant_the_next_run_is_explained_and_then_now(house: House) -> None:
    made = house.make()
    answer = house.call("GET", PATH.format(schedule_id=made["id"]))
    conforms(house.call("GET", "/api/v1/openapi.json").json, PATH, "get", answer)
    found = answer.json
    assert (found["at_unix_ms"], found["owed"]) == (made["next_run_unix_ms"], True)
    assert (found["next_run_unix_ms"], found["version"]) == (made["next_run_unix_ms"], made["version"])
    assert [reason["code"] for reason in found["reasons"]] == ["not_yet"]
    house.call("POST", f"/api/v1/schedules/{made['id']}:pause")
    house.clock.advance(5_000)
    paused = house.call("GET", PATH.format(schedule_id=made["id"])).json
    assert (paused["at_unix_ms"], paused["owed"], paused["next_run_unix_ms"]) == (house.clock.now_ms(), False, None)
    assert paused["reasons"][0]["code"] == "paused"


def test_the_last_of_so_many_runs_is_known_before_it_comes(house: House) -> None:
    made = house.make(expr="rate:5m", max_runs=3)
    first_ms, path = made["next_run_unix_ms"], PATH.format(schedule_id=made["id"])
    told = [house.call("GET", path, query=f"at_unix_ms={first_ms + nth * 300_000}").json for nth in (2, 3, 1_000)]
    assert [found["owed"] for found in told] == [True, False, False]
    assert [found["reasons"][0]["code"] for found in told] == ["not_yet", "max_runs_reached", "max_runs_reached"]
    last = made["next_run_unix_ms"] + 600_000
    assert told[1]["reasons"][0]["detail"] == f"its last run is that of {to_rfc3339(last)}"


def test_a_run_by_hand_is_explained_too(house: House) -> None:
    execution_id = house.fire()
    schedule_id, at_ms, _ = execution_id.split("-")
    house.end(execution_id, "completed")
    found = house.call("GET", PATH.format(schedule_id=schedule_id), query=f"at_unix_ms={at_ms}").json
    assert (found["owed"], found["outcome"]) == (False, "completed")
    assert [reason["code"] for reason in found["reasons"]] == ["not_on_grid", "delivered"]


def test_a_delay_that_is_due_is_owed_until_it_has_begun(house: House) -> None:
    made = house.make(type="DELAY", expr="delay:5s")
    due_ms, path = made["next_run_unix_ms"], PATH.format(schedule_id=made["id"])
    house.clock.sleep_until(due_ms + 1_000)
    found = house.call("GET", path, query=f"at_unix_ms={due_ms}").json
    assert (found["owed"], found["outcome"], found["next_run_unix_ms"]) == (True, "pending", None)
    assert [reason["code"] for reason in found["reasons"]] == ["pending"]
    other = house.call("GET", path, query=f"at_unix_ms={due_ms + 1}").json
    assert (other["owed"], other["reasons"][0]["code"]) == (False, "not_on_grid")


def test_what_is_no_instant_and_what_is_no_schedule(house: House) -> None:
    made = house.make()
    assert house.call("GET", PATH.format(schedule_id=made["id"]), query="at_unix_ms=x").fields == ["at_unix_ms"]
    assert house.call("GET", PATH.format(schedule_id="0" * 26)).status == 404
    with pytest.raises(Exception, match="there is no schedule"):
        explain.explain_instant(house.services, who("ann", "user"), made["id"], None)
