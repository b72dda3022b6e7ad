"""Runs of workflows from their start to their end, over the memory adapter in virtual time."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from chalicelib.core.errors import Conflict, InvalidField
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.target import Outcome
from chalicelib.ports.workflow_steps import HttpReply, StepFailed
from chalicelib.usecases import runs, workflows
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


def http(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://example.com/{name}", **more}


def condition(when: str) -> dict[str, Any]:
    return {"id": "c", "type": "condition", "cases": [{"name": "yes", "when": cel(when)}], "default": "no"}


def cel(text: str) -> dict[str, str]:
    return {"cel": text}


@pytest.fixture
def play() -> Play:
    return Play()


def test_a_chain_of_steps_runs_to_its_end_each_under_its_own_key(play: Play) -> None:
    play.publish(
        "w", [TRIGGER, http("a"), http("b", body={"from": cel("nodes.a.output.body.ok")})], [("t", "a"), ("a", "b")]
    )
    run = play.start("w", {"x": 1})
    play.settle()
    shown = play.shown(run)
    assert shown.run.state.status == "completed"
    assert play.calls.keys == [f"{run}/a", f"{run}/b"]
    assert play.calls.asked[1].body == b'{"from":true}'
    assert shown.output["status"] == 200
    assert shown.input == {"x": 1}


def test_starting_again_with_the_same_id_starts_nothing(play: Play) -> None:
    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    play.start("w", run_id="r1")
    play.settle()
    assert play.start("w", run_id="r1") == "r1"
    play.settle()
    assert play.calls.keys == ["r1/a"]


def test_a_delay_ends_to_the_millisecond_and_costs_nothing_while_it_waits(play: Play) -> None:
    play.publish("w", [TRIGGER, {"id": "d", "type": "delay", "for_ms": 1_234_567}, http("a")], [("t", "d"), ("d", "a")])
    run = play.start("w")
    play.settle()
    began = play.s.clock.now_ms()
    play.advance(1_220_000)
    assert play.statuses(run) == {"t": "completed", "d": "waiting", "a": "pending"}
    assert play.shown(run).run.state.shown_status == "waiting"
    assert len(play.s.stores.runs.events("default", run, 0, 100)) == 5
    play.advance(20_000)  # a worker receives the hint ahead of its instant, and waits
    assert play.statuses(run)["a"] == "completed"
    assert play.state(run).nodes["d"].finished_ms == began + 1_234_567


def test_lost_messages_are_found_by_the_minute_rule(play: Play) -> None:
    play.publish("w", [TRIGGER, http("a"), {"id": "d", "type": "delay", "for_ms": 5_000}, http("b")],
                 [("t", "a"), ("a", "d"), ("d", "b")])  # fmt: skip
    run = play.start("w")
    play.queue._letters.clear()
    play.advance(130_000)
    play.queue._letters.clear()
    play.advance(200_000)
    assert play.statuses(run)["b"] == "completed"
    assert sorted(play.calls.keys) == [f"{run}/a", f"{run}/b"]


def test_a_failing_step_is_tried_again_under_the_same_key(play: Play) -> None:
    def refuse(request: Any) -> HttpReply:
        return HttpReply(503 if request.attempt < 3 else 200, {}, b"")

    play.calls.answers["https://example.com/a"] = refuse
    retry = {"max_attempts": 3, "base_ms": 1000, "jitter": False}
    play.publish("w", [TRIGGER, http("a", retry=retry)], [("t", "a")])
    run = play.start("w")
    play.advance(10_000)
    assert play.state(run).status == "completed"
    assert play.calls.keys == [f"{run}/a"] * 3
    assert [request.attempt for request in play.calls.asked] == [1, 2, 3]


def test_an_expression_that_cannot_be_evaluated_fails_its_node_with_the_key(play: Play) -> None:
    nodes = [TRIGGER, condition("input.gone"), http("a"), http("e")]
    play.publish("w", nodes, [("t", "c"), ("c", "a", {"case": "no"}), ("c", "e", {"on": "failure"})])
    run = play.start("w", {})
    play.settle()
    assert play.statuses(run) == {"t": "completed", "c": "failed", "a": "skipped", "e": "completed"}
    assert "gone" in play.state(run).nodes["c"].error


@pytest.mark.parametrize(("given", "taken"), [(True, "a"), (False, "b")])
def test_a_condition_takes_one_way(play: Play, given: bool, taken: str) -> None:
    nodes = [TRIGGER, condition("input.big"), http("a"), http("b"), {"id": "j", "type": "join"}]
    play.publish(
        "w", nodes, [("t", "c"), ("c", "a", {"case": "yes"}), ("c", "b", {"case": "no"}), ("a", "j"), ("b", "j")]
    )
    run = play.start("w", {"big": given})
    play.settle()
    assert play.state(run).status == "completed"
    assert play.calls.keys == [f"{run}/{taken}"]
    assert play.state(run).nodes["a" if taken == "b" else "b"].reason.startswith("c -> ")


def test_a_foreach_runs_its_body_once_an_item_and_joins_the_outputs_in_order(play: Play) -> None:
    nodes = [
        TRIGGER,
        {"id": "p", "type": "parallel", "foreach": {"items": cel("input.list"), "max_concurrency": 2}},
        http("a", body={"item": cel("item"), "index": cel("index")}),
        {"id": "s", "type": "script", "language": "python", "code": "input", "input": {"n": cel("item")}},
        {"id": "j", "type": "join"},
        http("z", body=cel("nodes.j.output")),
    ]
    play.publish("w", nodes, [("t", "p"), ("p", "a"), ("a", "s"), ("s", "j"), ("j", "z")])
    run = play.start("w", {"list": ["x", "y", "z"]})
    play.settle()
    assert play.state(run).status == "completed", play.state(run)
    assert sorted(play.calls.keys) == [f"{run}/a/0", f"{run}/a/1", f"{run}/a/2", f"{run}/z"]
    bodies = {request.key: request.body for request in play.calls.asked}
    assert bodies[f"{run}/a/1"] == b'{"item":"y","index":1}'
    assert bodies[f"{run}/z"] == b'[{"n":"x"},{"n":"y"},{"n":"z"}]'


def test_items_that_fail_beyond_what_is_tolerated_fail_the_run(play: Play) -> None:
    play.calls.answers["https://example.com/a"] = lambda r: HttpReply(400 if r.key.endswith("/1") else 200, {}, b"")
    each = {"items": cel("input"), "max_concurrency": 1}
    for tolerated, status in ((0, "failed"), (1, "completed")):
        name = f"w{tolerated}"
        nodes = [TRIGGER, {"id": "p", "type": "parallel", "foreach": {**each, "tolerated_failures": tolerated}},
                 http("a"), {"id": "j", "type": "join"}]  # fmt: skip
        play.publish(name, nodes, [("t", "p"), ("p", "a"), ("a", "j")])
        run = play.start(name, [1, 2, 3])
        play.settle()
        assert play.state(run).status == status


def test_an_approval_waits_for_a_person_and_expires_to_the_millisecond(play: Play) -> None:
    gate = {"id": "g", "type": "approval", "approvers": ["ann"], "expires_in_ms": 90_000}
    play.publish("w", [TRIGGER, gate, http("a"), http("r")], [("t", "g"), ("g", "a"), ("g", "r", {"on": "rejected"})])
    run, other = play.start("w"), play.start("w")
    play.settle()
    nonce = play.state(run).nodes["g"].gate.nonce
    assert nonce != play.state(other).nodes["g"].gate.nonce
    with pytest.raises(Conflict):
        runs.decide(play.s, ANONYMOUS_ADMIN, other, "g", nonce, True, "")
    runs.decide(play.s, ANONYMOUS_ADMIN, run, "g", nonce, True, "fine")
    play.advance(90_000)
    assert play.statuses(run)["a"] == "completed"
    assert play.statuses(other) == {"t": "completed", "g": "failed", "a": "skipped", "r": "completed"}
    gate_state = play.state(other).nodes["g"]
    assert gate_state.finished_ms - gate_state.started_ms == 90_000


def test_a_job_that_its_target_accepts_waits_for_the_call_that_ends_it(play: Play) -> None:
    play.target.outcome = Outcome("accepted", 202)
    job = {
        "id": "a",
        "type": "job",
        "target": {"type": "webhook", "url": "https://example.com/"},
        "payload": {"n": cel("input.n")},
    }
    play.publish("w", [TRIGGER, job], [("t", "a")])
    run = play.start("w", {"n": 7})
    play.settle()
    assert play.target.got[0].execution_id == f"{run}/a"
    assert b'"data":{"n":7}' in play.target.got[0].event
    assert play.statuses(run)["a"] == "waiting"
    runs.end_node(play.s, ANONYMOUS_ADMIN, run, "a", {"done": 1}, None)
    assert play.shown(run).output == {"done": 1}
    with pytest.raises(Conflict):
        runs.end_node(play.s, ANONYMOUS_ADMIN, run, "a", None, ("x", "y"))


def test_a_subworkflow_keeps_the_version_of_its_parents_start(play: Play) -> None:
    play.publish("inner", [TRIGGER, http("a")], [("t", "a")])
    delay, inner = {"id": "d", "type": "delay", "for_ms": 1000}, {"id": "s", "type": "subworkflow", "workflow": "inner"}
    play.publish("outer", [TRIGGER, delay, inner], [("t", "d"), ("d", "s")])
    run = play.start("outer")
    play.settle()
    changed = {"nodes": [TRIGGER, http("b")], "edges": [{"from": "t", "to": "b"}]}
    workflows.put(play.s, ANONYMOUS_ADMIN, "inner", changed, None)
    play.advance(2000)
    assert play.state(run).status == "completed"
    assert play.calls.keys == [f"{run}~s/a"]
    assert play.shown(run).output["status"] == 200


def test_what_is_done_is_undone_in_reverse_when_a_later_step_fails(play: Play) -> None:
    play.calls.answers["https://example.com/c"] = lambda _: HttpReply(400, {}, b"")
    nodes = [TRIGGER, http("a", compensate="ua"), http("b", compensate="ub"), http("c"), http("ua"), http("ub")]
    play.publish("w", nodes, [("t", "a"), ("a", "b"), ("b", "c")])
    run = play.start("w")
    play.settle()
    assert play.state(run).status == "failed"
    assert play.calls.keys == [f"{run}/a", f"{run}/b", f"{run}/c", f"{run}/b/comp", f"{run}/a/comp"]


def test_a_redrive_keeps_what_completed_and_its_keys(play: Play) -> None:
    play.calls.answers["https://example.com/b"] = lambda _: HttpReply(400, {}, b"")
    play.publish("w", [TRIGGER, http("a"), http("b"), http("c")], [("t", "a"), ("a", "b"), ("b", "c")])
    run = play.start("w")
    play.settle()
    play.calls.answers.clear()
    plan = runs.drive_again(play.s, ANONYMOUS_ADMIN, run, None, None, None, True)
    assert (list(plan.kept), sorted(plan.again)) == (["t", "a"], ["b", "c"])
    assert play.state(run).status == "failed", "a dry run changes nothing"
    runs.drive_again(play.s, ANONYMOUS_ADMIN, run, None, None, None, False)
    play.settle()
    assert play.state(run).status == "completed"
    assert play.calls.keys == [f"{run}/{n}" for n in ("a", "b", "b", "c")]
    runs.drive_again(play.s, ANONYMOUS_ADMIN, run, "b", None, None, False)
    play.settle()
    assert play.calls.keys[4:] == [f"{run}/b#2", f"{run}/c#2"]


def test_a_chosen_rerun_of_a_foreach_calls_under_new_keys(play: Play) -> None:
    each = {"id": "p", "type": "parallel", "foreach": {"items": cel("input"), "max_concurrency": 1}}
    inner = {"id": "q", "type": "parallel", "foreach": {"items": cel("item"), "max_concurrency": 1}}
    nodes = [TRIGGER, each, http("a"), inner, http("b"), {"id": "k", "type": "join"}, {"id": "j", "type": "join"}]
    edges = [("t", "p"), ("p", "a"), ("a", "q"), ("q", "b"), ("b", "k"), ("k", "j")]
    play.publish("w", nodes, edges)
    run = play.start("w", [[1, 2]])
    play.settle()
    first = [f"{run}/a/0", f"{run}/b/0/0", f"{run}/b/0/1"]
    assert play.calls.keys == first
    runs.drive_again(play.s, ANONYMOUS_ADMIN, run, "p", None, None, False)
    play.settle()
    assert play.calls.keys[3:] == [f"{key}#2" for key in first]
    with pytest.raises(InvalidField, match="a runs once an item: name its foreach"):
        runs.drive_again(play.s, ANONYMOUS_ADMIN, run, "a", None, None, True)


def test_what_an_item_does_anew_after_an_undoing_shares_no_key_with_a_chosen_rerun(play: Play) -> None:
    each = {"id": "p", "type": "parallel", "foreach": {"items": cel("input")}}
    nodes = [TRIGGER, each, http("a", compensate="u"), http("b"), {"id": "j", "type": "join"}, http("u")]
    play.calls.answers["https://example.com/b"] = lambda _: HttpReply(400, {}, b"")
    play.publish("w", nodes, [("t", "p"), ("p", "a"), ("a", "b"), ("b", "j")])
    run = play.start("w", [1])
    play.settle()
    play.calls.answers.clear()
    for chosen in (None, "p"):
        runs.drive_again(play.s, ANONYMOUS_ADMIN, run, chosen, None, None, False)
        play.settle()
    a, b = f"{run}/a/0", f"{run}/b/0"
    assert play.calls.keys == [a, b, f"{a}/comp", f"{a}#1.2", b, f"{a}#2", f"{b}#2"]


def test_an_item_whose_value_is_another_one_in_a_redrive_runs_again(play: Play) -> None:
    def answer(request: Any) -> HttpReply:
        status = 400 if json.loads(request.body) in refused else 200
        return HttpReply(status, {"content-type": "application/json"}, request.body)

    def go_on(values: list[Any]) -> list[str]:
        known = len(play.calls.keys)
        runs.drive_again(play.s, ANONYMOUS_ADMIN, run, None, None, {"list": values}, False)
        play.settle()
        return [key.removeprefix(run) for key in play.calls.keys[known:]]

    refused: list[Any] = [2, 4]
    play.calls.answers["https://example.com/b"] = answer
    each = {"items": cel("input.list"), "max_concurrency": 1, "tolerated_failures": 1}
    nodes = [TRIGGER, {"id": "p", "type": "parallel", "foreach": each}, http("a"), http("b", body=cel("item"))]
    nodes += [{"id": "j", "type": "join"}, http("c")]
    play.publish("w", nodes, [("t", "p"), ("p", "a"), ("a", "b"), ("b", "j"), ("j", "c")])
    play.calls.answers["https://example.com/c"] = lambda _: HttpReply(400, {}, b"")
    run = play.start("w", {"list": [1, 2, 4, 5]})
    play.settle()
    assert play.state(run).nodes["p"].status == "failed"
    refused[:] = [True]
    assert go_on([True, 2, 8, 5]) == ["/a/0#1.2", "/b/0#1.2", "/b/1", "/a/2#1.2", "/b/2", "/a/3", "/b/3", "/c"]
    outputs = play.shown(run).outputs["j"]
    assert [one and one["body"] for one in outputs] == [None, 2, 8, 5], "true is not 1, and what 1 came to is gone"
    assert go_on([9]) == ["/c"], "the foreach completed"


def test_a_join_that_can_not_have_its_number_says_so_in_its_reason(play: Play) -> None:
    play.calls.answers["https://example.com/a"] = lambda _: HttpReply(400, {}, b"")
    edges = [("t", "a"), ("t", "b"), ("a", "j"), ("b", "j")]
    play.publish("w", [TRIGGER, http("a"), http("b"), {"id": "j", "type": "join", "mode": "n_of", "n": 2}], edges)
    run = play.start("w")
    play.settle()
    join = play.state(run).nodes["j"]
    assert (join.status, join.reason, join.error_type) == ("failed", "unreachable_quorum", "unreachable_quorum")


def test_a_cancel_stops_all_effects_and_reaches_the_items(play: Play) -> None:
    nodes = [TRIGGER, {"id": "p", "type": "parallel", "foreach": {"items": cel("input")}},
             {"id": "d", "type": "delay", "for_ms": 60_000}, http("a"), {"id": "j", "type": "join"}]  # fmt: skip
    play.publish("w", nodes, [("t", "p"), ("p", "d"), ("d", "a"), ("a", "j")])
    run = play.start("w", [1, 2])
    play.settle()
    runs.cancel(play.s, ANONYMOUS_ADMIN, run, "enough")
    play.settle()
    assert play.state(run).status == "cancelled"
    assert play.state(f"{run}~p~0").status == "cancelled"
    play.advance(300_000)
    assert not play.calls.asked
    assert not play.s.stores.runs.woken(play.s.clock.now_ms() + 10**9, 100), "nobody looks at what has ended"


def test_a_large_output_lies_beside_the_log_and_a_huge_one_fails_its_node(play: Play) -> None:
    def large(request: Any) -> HttpReply:
        if request.url.endswith("b"):
            raise StepFailed("payload_too_large", "the answer has more than 16777216 bytes")
        return HttpReply(200, {}, b"x" * 300_000)

    play.calls.answers = {"https://example.com/a": large, "https://example.com/b": large}
    play.publish(
        "w", [TRIGGER, http("a"), http("b"), http("c")], [("t", "a"), ("a", "b"), ("b", "c", {"on": "failure"})]
    )
    run = play.start("w")
    play.settle()
    shown = play.shown(run)
    assert shown.outputs["a"]["size"] > 300_000
    assert "$ref" in shown.outputs["a"]
    assert play.state(run).nodes["b"].error_type == "payload_too_large"
    assert play.statuses(run)["c"] == "completed"


def test_a_failed_run_of_a_long_chain_reads_its_log_in_two_calls(play: Play) -> None:
    names = [f"n{i}" for i in range(120)]
    play.publish("w", [TRIGGER, *map(http, names)], [("t", "n0"), *itertools.pairwise(names)])
    run = play.start("w")
    play.settle()
    read = play.s.stores.runs.read("default", run)
    assert read.state is not None
    assert len(read.events) < 60
    assert play.state(run).status == "completed"
