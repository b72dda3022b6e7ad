"""Breakpoints on a run that lives: it stops before the node, holds no slot, and goes on when the session says so."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.workflows.happenings import Decides
from chalicelib.engine.workflows.run_access import advance, load
from tests.kit.callers import Everybody, who
from tests.kit.house import Answer, House
from tests.kit.workflow_calls import GATE, RUNS, SCRIPT, TRIGGER, edges, publish, settle, start

SESSIONS = "/api/v1/sessions"
FIRST = SCRIPT | {"id": "a", "code": "input['n'] + 1"}
SECOND = SCRIPT | {"id": "b", "code": "input + 1", "input": {"cel": "nodes.a.output"}}
BAD = SCRIPT | {"id": "x", "code": "1 / 0"}
WAYS = [("t", "g"), ("g", "a"), ("a", "b")]


class Live:
    """A run that waits at a gate, with a live session on it."""

    def __init__(self, *stops: dict[str, str], nodes: Any = (), ways: Any = (), **more: Any) -> None:
        self.house = House()
        document = {"nodes": [TRIGGER, GATE, FIRST, SECOND, *nodes], "edges": [*edges(*WAYS), *ways]}
        publish(self.house, **document, **more)
        self.run_id = start(self.house, input={"n": 1})
        made = self.house.call("POST", f"{RUNS}/{self.run_id}/sessions", {"live": True})
        assert made.status == 201, made.body
        self.id = made.json["session_id"]
        assert self.house.call("PUT", f"{SESSIONS}/{self.id}/breakpoints", list(stops)).status == 200
        nonce = load(self.house.services, "default", self.run_id).state.nodes["g"].gate.nonce  # type: ignore[union-attr]
        advance(self.house.services, "default", self.run_id, Decides("g", nonce, True, "ann"))
        settle(self.house)

    def call(self, verb: str) -> Answer:
        answer = self.house.call("POST", f"{SESSIONS}/{self.id}:{verb}", {})
        settle(self.house)
        return answer

    def states(self) -> dict[str, str]:
        return {name: node["state"] for name, node in self.run()["nodes"].items()}

    def run(self) -> Any:
        return self.house.call("GET", f"{RUNS}/{self.run_id}").json


@pytest.mark.parametrize(
    ("stop", "at"),
    [
        ({"kind": "step", "value": "b"}, "b"),
        ({"kind": "type", "value": "script"}, "a"),
        ({"kind": "condition", "value": "nodes.a.output == 2"}, "b"),
    ],
)
def test_it_stops_before_the_node_and_goes_on_once(stop: dict[str, str], at: str) -> None:
    live = Live(stop)
    run = live.run()
    assert (run["state"], run["nodes"][at]["state"], run["nodes"][at]["attempts"]) == ("waiting", "waiting", 0)
    assert stop["kind"] in run["nodes"][at]["reason"]
    assert load(live.house.services, "default", live.run_id).state.slot == ""
    assert live.house.call("POST", f"{RUNS}/{live.run_id}/nodes/{at}:complete", {}).status == 409
    while live.run()["state"] == "waiting":
        moment = live.call("continue")
        assert moment.status == 200, moment.body
    run = live.run()
    assert (run["state"], run["output"], run["nodes"][at]["attempts"]) == ("completed", 3, 1)


def test_a_session_sees_where_it_stands_and_steps_to_the_next_node() -> None:
    live = Live({"kind": "step", "value": "a"})
    assert live.states() == {"t": "completed", "g": "completed", "a": "waiting", "b": "pending"}
    last = live.run()["events"]
    assert live.house.call("POST", f"{SESSIONS}/{live.id}:jump", {"position": last}).status == 200
    assert live.call("step-forward").status == 200
    assert live.states() == {"t": "completed", "g": "completed", "a": "completed", "b": "waiting"}
    moment = live.call("continue").json
    assert moment["state"]["state"] in ("running", "completed")
    assert live.run()["state"] == "completed"


def test_it_stops_after_a_failure() -> None:
    ways = [*edges(("g", "x")), {"from": "x", "to": "y", "on": "failure"}]
    live = Live({"kind": "error"}, nodes=[BAD, SCRIPT | {"id": "y", "code": "7"}], ways=ways)
    assert live.states()["y"] == "waiting"
    live.call("continue")
    assert live.states()["y"] == "completed"


def test_a_stopped_run_can_be_cancelled_and_holds_no_slot() -> None:
    limit = {"key": {"cel": "'k'"}, "limit": 1}
    live = Live({"kind": "step", "value": "b"}, concurrency=limit)
    assert live.states()["b"] == "waiting"
    assert live.house.call("POST", f"{RUNS}/{live.run_id}:cancel", {}).status == 202
    settle(live.house)
    assert live.run()["state"] == "cancelled"


def test_breakpoints_that_are_taken_away_stop_nothing() -> None:
    live = Live()
    assert live.run()["state"] == "completed"


def test_who_may_only_read_a_run_cannot_stop_it() -> None:
    house = House()
    publish(house, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
    run_id = start(house)
    house.authenticator = Everybody(who("eve", "viewer"))
    assert house.call("POST", f"{RUNS}/{run_id}/sessions", {"live": True}).status == 403
    assert house.call("POST", f"{RUNS}/{run_id}/sessions", {}).status == 201
