"""Workflows and runs of other owners and tenants: what is hidden looks missing; who is asked at a gate sees its run."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import NotFound
from chalicelib.usecases import run_starts
from tests.kit.callers import Everybody, who
from tests.kit.house import RATE, House
from tests.kit.workflow_calls import ALL, GATE, LINE, RUNS, TRIGGER, delivery, edges, publish, settle, start


def act(house: House, subject: str, role: str = "user", tenant: str = "default") -> House:
    house.authenticator = Everybody(who(subject, role, tenant=tenant))
    return house


CALLS: list[tuple[str, str, Any]] = [
    ("GET", f"{ALL}/w", None),
    ("PUT", f"{ALL}/w", LINE),
    ("DELETE", f"{ALL}/w", None),
    ("GET", f"{ALL}/w/versions/1", None),
    ("POST", f"{ALL}/w:start", {}),
    ("POST", f"{ALL}:test", {"workflow": "w"}),
    ("GET", f"{ALL}/w:export", None),
    ("GET", f"{RUNS}/r", None),
    ("GET", f"{RUNS}/r/events", None),
    ("POST", f"{RUNS}/r:cancel", {}),
    ("POST", f"{RUNS}/r:redrive", {}),
    ("POST", f"{RUNS}/r/nodes/g:approve", {"nonce": "x"}),
    ("POST", f"{RUNS}/r/nodes/g:reject", {"nonce": "x"}),
    ("POST", f"{RUNS}/r/nodes/g:complete", {}),
    ("POST", f"{RUNS}/r/nodes/g:fail", {"error": "x"}),
]


@pytest.fixture
def house() -> House:
    """Bob's workflow, and a run of it that waits for Ann or Bob."""
    made = act(House(), "bob")
    publish(made, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
    start(made, run_id="r")
    return made


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
@pytest.mark.parametrize("who_asks", [("eve", "user", "default"), ("bob", "user", "other"), ("ada", "admin", "other")])
def test_what_another_has_looks_missing(
    house: House, who_asks: tuple[str, str, str], method: str, path: str, body: Any
) -> None:
    answer = act(house, *who_asks).call(method, path, body)
    assert (answer.status, answer.code) == (404, "not_found")
    run = act(house, "bob").call("GET", f"{RUNS}/r").json
    assert (run["state"], run["events"]) == ("waiting", 5)


def test_lists_show_ones_own(house: House) -> None:
    assert act(house, "eve").call("GET", ALL).json["items"] == []
    assert house.call("GET", RUNS).json["items"] == []
    assert len(act(house, "vic", "viewer").call("GET", RUNS).json["items"]) == 1
    assert act(house, "ada", "admin", "other").call("GET", RUNS).json["items"] == []


def test_who_started_a_run_may_not_decide_and_who_is_asked_may(house: House) -> None:
    shown = house.call("GET", f"{RUNS}/r").json["nodes"]["g"]["approval"]
    assert "nonce" not in shown, "bob may not decide, so he is not told the nonce"
    nonce = act(house, "ann").call("GET", f"{RUNS}/r").json["nodes"]["g"]["approval"]["nonce"]
    path = f"{RUNS}/r/nodes/g:approve"
    refused = act(house, "bob").call("POST", path, {"nonce": nonce})
    assert (refused.status, refused.code) == (403, "self_approval")
    assert act(house, "opal", "operator").call("POST", path, {"nonce": nonce}).status == 403
    assert act(house, "ann", "viewer").call("POST", path, {"nonce": nonce}).status == 403
    done = act(house, "ann").call("POST", path, {"nonce": nonce})
    assert (done.status, done.json["state"]) == (200, "completed")
    settle(house)


def publishing(house: House, **document: Any) -> Any:
    return house.call("POST", ALL, {"name": "mine", **document})


def line_to(**node: Any) -> dict[str, Any]:
    return {"nodes": [TRIGGER, {"id": "x", **node}], "edges": edges(("t", "x"))}


def test_a_workflow_begins_no_workflow_of_another(house: House) -> None:
    child = line_to(type="subworkflow", workflow="w")
    refused = publishing(act(house, "eve"), **child)
    assert refused.fields == ["nodes.x.workflow"]
    assert refused.json["errors"] == publishing(house, **line_to(type="subworkflow", workflow="w")).json["errors"]
    assert publishing(house, **LINE, on_failure="w").fields == ["on_failure"]
    assert house.call("POST", f"{ALL}:test", {"definition": child}).fields == ["definition.nodes.x.workflow"]
    assert publishing(act(house, "opal", "operator"), **child).status == 201


def test_what_is_begun_may_begin_what_its_own_publisher_may(house: House) -> None:
    act(house, "opal", "operator")
    publish(house, "hers", **line_to(type="subworkflow", workflow="w"))
    publish(house, "ours", **line_to(type="subworkflow", workflow="hers"))
    assert publishing(house, **line_to(type="subworkflow", workflow="ours")).status == 201


def test_a_job_takes_no_target_of_a_schedule_of_another(house: House) -> None:
    schedule_id = act(house, "bob").make()["id"]
    job = line_to(type="job", schedule_id=schedule_id)
    refused = publishing(act(house, "eve"), **job)
    assert refused.fields == ["nodes.x.schedule_id"]
    assert refused.json["errors"][0]["message"] == f"there is no schedule {schedule_id}"
    assert publishing(act(house, "bob"), **line_to(type="job", schedule_id="gone")).fields == ["nodes.x.schedule_id"]
    assert publishing(house, **job).status == 201


@pytest.mark.parametrize("node", ["t", "nowhere", "h"])
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_no_node_of_anothers_run_can_be_found_by_deciding(verb: str, node: str) -> None:
    house = act(House(), "bob")
    second = GATE | {"id": "h"}
    publish(house, nodes=[TRIGGER, GATE, second], edges=edges(("t", "g"), ("g", "h")))
    start(house, run_id="r")
    act(house, "eve")
    found, missing = (
        house.call("POST", f"{RUNS}/{run}/nodes/{node}:{verb}", {"nonce": "x"}, headers=stale)
        for run in ("r", "s")
        for stale in [{"If-Match": '"9"'}]
    )
    assert (found.status, found.code) == (missing.status, missing.code) == (404, "not_found")
    assert found.json["detail"] == missing.json["detail"].replace("run s", "run r")
    asked = act(house, "ann").call("POST", f"{RUNS}/r/nodes/{node}:{verb}", {"nonce": "x"})
    assert asked.code != "not_found" or node == "nowhere", "she sees the run"


def test_a_target_that_is_anothers_workflow_looks_missing(house: House) -> None:
    made = [
        act(house, "eve").call("POST", "/api/v1/schedules", {**RATE, "target": {"type": "workflow", "workflow": name}})
        for name in ("w", "x")
    ]
    assert [(each.status, each.code, each.fields) for each in made] == [(422, "invalid_field", ["target.workflow"])] * 2
    assert made[0].json["detail"] == made[1].json["detail"].replace("workflow x", "workflow w")


def test_a_run_is_not_driven_again_under_anothers_workflow(house: House) -> None:
    act(house, "bob").call("POST", f"{RUNS}/r:cancel", {})
    settle(house)
    assert house.call("DELETE", f"{ALL}/w").status == 200
    publish(act(house, "eve"), **LINE)
    again = {"version": "1", "dry_run": True}
    answer = act(house, "bob").call("POST", f"{RUNS}/r:redrive", again)
    assert (answer.status, answer.json["detail"]) == (404, "there is no workflow w")
    assert act(house, "opal", "operator").call("POST", f"{RUNS}/r:redrive", again).status != 404


def test_nobody_takes_the_id_of_anothers_run_or_learns_its_workflow(house: House) -> None:
    schedule_id = act(house, "bob").make()["id"]
    publish(act(house, "eve"), "mine", **LINE)
    for known in (schedule_id, schedule_id[:-1] + "0"):
        for end in ("1795252805000", "1795252805000-m", "a" * 26):
            refused = house.call("POST", f"{ALL}/mine:start", {"run_id": f"{known}-{end}", "input": {"n": 1}})
            assert refused.fields == ["run_id"], refused.body
    taken = house.call("POST", f"{ALL}/mine:start", {"run_id": "r"})
    assert (taken.code, taken.json["detail"]) == ("run_id_taken", "run r is of another workflow")
    publish(act(house, "bob"), "his", **LINE)
    own = {"run_id": f"{schedule_id}-1795252805000", "input": {"n": 1}}
    assert house.call("POST", f"{ALL}/his:start", own).status == 202


@pytest.mark.parametrize("again", ["bob", "eve"])
def test_a_name_that_is_free_again_is_not_what_was_named(again: str) -> None:
    """Else who takes the name would get what goes to it: the input of runs, their failures, the payloads of firings."""
    house = act(House(), "bob")
    publish(house, "sub", **LINE)
    wait = line_to(type="subworkflow", workflow="sub")
    bad = line_to(type="script", language="python", code="1 / 0")
    publish(house, "waits", **wait)
    publish(house, "fails", **bad, on_failure="sub")
    named = house.call("POST", "/api/v1/schedules", {**RATE, "target": {"type": "workflow", "workflow": "sub"}}).json
    assert house.call("DELETE", f"{ALL}/sub").status == 200
    house.clock.advance(60_000)
    publish(act(house, again), "sub", **LINE)
    is_his = again == "bob"
    begun = act(house, "bob").call("POST", f"{ALL}/waits:start", {"input": {"n": 1}})
    assert begun.status == 202 if is_his else begun.fields == ["nodes.x.workflow"]
    start(house, "fails", input={"n": 1}, run_id="f")
    handled = act(house, "ada", "admin").call("GET", f"{RUNS}/f~on_failure~0").status
    assert handled == (200 if is_his else 404)
    sent = delivery(named["id"], target={"type": "workflow", "workflow": "sub"})
    if is_his:
        run_starts.of_firing(house.services, sent)
    else:
        with pytest.raises(NotFound):
            run_starts.of_firing(house.services, sent)


def test_a_subject_that_is_called_like_a_role_does_not_have_it() -> None:
    house = act(House(), "bob")
    publish(house, nodes=[TRIGGER, GATE | {"approvers": ["role:boss"]}], edges=edges(("t", "g")))
    start(house, run_id="r")
    assert act(house, "role:boss").call("GET", f"{RUNS}/r").status == 404
    assert house.call("POST", f"{RUNS}/r/nodes/g:approve", {"nonce": "x"}).status == 404
