"""Sessions that were brought in say of what they are: nobody believes it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.callers import Everybody, who
from tests.kit.house import Answer, House
from tests.kit.workflow_calls import RUNS, SCRIPT, TRIGGER, edges, publish, start

SESSIONS = "/api/v1/sessions"
FAN = [
    TRIGGER,
    {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input.all"}}},
    SCRIPT | {"code": "'of ' + input"},
    {"id": "j", "type": "join"},
]
ITEMS: dict[str, Any] = {"nodes": FAN, "edges": edges(("t", "p"), ("p", "s"), ("s", "j"))}


def act(house: House, subject: str, tenant: str = "default", role: str = "user") -> House:
    house.authenticator = Everybody(who(subject, role, tenant=tenant))
    return house


def exported(house: House, run_id: str) -> dict[str, Any]:
    made = house.call("POST", f"{RUNS}/{run_id}/sessions", {})
    document: dict[str, Any] = house.call("GET", f"{SESSIONS}/{made.json['session_id']}:export").json
    return document


def forged(document: dict[str, Any], run_id: str, **said: Any) -> dict[str, Any]:
    """An export that says to be of another run."""
    first, *others = document["events"]
    run = {**first["data"]["run"], "id": run_id, **said}
    return {**document, "run_id": run_id, "events": [{**first, "data": {**first["data"], "run": run}}, *others]}


def brought(house: House, document: dict[str, Any], *watch: str) -> Answer:
    made = house.call("POST", f"{SESSIONS}:import", document)
    assert made.status == 201, made.body
    path = f"{SESSIONS}/{made.json['session_id']}:jump"
    return house.call("POST", path, {"position": document["position"], "watch": list(watch)})


@pytest.mark.parametrize("tenant", ["default", "other"])
def test_a_forged_log_shows_no_items_of_anothers_run(tenant: str) -> None:
    house = act(House(), "bob", tenant)
    publish(house, **ITEMS)
    run_id = start(house, input={"all": ["bobs"]})
    act(house, "eve")
    publish(house, "mine", **ITEMS)
    document = exported(house, start(house, "mine", input={"all": ["eves"]}))
    answer = brought(house, forged(document, run_id, tenant=tenant), "nodes.j.output")
    assert b"bobs" not in answer.body
    assert answer.status == 200, answer.body
    assert answer.json["state"]["id"] == run_id


@pytest.mark.parametrize("tenant", ["default", "other"])
def test_a_forged_log_is_part_of_no_run_of_another(tenant: str) -> None:
    house = act(House(), "bob", tenant)
    publish(house, **ITEMS)
    run_id = start(house, input={"all": ["bobs"]})
    act(house, "eve")
    publish(house, "mine", **ITEMS)
    document = exported(house, start(house, "mine", input={"all": ["eves"]}))
    said = {"tenant": tenant, "parent": run_id, "scope": ["p"], "indices": [0], "input": {"value": {"item": "eves"}}}
    nodes = {"nodes": ["s"]}
    first = forged(document, "r", **said)["events"][0]
    first["data"].update(nodes)
    own = {**document, "run_id": "r", "position": 1, "events": [first]}
    answer = brought(house, own, "input", "nodes.j.output")
    assert b"bobs" not in answer.body
    assert answer.status == 200, answer.body


def test_an_export_of_ones_own_run_shows_its_items_again() -> None:
    house = act(House(), "bob")
    publish(house, **ITEMS)
    document = exported(house, start(house, input={"all": ["bobs"]}))
    answer = brought(house, document, "nodes.j.output", "run.id")
    assert [each["value"] for each in answer.json["watched"]] == [["of bobs"], document["run_id"]]
    assert brought(act(House(), "bob"), document, "nodes.j.output").json["watched"][0]["value"] == [None]
