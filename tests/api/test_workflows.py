"""Workflows and runs as callers meet them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.ports.target import Outcome
from tests.kit.house import Answer, House
from tests.kit.workflow_calls import ALL, GATE, LINE, RUNS, SCRIPT, TRIGGER, edges, publish, settle, start
from tests.kit.workflow_play import FakeTarget


def run_of(house: House, run_id: str) -> dict[str, Any]:
    answer = house.call("GET", f"{RUNS}/{run_id}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def waiting_at_a_gate(house: House) -> tuple[str, str]:
    publish(house, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
    run_id = start(house)
    return run_id, run_of(house, run_id)["nodes"]["g"]["approval"]["nonce"]


def decide(house: House, run_id: str, nonce: str, verb: str = "approve") -> Answer:
    return house.call("POST", f"{RUNS}/{run_id}/nodes/g:{verb}", {"nonce": nonce})


def test_a_workflow_is_published_started_and_shown(house: House) -> None:
    made = publish(house)
    assert (made["number"], made["live"], made["format"]) == (1, made["version"], "chronowatch.workflow/v1")
    run = run_of(house, start(house, input={"n": 41}))
    assert run["state"] == "completed"
    assert run["output"] == 42
    assert run["nodes"]["s"]["output"] == 42
    assert run["nodes"]["s"]["state"] == "completed"
    assert run["version"] == made["version"]
    assert run["input"] == {"n": 41}
    [listed] = house.call("GET", RUNS, query="workflow=w&state=completed").json["items"]
    assert listed["id"] == run["id"]
    assert house.call("GET", RUNS, query="state=failed").json["items"] == []


def test_a_layout_makes_no_new_version_and_an_edit_does(house: House) -> None:
    first = publish(house)["version"]
    moved = house.call("PUT", f"{ALL}/w", LINE | {"layout": {"s": [1, 2]}})
    assert (moved.json["number"], moved.json["version"]) == (1, first)
    edited = house.call("PUT", f"{ALL}/w", LINE | {"description": "other"}, headers={"If-Match": f'"{first}"'})
    assert edited.json["number"] == 2
    assert [v["number"] for v in edited.json["versions"]] == [1, 2]
    assert house.call("PUT", f"{ALL}/w", LINE, headers={"If-Match": f'"{first}"'}).status == 412
    for wanted in (first, "1"):
        assert "description" not in house.call("GET", f"{ALL}/w/versions/{wanted}").json
    assert house.call("GET", f"{ALL}/w/versions/9").status == 404
    again = house.call("PUT", f"{ALL}/w", LINE)
    assert (again.json["number"], again.json["live"]) == (1, first), "an earlier form is that version again"


def test_a_name_is_taken_once(house: House) -> None:
    publish(house)
    assert house.call("POST", ALL, {"name": "w", **LINE}).code == "name_taken"
    headers = {"Idempotency-Key": "k"}
    first = house.call("POST", ALL, {"name": "v", **LINE}, headers=headers)
    assert house.call("POST", ALL, {"name": "v", **LINE}, headers=headers).json == first.json


def test_a_run_is_started_once_under_a_key(house: House) -> None:
    publish(house)
    headers = {"Idempotency-Key": "k"}
    first = house.call("POST", f"{ALL}/w:start", {"input": {"n": 1}}, headers=headers)
    again = house.call("POST", f"{ALL}/w:start", {"input": {"n": 1}}, headers=headers)
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (202, 202, "true")
    assert (
        [run["id"] for run in house.call("GET", RUNS).json["items"]] == [first.json["run_id"]] == [again.json["run_id"]]
    )
    other = house.call("POST", f"{ALL}/w:start", {"input": {"n": 2}}, headers=headers)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


def test_yaml_is_taken_and_on_is_text(house: House) -> None:
    nodes = b"nodes:\n- {id: t, type: trigger, on: manual}\n- {id: d, type: delay, for_ms: 0}\n"
    text = b"name: y\n" + nodes + b"edges:\n- {from: t, to: d}\n"
    answer = house.call("POST", ALL, raw=text, headers={"Content-Type": "application/yaml"})
    assert answer.status == 201, answer.body
    assert answer.json["nodes"][0]["on"] == "manual"


def after_trigger(**node: Any) -> dict[str, Any]:
    return {"nodes": [TRIGGER, {"id": "x", **node}], "edges": edges(("t", "x"))}


def script_with(**changes: Any) -> dict[str, Any]:
    return {"nodes": [TRIGGER, SCRIPT | changes], "edges": edges(("t", "s"))}


RING = {
    "nodes": [TRIGGER, SCRIPT, {"id": "r", "type": "delay", "for_ms": 1}],
    "edges": edges(("t", "s"), ("s", "r"), ("r", "s")),
}
HOOK = {"type": "webhook", "url": "https://a.example.com/", "headers": {"a": {"cel": 5}}}
EACH = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"nodes": [SCRIPT]}, "nodes"),
    ({"nodes": [TRIGGER, TRIGGER]}, "nodes"),
    ({"nodes": [TRIGGER, SCRIPT], "edges": []}, "nodes.s"),
    ({"nodes": [TRIGGER, SCRIPT], "edges": edges(("t", "x"))}, "edges[0].to"),
    ({"nodes": [TRIGGER, {"id": "x", "type": "pigeon"}]}, "nodes[1].type"),
    ({"nodes": [TRIGGER, {"id": "x", "type": ["script"]}]}, "nodes[1].type"),
    (script_with(color=1), "nodes.s.color"),
    (script_with(code="x = ("), "nodes.s.code"),
    (script_with(input={"a": {"cel": "input.a +"}}), "nodes.s.input.a.cel"),
    (script_with(input={"cel": "nodes.q.output"}), "nodes.s.input.cel"),
    (script_with(input={"cel": "secret.x"}), "nodes.s.input.cel"),
    (script_with(compensate="s"), "nodes.s.compensate"),
    (script_with(retry={"max_attempts": 0}), "nodes.s.retry.max_attempts"),
    (after_trigger(type="transform", jsonata="a.["), "nodes.x.jsonata"),
    (after_trigger(type="approval", approvers=[]), "nodes.x.approvers"),
    (after_trigger(type="http", method="GET", url="ftp://x"), "nodes.x.url"),
    (after_trigger(type="http", method="GET", url="http://169.254.169.254/"), "nodes.x.url"),
    (after_trigger(type="job", target={"type": "webhook"}), "nodes.x.target.url"),
    (after_trigger(type="job", target={"type": ["log"]}), "nodes.x.target.type"),
    (after_trigger(type="notification", message="m", channel=HOOK), "nodes.x.channel.headers.a"),
    (after_trigger(type="join", mode="n_of", n=2), "nodes.x.n"),
    (after_trigger(type="subworkflow", workflow="gone"), "nodes.x.workflow"),
    (after_trigger(type="delay"), "nodes.x.for_ms"),
    (after_trigger(type="delay", until_cron="x"), "nodes.x.until_cron"),
    (after_trigger(type="delay", until="tomorrow"), "nodes.x.until"),
    (after_trigger(type="delay", until="2026-12-25T10:00:00"), "nodes.x.until"),
    (RING, "edges"),
    ({"nodes": [TRIGGER, EACH, SCRIPT], "edges": edges(("t", "p"), ("p", "s"))}, "nodes.p.foreach"),
    (LINE | {"input_schema": {"type": "thing"}}, "input_schema.type"),
    (LINE | {"input_schema": {"type": {"is": "string"}}}, "input_schema.type"),
    (LINE | {"input_schema": {"required": [{"name": "n"}]}}, "input_schema.required"),
    (LINE | {"input_schema": {"enum": "abc"}}, "input_schema.enum"),
    (LINE | {"timeout_ms": 0}, "timeout_ms"),
]


@pytest.mark.parametrize(("document", "field"), WRONG, ids=[field for _, field in WRONG])
def test_what_is_wrong_is_named_with_its_place(shared: House, document: dict[str, Any], field: str) -> None:
    answer = shared.call("POST", ALL, {"name": "wrong", **document})
    assert field in answer.fields, answer.body
    judged = shared.call("POST", f"{ALL}/wrong:validate", document).json
    assert judged["valid"] is False
    assert field in [error["field"] for error in judged["errors"]]
    assert shared.call("GET", f"{ALL}/wrong").status == 404


def test_a_sound_definition_is_valid_and_nothing_is_published(house: House) -> None:
    assert house.call("POST", f"{ALL}/w:validate", LINE).json == {"valid": True, "errors": []}
    assert house.call("GET", f"{ALL}/w").status == 404


def test_an_input_that_does_not_fit_is_refused(house: House) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}
    publish(house, **LINE, input_schema=schema)
    assert house.call("POST", f"{ALL}/w:start", {}).fields == ["input"]
    assert house.call("POST", f"{ALL}/w:start", {"input": {}}).fields == ["input.n"]
    assert house.call("POST", f"{ALL}/w:start", {"input": {"n": 0}}).fields == ["input.n"]
    assert house.call("POST", f"{ALL}/w:start", {"input": {"n": 1}}).status == 202


def test_true_is_not_the_number_that_a_schema_lists(house: House) -> None:
    publish(house, **LINE, input_schema={"properties": {"n": {"enum": [1]}, "m": {"const": True}}})
    assert house.call("POST", f"{ALL}/w:start", {"input": {"n": True, "m": 1}}).fields == ["input.n", "input.m"]
    assert house.call("POST", f"{ALL}/w:start", {"input": {"n": 1.0, "m": True}}).status == 202


def test_starting_with_an_id_that_exists_answers_that_run(house: House) -> None:
    publish(house)
    publish(house, "v")
    assert start(house, run_id="mine", input={"n": 1}) == "mine"
    assert start(house, run_id="mine", input={"n": 5}) == "mine"
    assert run_of(house, "mine")["output"] == 2
    assert house.call("POST", f"{ALL}/v:start", {"run_id": "mine"}).code == "run_id_taken"
    assert house.call("POST", f"{ALL}/w:start", {"version": "7"}).status == 404


def test_the_log_is_read_in_parts(house: House) -> None:
    publish(house)
    run_id = start(house, input={"n": 1})
    whole = house.call("GET", f"{RUNS}/{run_id}/events").json["items"]
    assert [e["number"] for e in whole] == list(range(1, len(whole) + 1))
    assert [e["type"] for e in whole] == [
        "run_started", "node_completed", "node_started", "node_claimed", "node_completed", "run_completed",
    ]  # fmt: skip
    part = house.call("GET", f"{RUNS}/{run_id}/events", query="after=2&limit=2").json
    assert (part["items"], part["next_after"]) == (whole[2:4], 4)


def test_the_first_decision_wins_and_get_changes_nothing(house: House) -> None:
    run_id, nonce = waiting_at_a_gate(house)
    assert run_of(house, run_id)["state"] == "waiting"
    assert house.call("GET", f"{RUNS}/{run_id}/nodes/g:approve").status == 405
    assert decide(house, run_id, "0" * 32).code == "wrong_nonce"
    statuses = [decide(house, run_id, nonce, verb).status for verb in ("approve", "reject") * 4]
    assert statuses == [200] + [409] * 7
    settle(house)
    assert run_of(house, run_id)["state"] == "completed"
    gate = next(e for e in house.call("GET", f"{RUNS}/{run_id}/events").json["items"] if e["type"] == "node_waiting")
    assert "nonce" not in gate["data"]["gate"]


def test_a_rejected_gate_fails_the_run_with_its_reason(house: House) -> None:
    run_id, nonce = waiting_at_a_gate(house)
    assert decide(house, run_id, nonce, "reject").json["nodes"]["g"]["reason"] == "rejected"
    assert run_of(house, run_id)["state"] == "failed"


def test_a_cancelled_run_is_cancelled_and_not_failed(house: House) -> None:
    run_id, nonce = waiting_at_a_gate(house)
    answer = house.call("POST", f"{RUNS}/{run_id}:cancel", {"reason": "enough"})
    assert (answer.status, answer.json["state"], answer.json["reason"]) == (202, "cancelled", "enough")
    assert answer.json["nodes"]["g"]["state"] == "cancelled"
    assert decide(house, run_id, nonce).status == 409
    assert house.call("POST", f"{RUNS}/{run_id}:cancel", {}).code == "run_ended"


def test_a_redrive_says_what_it_keeps_and_under_an_edit_what_conflicts(house: House) -> None:
    bad = SCRIPT | {"id": "b", "code": "1 / 0", "input": {"cel": "nodes.s.output"}}
    publish(house, nodes=[TRIGGER, SCRIPT, bad], edges=edges(("t", "s"), ("s", "b")))
    run_id = start(house, input={"n": 1})
    assert run_of(house, run_id)["state"] == "failed"
    dry = house.call("POST", f"{RUNS}/{run_id}:redrive", {"dry_run": True})
    assert (dry.status, dry.json) == (200, {"kept": ["t", "s"], "again": ["b"], "conflicts": []})
    other = {"id": "s", "type": "delay", "for_ms": 1}
    house.call("PUT", f"{ALL}/w", {"nodes": [TRIGGER, other, bad], "edges": edges(("t", "s"), ("s", "b"))})
    refused = house.call("POST", f"{RUNS}/{run_id}:redrive", {"version": "live"})
    assert refused.code == "redrive_conflict"
    assert refused.json["conflicts"] == ["s: it completed as script, and is delay now"]
    assert (refused.json["kept"], refused.json["again"]) == (["t", "s"], ["b"])
    mended = bad | {"code": "input * 10"}
    house.call("PUT", f"{ALL}/w", {"nodes": [TRIGGER, SCRIPT, mended], "edges": edges(("t", "s"), ("s", "b"))})
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", {"version": "live"}).status == 202
    settle(house)
    run = run_of(house, run_id)
    assert (run["state"], run["output"]) == ("completed", 20)


def test_a_redrive_may_patch_the_input(house: House) -> None:
    publish(house)
    run_id = start(house, input={"n": "x", "m": 1})
    assert run_of(house, run_id)["state"] == "failed"
    again = {"patch_input": {"n": 4, "m": None}}
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", again).status == 202
    settle(house)
    assert run_of(house, run_id)["input"] == {"n": 4}
    assert run_of(house, run_id)["output"] == 5
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", {"from": "q"}).fields == ["from"]


def test_what_a_node_says_and_nothing_reads_is_noted(house: House) -> None:
    trigger = {**TRIGGER, "filter": {"cel": "true"}}
    made = publish(house, nodes=[trigger, {**GATE, "timeout_ms": 5}], edges=edges(("t", "g")))
    assert made["notes"] == [
        "nodes.t.filter has no effect: it is for what begins the runs to say",
        "nodes.g.timeout_ms has no effect: expires_in_ms ends its wait",
    ]
    clock = {"id": "x", "type": "transform", "jsonata": "$nowhere ? $millis () : 1"}
    made = publish(house, name="clock", nodes=[TRIGGER, clock], edges=edges(("t", "x")))
    assert made["notes"] == [
        "nodes.x.jsonata: $millis knows no clock and no chance here, and comes to the same each time"
    ]


def test_a_patch_is_held_to_the_schema(house: House) -> None:
    schema = {"type": "object", "properties": {"n": {"type": ["integer", "string"]}}}
    publish(house, **LINE, input_schema=schema)
    run_id = start(house, input={"n": "x"})
    for dry_run in (True, False):
        again = {"patch_input": {"n": [1]}, "dry_run": dry_run}
        assert house.call("POST", f"{RUNS}/{run_id}:redrive", again).fields == ["patch_input.n"]
    assert run_of(house, run_id)["state"] == "failed"
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", {"patch_input": {"n": 4}}).status == 202


def test_a_redrive_under_another_version_has_the_timeout_of_that_one(house: House) -> None:
    wait = {"id": "d", "type": "delay", "for_ms": 60_000}
    nodes = {"nodes": [TRIGGER, SCRIPT, wait], "edges": edges(("t", "s"), ("s", "d"))}
    publish(house, **nodes)
    run_id = start(house, input={"n": "x"})
    edited = {**nodes, "timeout_ms": 5_000}
    assert house.call("PUT", f"{ALL}/w", edited).status == 200
    again = {"version": "live", "patch_input": {"n": 1}}
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", again).status == 202
    driven = house.call("GET", f"{RUNS}/{run_id}/events", query="limit=1000").json["items"]
    [event] = [one for one in driven if one["type"] == "run_redriven"]
    assert event["data"]["deadline_ms"] == event["at_unix_ms"] + 5_000


def test_a_patch_of_a_large_input_keeps_the_rest_of_it(house: House) -> None:
    publish(house, nodes=[TRIGGER, SCRIPT | {"code": "len(input['text']) + input['n']"}], edges=edges(("t", "s")))
    run_id = start(house, input={"text": "x" * 80_000})
    assert run_of(house, run_id)["state"] == "failed"
    assert house.call("POST", f"{RUNS}/{run_id}:redrive", {"patch_input": {"n": 1}}).status == 202
    settle(house)
    assert run_of(house, run_id)["output"] == 80_001


def test_a_deleted_workflow_starts_nothing_and_its_runs_go_on(house: House) -> None:
    run_id, nonce = waiting_at_a_gate(house)
    assert house.call("DELETE", f"{ALL}/w").json == {"name": "w"}
    assert house.call("POST", f"{ALL}/w:start", {}).status == 404
    assert decide(house, run_id, nonce).json["state"] == "completed"
    assert house.call("GET", ALL).json["items"] == []


def test_it_is_shown_in_states_where_it_has_such_a_form(house: House) -> None:
    shape = {"id": "a", "type": "transform", "jsonata": "n"}
    publish(house, "line", nodes=[TRIGGER, shape], edges=edges(("t", "a")))
    answer = house.call("GET", f"{ALL}/line:export", query="as=asl")
    assert list(json.loads(answer.body)["States"]) == ["t", "a"]
    publish(house)
    answer = house.call("GET", f"{ALL}/w:export", query="as=asl")
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "nodes.s")


def test_a_definition_is_tried_before_it_is_published(house: House) -> None:
    said = {"definition": LINE, "input": {"n": 2}}
    whole = house.call("POST", f"{ALL}:test", said).json
    assert (whole["state"], whole["output"], whole["nodes"]) == ("completed", 3, {"t": "completed", "s": "completed"})
    assert whole["story"][0]["type"] == "run_started"
    assert house.call("POST", f"{ALL}:test", said | {"node": "s"}).json == {"state": "completed", "output": 3}
    assert house.call("GET", ALL).json["items"] == []


def test_it_is_shown_as_a_flowchart(house: House) -> None:
    publish(house)
    answer = house.call("GET", f"{ALL}/w:export", query="as=mermaid")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.body.decode().splitlines() == [
        "flowchart TD", '  n0(["t<br/>trigger"])', '  n1["s<br/>script"]', "  n0 --> n1",
    ]  # fmt: skip


def test_a_run_is_forked_from_an_event_of_its_log(house: House) -> None:
    call = {"id": "h", "type": "http", "method": "GET", "url": "https://example.com/"}
    publish(house, nodes=[TRIGGER, SCRIPT, GATE, call], edges=edges(("t", "s"), ("s", "g"), ("g", "h")))
    run = start(house, input={"n": 1})
    asked = {"fork": {"run_id": run}, "mocks": {"h": {"body": {"mocked": True}}}}
    found = house.call("POST", f"{ALL}:test", asked)
    assert (found.status, found.json["state"]) == (200, "completed")
    assert found.json["output"]["body"] == {"mocked": True}
    assert house.call("GET", f"{RUNS}/{run}").json["state"] == "waiting"
    for fork, field in (({"run_id": run, "position": 10_000}, "fork.position"), ({"position": 1}, "fork.run_id")):
        refused = house.call("POST", f"{ALL}:test", {"fork": fork})
        assert (refused.status, refused.fields) == (422, [field])
    assert house.call("POST", f"{ALL}:test", {"fork": {"run_id": "gone"}}).status == 404


@pytest.mark.parametrize("body", [{"output": {"n": 1}}, {"result": {"n": 1}}])
def test_a_job_that_answered_202_ends_with_what_its_report_holds(house: House, body: dict[str, object]) -> None:
    """``result`` is what executions call it."""
    target = FakeTarget()
    target.outcome = Outcome("accepted", 202)
    house.services = replace(house.services, targets={"webhook": target})
    job = {"id": "j", "type": "job", "target": {"type": "webhook", "url": "https://example.com/"}, "payload": None}
    publish(house, nodes=[TRIGGER, job], edges=edges(("t", "j")))
    path = f"{RUNS}/{start(house)}/nodes/j:complete"
    assert house.call("POST", path, {"output": 1, "result": 2}).fields == ["result"]
    assert house.call("POST", path, body).status == 200
    settle(house)
    run = house.call("GET", path.removesuffix("/nodes/j:complete")).json
    assert (run["state"], run["output"]) == ("completed", {"n": 1})
    assert house.call("POST", path, body).status == 409
