"""Time travel as callers meet it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.kit.callers import Everybody, who
from tests.kit.house import Answer, House
from tests.kit.workflow_calls import RUNS, SCRIPT, TRIGGER, edges, publish, start

SESSIONS = "/api/v1/sessions"


class Travel:
    """A session over a run of three steps, of which the last one fails."""

    def __init__(self) -> None:
        self.house = House()
        double = SCRIPT | {"id": "b", "code": "input * 2", "input": {"cel": "nodes.s.output"}}
        bad = SCRIPT | {"id": "c", "code": "1 / 0"}
        publish(self.house, nodes=[TRIGGER, SCRIPT, double, bad], edges=edges(("t", "s"), ("s", "b"), ("b", "c")))
        self.run_id = start(self.house, input={"n": 1})
        self.whole = self.house.call("GET", f"{RUNS}/{self.run_id}").json
        made = self.house.call("POST", f"{RUNS}/{self.run_id}/sessions", {})
        assert (made.status, made.json["position"]) == (201, self.whole["events"])
        self.id = made.json["session_id"]

    def call(self, verb: str, body: Any = None, session: str = "") -> Answer:
        return self.house.call("POST", f"{SESSIONS}/{session or self.id}:{verb}", body)

    def stop_at(self, *breakpoints: Mapping[str, object]) -> Answer:
        return self.house.call("PUT", f"{SESSIONS}/{self.id}/breakpoints", list(breakpoints))


@pytest.fixture(scope="module")
def travel() -> Travel:
    return Travel()


def test_a_session_is_made_and_brought_in_once_under_a_key(travel: Travel) -> None:
    exported = travel.house.call("GET", f"{SESSIONS}/{travel.id}:export").json
    for key, path, body in (("a", f"{RUNS}/{travel.run_id}/sessions", {}), ("b", f"{SESSIONS}:import", exported)):
        first, again = (travel.house.call("POST", path, body, headers={"Idempotency-Key": key}) for _ in range(2))
        assert (first.status, again.json) == (201, first.json)
        assert again.headers["Idempotent-Replayed"] == "true"


def test_every_event_can_be_reached_and_shows_the_run_as_of_then(travel: Travel) -> None:
    first = travel.call("jump", {"position": 1}).json
    assert first["event"]["type"] == "run_started"
    assert {node["state"] for node in first["state"]["nodes"].values()} == {"pending"}
    for position in range(2, travel.whole["events"] + 1):
        moment = travel.call("step-forward").json
        assert (moment["position"], moment["event"]["number"], moment["state"]["events"]) == (position,) * 3
    assert moment["state"] == travel.whole
    assert travel.call("step-forward").fields == ["position"]
    assert travel.call("step-backward").json["position"] == travel.whole["events"] - 1
    for wrong in (0, travel.whole["events"] + 1):
        assert travel.call("jump", {"position": wrong}).fields == ["position"]


@pytest.mark.parametrize(
    ("stop", "event", "state"),
    [
        ({"kind": "step", "value": "b"}, "node_completed", {"s": "completed", "b": "pending"}),
        ({"kind": "type", "value": "script"}, "node_completed", {"t": "completed", "s": "pending"}),
        ({"kind": "condition", "value": "nodes.b.output == 4"}, "node_completed", {"b": "completed"}),
        ({"kind": "error"}, "node_failed", {"c": "failed"}),
    ],
)
def test_going_on_stops_at_a_breakpoint(
    travel: Travel, stop: dict[str, str], event: str, state: dict[str, str]
) -> None:
    assert travel.stop_at(stop).json == [{"value": "", **stop}]
    travel.call("jump", {"position": 1})
    moment = travel.call("continue").json
    assert moment["breakpoint"] == {"value": "", **stop}
    if event != "node_completed":
        assert moment["event"]["type"] == event
    nodes = moment["state"]["nodes"]
    assert {name: nodes[name]["state"] for name in state} == state
    assert "breakpoint" not in travel.call("jump", {"position": 1}).json


def test_expressions_have_the_values_that_they_had_then(travel: Travel) -> None:
    watch = ["nodes.s.output * 10", "input.n", "nodes.q.output +"]
    last = travel.call("jump", {"position": travel.whole["events"], "watch": watch}).json["watched"]
    assert last[:2] == [{"expression": watch[0], "value": 20}, {"expression": watch[1], "value": 1}]
    assert last[2]["error"]
    [early, *_] = travel.call("jump", {"position": 1, "watch": watch}).json["watched"]
    assert "output" in early["error"], "what has not happened yet has no value"
    assert "watched" not in travel.call("jump", {"position": 1}).json


def test_going_on_without_a_breakpoint_comes_to_the_end(travel: Travel) -> None:
    travel.stop_at()
    travel.call("jump", {"position": 1})
    assert travel.call("continue").json["state"] == travel.whole


def test_a_breakpoint_that_cannot_be_evaluated_is_refused(travel: Travel) -> None:
    assert travel.stop_at({"kind": "condition", "value": "input.x >"}).fields == ["0.value"]


@pytest.mark.parametrize(
    "stop",
    [{"kind": "step", "value": "nowhere"}, {"kind": "step"}, {"kind": "type", "value": "nothing"}, {"kind": "type"},
     {"kind": "step", "value": {"cel": "true"}}],
)  # fmt: skip
def test_a_breakpoint_where_nothing_can_stop_is_refused(travel: Travel, stop: dict[str, object]) -> None:
    assert travel.stop_at({"kind": "error"}, stop).fields == ["1.value"]


def test_a_condition_may_be_written_as_in_definitions(travel: Travel) -> None:
    text = "nodes.b.output == 4"
    assert travel.stop_at({"kind": "condition", "value": {"cel": text}}).json == [{"kind": "condition", "value": text}]
    travel.call("jump", {"position": 1})
    assert travel.call("continue").json["breakpoint"] == {"kind": "condition", "value": text}


def test_an_export_comes_back_in_another_deployment(travel: Travel) -> None:
    document = travel.house.call("GET", f"{SESSIONS}/{travel.id}:export").json
    other = House()
    made = other.call("POST", f"{SESSIONS}:import", document)
    assert made.status == 201, made.body
    moment = other.call("POST", f"{SESSIONS}/{made.json['session_id']}:jump", {"position": 3}).json
    assert moment["state"] == travel.call("jump", {"position": 3}).json["state"]
    broken = {**document, "events": document["events"][1:]}
    assert other.call("POST", f"{SESSIONS}:import", broken).fields == ["events"]
    assert other.call("POST", f"{SESSIONS}:import", {**document, "position": 999}).fields == ["position"]


def test_an_export_brings_its_larger_values_and_does_without_the_largest() -> None:
    house, other = House(), House()
    large = SCRIPT | {"code": "'x' * input['n']"}
    publish(house, nodes=[TRIGGER, large], edges=edges(("t", "s")))
    for size, shown in ((50_000, True), (250_000, False)):
        run_id = start(house, input={"n": size})
        made = house.call("POST", f"{RUNS}/{run_id}/sessions", {})
        document = house.call("GET", f"{SESSIONS}/{made.json['session_id']}:export").json
        brought = other.call("POST", f"{SESSIONS}:import", document)
        assert brought.status == 201, brought.body
        path = f"{SESSIONS}/{brought.json['session_id']}:jump"
        found = other.call("POST", path, {"position": document["position"]}).json["state"]["output"]
        assert (found == "x" * size) is shown
        assert shown or found["size"] == size + 2
    forged = document | {"payloads": {"a" * 64: '"y"'}}
    assert other.call("POST", f"{SESSIONS}:import", forged).fields == [f"payloads.{'a' * 64}"]


def test_a_run_that_has_ended_has_no_live_session(travel: Travel) -> None:
    assert travel.house.call("POST", f"{RUNS}/{travel.run_id}/sessions", {"live": True}).code == "run_ended"


@pytest.mark.parametrize("tenant", ["default", "other"])
def test_another_callers_session_looks_missing(tenant: str) -> None:
    mine = Travel()
    mine.house.authenticator = Everybody(who("eve", "viewer", tenant=tenant))
    for verb in ("step-forward", "step-backward", "continue"):
        assert mine.call(verb).code == "not_found"
    assert mine.call("jump", {"position": 1}).code == "not_found"
    assert mine.stop_at().code == "not_found"
    assert mine.house.call("GET", f"{SESSIONS}/{mine.id}:export").code == "not_found"
    made = mine.house.call("POST", f"{RUNS}/{mine.run_id}/sessions", {})
    assert made.status == (201 if tenant == "default" else 404), "a viewer sees runs of every owner"
