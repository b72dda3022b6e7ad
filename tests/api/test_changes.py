from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.leases import lease_document
from chalicelib.core.schedules.schedule import Key
from chalicelib.engine.workflows.run_access import load, seen_run
from chalicelib.workers import changes
from tests.kit.callers import Everybody, who
from tests.kit.changes import gone
from tests.kit.conformance import conforms
from tests.kit.house import Answer, House
from tests.kit.workflow_calls import RUNS, publish, start

PATH = "/api/v1/changes"
ZERO = "0" * 16
DOCUMENT = House().call("GET", "/api/v1/openapi.json").json


def record(house: House, *found: Change, tenant: str = "default", shard: str = "s", first: int = 1) -> None:
    changes.record(house.services, shard, [Arrived(first + n, tenant, change) for n, change in enumerate(found)])


def ask(house: House, after: str | None = ZERO, **more: Any) -> Answer:
    asked = {**({} if after is None else {"after": after}), **more}
    answer = house.call("GET", PATH, query="&".join(f"{name}={value}" for name, value in asked.items()))
    conforms(DOCUMENT, PATH, "get", answer)
    return answer


def test_data_is_each_thing_as_its_get_shows_it(house: House) -> None:
    execution_id = house.fire(payload={"a": 1})
    schedule_id = execution_id.partition("-")[0]
    lease = {"name": "a/b", "holder_id": "me", "ttl_ms": 5000}
    house.call("POST", "/api/v1/leases:acquire", lease)
    s, now_ms = house.services, house.clock.now_ms()
    schedule = s.stores.schedules.get([Key("default", schedule_id)])[Key("default", schedule_id)]
    stored = s.stores.leases.load("default", "a/b")
    assert stored is not None
    record(
        house,
        Change("schedule", schedule_id, now_ms, "anonymous", schedule),
        Change("execution", execution_id, now_ms, "anonymous", house.execution(execution_id)),
        Change("lease", "a/b", now_ms, None, lease_document.read(stored[0])),
        Change("schedule", schedule_id, now_ms, "anonymous", None),
    )
    items = ask(house).json["items"]
    assert [(item["type"], item["id"]) for item in items] == [
        ("schedule", schedule_id), ("execution", execution_id), ("lease", "a/b"), ("schedule", schedule_id),
    ]  # fmt: skip
    for item, path in zip(
        items, (f"schedules/{schedule_id}", f"executions/{execution_id}", "leases/a/b"), strict=False
    ):
        assert item["data"] == house.call("GET", f"/api/v1/{path}").json
        assert item["at_unix_ms"] == now_ms
    assert items[3]["data"] == {"id": schedule_id, "deleted": True}
    assert [item["position"] for item in items] == sorted(item["position"] for item in items)


def test_a_run_is_there_as_its_get_shows_it(house: House) -> None:
    publish(house)
    run_id = start(house, input={"n": 1})
    run = load(house.services, "default", run_id)
    record(house, Change("workflow_run", run_id, house.clock.now_ms(), "anonymous", seen_run(run)))
    [item] = ask(house, types="workflow_run").json["items"]
    shown = house.call("GET", f"{RUNS}/{run_id}").json
    assert (item["id"], item["data"]["state"], item["data"]["output"]) == (run_id, "completed", 2)
    shown["nodes"]["t"].pop("output")  # it is the input, which stands beside
    assert item["data"] == shown


def test_without_a_position_it_begins_now_and_goes_on_from_there(house: House) -> None:
    record(house, gone(1).change)
    for after in (None, ""):
        answer = ask(house, after)
        assert answer.json == {"items": [], "next_after": answer.json["next_after"]}
    record(house, gone(2).change, first=2)
    found = ask(house, answer.json["next_after"]).json
    assert [item["id"] for item in found["items"]] == ["gone-2"]
    assert ask(house, found["next_after"]).json == {"items": [], "next_after": found["next_after"]}
    assert ask(house, found["items"][0]["position"]).json["items"] == []


def test_pages_follow_each_other_without_loss_or_repeat(house: House) -> None:
    record(house, *(gone(n).change for n in range(250)))
    after, found = ZERO, []
    while items := ask(house, after, limit=70).json["items"]:
        found += [item["id"] for item in items]
        after = items[-1]["position"]
    assert found == [f"gone-{n}" for n in range(250)]


def test_types_are_chosen_and_unknown_ones_refused(house: House) -> None:
    record(house, gone(1).change, Change("lease", "x", 5, None, None))
    assert [item["type"] for item in ask(house, types="lease,execution").json["items"]] == ["lease"]
    assert ask(house, types="schedule").json["next_after"] == ask(house).json["next_after"]
    assert ask(house, types="").json["items"] == ask(house).json["items"], "empty is all, as it is for after"
    for wrong in ("leases", ",", "lease,,execution"):
        assert ask(house, types=wrong).fields == ["types"]


@pytest.mark.parametrize("wrong", ["1", "x", "0" * 17, "-" + "0" * 15])
def test_what_is_no_position_is_refused(house: House, wrong: str) -> None:
    assert ask(house, wrong).fields == ["after"]


def test_a_caller_sees_its_own_and_what_no_owner_has(house: House) -> None:
    mine, theirs = gone(1, owner="ann").change, gone(2, owner="bob").change
    record(house, mine, theirs, Change("lease", "x", 5, None, None))
    record(house, gone(3).change, tenant="elsewhere")

    def seen_by(*roles: str, **more: Any) -> list[str]:
        house.authenticator = Everybody(who("ann", *roles, **more))
        return [item["id"] for item in ask(house).json["items"]]

    assert seen_by("user") == ["gone-1", "x"]
    assert seen_by("viewer") == ["gone-1", "gone-2", "x"]
    assert seen_by("admin", tenant="elsewhere") == ["gone-3"]
    assert seen_by(permissions=("executions:read", "leases:read")) == ["x"]
    assert ask(house, types="schedule").code == "forbidden"


def test_an_old_cursor_is_gone_and_says_what_to_do(house: House) -> None:
    house.services = replace(house.services, config=replace(house.services.config, changes_retention_ms=10_000))
    record(house, gone(1).change)
    house.clock.advance(6_000)
    record(house, gone(2).change, first=2)
    first, second = (item["position"] for item in ask(house).json["items"])
    house.clock.advance(4_000)
    answer = ask(house)
    assert (answer.status, answer.code) == (410, "cursor_expired")
    assert "/api/v1/schedules" in answer.json["detail"]
    assert [item["position"] for item in ask(house, first).json["items"]] == [second]
    house.clock.advance(1_000_000)
    assert ask(house, second).json["items"] == [], "the end of the log is never too old"
    assert ask(house, f"{int(second) + 1:016d}").code == "cursor_expired", "a cursor of another deployment"
