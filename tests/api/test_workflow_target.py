"""Schedules whose target is a workflow: each firing begins one run, and only where its owner may."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from chalicelib.adapters.targets import workflow as workflow_target
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.ports.target import Delivery
from chalicelib.usecases import run_starts
from chalicelib.workers import deliver
from tests.kit.callers import Everybody, who
from tests.kit.house import RATE, House
from tests.kit.workflow_calls import ALL, LINE, RUNS, TARGET, delivery, publish, settle


def sender(house: House) -> workflow_target.WorkflowSender:
    def none(service: str) -> object:
        raise AssertionError(service)

    parts = TargetParts(none, house.clock.now_ms, lambda: 0.0, (), "", start_run=lambda d: start(house, d))  # type: ignore[arg-type]
    return workflow_target.make(parts)


def start(house: House, given: Delivery) -> str:
    return run_starts.of_firing(house.services, given)


def test_a_firing_begins_one_run_however_often_it_comes(house: House) -> None:
    publish(house)
    made = house.call("POST", "/api/v1/schedules", RATE | {"target": TARGET, "payload": {"n": 1}})
    assert (made.status, made.json["target"]) == (201, TARGET)
    fired = delivery(made.json["id"])
    for attempt in (1, 2):
        [outcome] = sender(house).dispatch([replace(fired, attempt=attempt)])
        assert (outcome.kind, json.loads(outcome.receipt)) == ("completed", {"run_id": fired.execution_id})
    settle(house)
    run = house.call("GET", f"{RUNS}/{fired.execution_id}").json
    assert (run["state"], run["output"], run["started_by"]) == ("completed", 2, "anonymous")
    assert len(house.call("GET", RUNS).json["items"]) == 1


def test_what_cannot_begin_fails_for_good_and_says_why(house: House) -> None:
    publish(house, **LINE, input_schema={"type": "object", "required": ["x"]})
    [unfit] = sender(house).dispatch([delivery("s")])
    [gone] = sender(house).dispatch([delivery("s", target=TARGET | {"workflow": "gone"})])
    [deep] = sender(house).dispatch([delivery("s", depth=9)])
    for outcome, said in ((unfit, "x"), (gone, "gone"), (deep, "too_deep")):
        assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)
        assert said in str(outcome.error)
    assert house.call("GET", RUNS).json["items"] == []


def test_a_schedule_of_a_workflow_that_is_not_there_is_refused(house: House) -> None:
    refused = house.call("POST", "/api/v1/schedules", RATE | {"target": TARGET})
    assert (refused.status, refused.fields) == (422, ["target.workflow"])
    publish(house)
    refused = house.call("POST", "/api/v1/schedules", RATE | {"target": TARGET | {"version": "7"}})
    assert (refused.status, refused.fields) == (422, ["target.version"])


def test_a_job_begins_no_workflow(house: House) -> None:
    publish(house)
    job = {"id": "j", "type": "job", "target": TARGET}
    nodes = [{"id": "t", "type": "trigger", "on": "manual"}, job]
    refused = house.call("POST", ALL, {"name": "x", "nodes": nodes, "edges": [{"from": "t", "to": "j"}]})
    assert refused.fields == ["nodes.j.target.type"]


def test_who_may_not_start_a_workflow_cannot_let_a_schedule_do_it(house: House) -> None:
    publish(house)
    house.authenticator = Everybody(who("eve", "user"))
    refused = house.call("POST", "/api/v1/schedules", RATE | {"target": TARGET})
    assert (refused.status, refused.fields) == (422, ["target.workflow"])
    kept = house.call("POST", "/api/v1/schedules", RATE).json["id"]
    assert house.call("PATCH", f"/api/v1/schedules/{kept}", {"target": TARGET}).fields == ["target.workflow"]


def test_an_event_of_a_trigger_begins_one_run_with_the_event_as_its_input(house: House) -> None:
    script = {"id": "s", "type": "script", "language": "python", "code": "input['data']['n'] + 1"}
    trigger = {"id": "t", "type": "trigger", "on": "webhook"}
    made = publish(house, nodes=[trigger, script], edges=[{"from": "t", "to": "s"}])
    assert "/api/v1/triggers" in made["notes"][0]
    triggers = "/api/v1/triggers"
    asked = {"name": "orders", "source": {"type": "webhook"}, "target": TARGET}
    found = house.call("POST", triggers, asked)
    assert (found.status, found.json["target"]) == (201, TARGET)
    event = {"specversion": "1.0", "id": "4711", "source": "/shop", "type": "order.created", "data": {"n": 1}}
    for _ in range(2):
        assert house.call("POST", urlsplit(found.json["ingest_url"]).path, event).status == 202
    [execution] = house.call("GET", f"{triggers}/{found.json['id']}/executions").json["items"]
    bound = replace(house.services, targets={**house.services.targets, "workflow": sender(house)})
    queue: Any = house.services.queue
    batch = queue.receive(10)
    assert not deliver.run(bound, batch)
    settle(house)
    run = house.call("GET", f"{RUNS}/{execution['id']}").json
    assert (run["state"], run["output"], run["input"]["data"]) == ("completed", 2, {"n": 1})
    assert len(house.call("GET", RUNS).json["items"]) == 1
