"""Each type of node does what docs/workflows.md says of it: one test a type at least."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest

from chalicelib.core.errors import Conflict
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.happenings import Decides
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows.run_access import advance
from chalicelib.ports.target import Outcome
from chalicelib.ports.work_queue import Outgoing
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, StepFailed
from chalicelib.usecases import runs, schedules, workflows
from tests.kit.mailer import FakeMailer
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
URL = "https://example.com/x"
JSON = {"content-type": "application/json"}
SECOND_MS = 1000


def play_of(*nodes: dict[str, Any], ways: list[Any] | None = None, **more: Any) -> Play:
    """A workflow ``w``: its nodes in a line, or by ``ways``."""
    play = Play()
    names = ["t", *(node["id"] for node in nodes)]
    play.publish("w", [TRIGGER, *nodes], list(pairwise(names)) if ways is None else ways, **more)
    return play


def go(play: Play, given: Any = None, **how: Any) -> str:
    run = play.start("w", given, **how)
    play.settle()
    return run


def output(play: Play, run: str, node: str = "") -> Any:
    shown = play.shown(run)
    return shown.outputs.get(node) if node else shown.output


def error(play: Play, run: str, node: str) -> tuple[str, str]:
    found = play.state(run).nodes[node]
    return found.status, found.error_type


def script(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "script", "language": "python", "code": code, **more}


class TestHttp:
    NODE: ClassVar[dict[str, Any]] = {"id": "h", "type": "http", "method": "POST", "url": URL}

    def test_it_sends_what_its_templates_say_under_its_key(self) -> None:
        headers, body = {"X-N": {"cel": "string(input.n)"}}, {"n": {"cel": "input.n"}, "cel": "input.n"}
        play = play_of(self.NODE | {"headers": headers, "body": body})
        run = go(play, {"n": 5})
        [asked] = play.calls.asked
        assert (asked.key, asked.headers, asked.body) == (f"{run}/h", {"X-N": "5"}, b'{"n":5,"cel":"input.n"}')
        assert output(play, run) == {"status": 200, "headers": JSON, "body": {"ok": True}}

    @pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "日本"])
    def test_a_header_that_would_be_two_or_is_not_latin_1_fails_its_node(self, value: str) -> None:
        play = play_of(self.NODE | {"headers": {"X-N": {"cel": "input"}}})
        run = go(play, value)
        assert error(play, run, "h") == ("failed", "invalid_header")
        assert play.calls.asked == []

    @pytest.mark.parametrize(("status", "times"), [(503, 3), (429, 3), (408, 3), (404, 1), (301, 1)])
    def test_it_is_tried_again_where_that_may_help_and_under_one_key(self, status: int, times: int) -> None:
        play = play_of(self.NODE | {"retry": {"max_attempts": 3, "base_ms": 100, "jitter": False}})
        play.calls.answers[URL] = lambda _: HttpReply(status, {}, b"")
        run = go(play)
        play.advance(10 * SECOND_MS)
        assert play.calls.keys == [f"{run}/h"] * times
        assert error(play, run, "h") == ("failed", "http_error")

    def test_it_waits_as_long_as_it_is_asked_to(self) -> None:
        play = play_of(self.NODE | {"retry": {"max_attempts": 2, "base_ms": 10, "jitter": False}})
        times: list[int] = []

        def answer(_: HttpRequest) -> HttpReply:
            times.append(play.s.clock.now_ms())
            return HttpReply(503 if len(times) == 1 else 200, {}, b"", 30_000)

        play.calls.answers[URL] = answer
        run = go(play)
        play.advance(31 * SECOND_MS)
        assert times[1] - times[0] == 30_000
        assert play.state(run).status == "completed"

    @pytest.mark.parametrize("body", [b"{", b"[" * 5000 + b"]" * 5000])
    def test_a_body_that_says_it_is_json_and_cannot_be_read_is_text(self, body: bytes) -> None:
        play = play_of(self.NODE)
        play.calls.answers[URL] = lambda _: HttpReply(200, JSON, body)
        assert output(play, go(play))["body"] == body.decode()

    def test_it_expects_the_statuses_that_it_says(self) -> None:
        play = play_of(self.NODE | {"expect": {"status": [404]}})
        play.calls.answers[URL] = lambda _: HttpReply(404, {}, b"gone")
        assert output(play, go(play))["body"] == "gone"
        play.calls.answers[URL] = lambda _: HttpReply(200, {}, b"")
        assert error(play, go(play), "h") == ("failed", "http_error")


class TestJob:
    NODE: ClassVar[dict[str, Any]] = {
        "id": "j",
        "type": "job",
        "target": {"type": "webhook", "url": URL},
        "payload": {"n": {"cel": "input"}},
    }

    def test_it_goes_to_its_target_as_a_firing_does(self) -> None:
        play = play_of(self.NODE)
        run = go(play, 5)
        [sent] = play.target.got
        assert (sent.execution_id, b'"data":{"n":5}' in sent.event) == (f"{run}/j", True)
        assert output(play, run) == {"status": 200}

    def test_one_that_is_accepted_ends_when_it_says_so(self) -> None:
        play = play_of(self.NODE)
        play.target.outcome = Outcome("accepted", 202)
        run = go(play)
        assert play.statuses(run)["j"] == "waiting"
        runs.end_node(play.s, ANONYMOUS_ADMIN, run, "j", {"x": 1}, None)
        assert output(play, run) == {"x": 1}
        with pytest.raises(Conflict):
            runs.end_node(play.s, ANONYMOUS_ADMIN, run, "j", None, None)

    def test_one_that_never_says_so_times_out(self) -> None:
        play = play_of(self.NODE | {"timeout_ms": 5 * SECOND_MS})
        play.target.outcome = Outcome("accepted", 202)
        run = go(play)
        play.advance(6 * SECOND_MS)
        assert error(play, run, "j") == ("timeout", "timeout")

    def test_it_goes_to_the_target_of_a_schedule_until_that_is_deleted(self) -> None:
        play = Play()
        target = {"type": "webhook", "url": "https://hook.example.com/"}
        wanted = ScheduleRequest(type="RATE", expr="rate:5s", target=target)
        made = schedules.create(play.s, ANONYMOUS_ADMIN, wanted, "01HZZZZZZZZZZZZZZZZZZZZZZZ").definition
        play.publish("w", [TRIGGER, {"id": "j", "type": "job", "schedule_id": made.id}], [("t", "j")])
        run = go(play, {"x": 1})
        assert (play.state(run).status, play.target.got[0].target["url"]) == ("completed", target["url"])
        schedules.delete(play.s, ANONYMOUS_ADMIN, made.id, None)
        assert error(play, go(play), "j") == ("failed", "not_found")

    def test_what_is_refused_for_good_is_not_tried_again(self) -> None:
        play = play_of(self.NODE | {"retry": {"max_attempts": 5}})
        play.target.outcome = Outcome("failed", error_type="rejected", error="no", permanent=True)
        run = go(play)
        play.advance(60 * SECOND_MS)
        assert (error(play, run, "j"), len(play.target.got)) == (("failed", "rejected"), 1)


class TestCondition:
    CASES: ClassVar[list[Any]] = [
        {"name": "big", "when": {"cel": "input.n > 10"}},
        {"name": "huge", "when": {"cel": "input.n > 100"}},
    ]
    WAYS: ClassVar[list[Any]] = [
        ("t", "c"),
        {"from": "c", "to": "b", "case": "big"},
        {"from": "c", "to": "s", "case": "small"},
        {"from": "c", "to": "f", "on": "failure"},
    ]

    def play(self, **more: Any) -> Play:
        node = {"id": "c", "type": "condition", "cases": self.CASES, "default": "small", **more}
        return play_of(node, *(script(name, "1") for name in "bsf"), ways=self.WAYS)

    @pytest.mark.parametrize(("n", "ran"), [(200, "b"), (5, "s")])
    def test_the_first_case_that_holds_is_chosen(self, n: int, ran: str) -> None:
        play = self.play()
        done = play.statuses(go(play, {"n": n}))
        assert {name for name in "bsf" if done[name] == "completed"} == {ran}

    def test_text_with_a_nul_is_not_taken_for_what_comes_before_it(self) -> None:
        play = self.play(cases=[{"name": "big", "when": {"cel": "input.role == 'admin'"}}])
        run = go(play, {"role": "admin\0"})
        assert error(play, run, "c") == ("failed", "expression_error")

    def test_one_that_cannot_be_evaluated_is_an_error_and_never_false(self) -> None:
        play = self.play()
        run = go(play, {"m": 1})
        assert error(play, run, "c") == ("failed", "expression_error")
        assert (play.statuses(run)["f"], play.statuses(run)["s"]) == ("completed", "skipped")
        assert "n" in play.state(run).nodes["c"].error

    def test_without_a_case_and_default_nothing_follows(self) -> None:
        node = {"id": "c", "type": "condition", "cases": self.CASES}
        play = play_of(node, script("b", "1"), ways=[("t", "c"), {"from": "c", "to": "b", "case": "big"}])
        run = go(play, {"n": 1})
        assert play.statuses(run) == {"t": "completed", "c": "completed", "b": "skipped"}
        assert play.state(run).status == "completed"


class TestForeach:
    EACH: ClassVar[dict[str, Any]] = {
        "id": "p",
        "type": "parallel",
        "foreach": {"items": {"cel": "input"}, "max_concurrency": 2},
    }
    JOIN: ClassVar[dict[str, Any]] = {"id": "j", "type": "join"}

    def test_outputs_are_in_the_order_of_the_items(self) -> None:
        play = play_of(self.EACH, script("b", "[input, input * 2]"), self.JOIN)
        assert output(play, go(play, [3, 1, 2])) == [[3, 6], [1, 2], [2, 4]]
        assert output(play, go(play, [])) == []

    def test_keys_name_the_item(self) -> None:
        play = play_of(self.EACH, TestHttp.NODE | {"body": {"cel": "[item, index]"}}, self.JOIN)
        run = go(play, ["a", "b"])
        assert sorted((asked.key, asked.body) for asked in play.calls.asked) == [
            (f"{run}/h/0", b'["a",0]'), (f"{run}/h/1", b'["b",1]'),
        ]  # fmt: skip

    @pytest.mark.parametrize(("tolerated", "state"), [(0, "failed"), (1, "completed")])
    def test_more_failures_than_are_tolerated_fail_the_run(self, tolerated: int, state: str) -> None:
        each = self.EACH | {"foreach": {"items": {"cel": "input"}, "tolerated_failures": tolerated}}
        play = play_of(each, script("b", "1 / input"), self.JOIN)
        run = go(play, [1, 0, 1])
        assert play.state(run).status == state

    def test_what_is_no_list_fails_it(self) -> None:
        play = play_of(self.EACH, script("b", "1"), self.JOIN)
        assert error(play, go(play, {"a": 1}), "p") == ("failed", "expression_error")


class TestDelay:
    def play(self, **fields: Any) -> tuple[Play, str, int]:
        play = play_of({"id": "d", "type": "delay", **fields})
        began_ms = play.s.clock.now_ms()
        return play, go(play, {"at": began_ms + 7 * SECOND_MS}), began_ms

    @pytest.mark.parametrize(
        ("fields", "after_ms"),
        [({"for_ms": 1500}, 1500), ({"until": {"cel": "input.at"}}, 7000), ({"for_ms": {"cel": "2 * 1000"}}, 2000)],
    )
    def test_it_ends_at_its_millisecond(self, fields: dict[str, Any], after_ms: int) -> None:
        play, run, began_ms = self.play(**fields)
        play.until(began_ms + after_ms)
        assert play.state(run).nodes["d"].finished_ms == began_ms + after_ms

    def test_it_waits_for_an_instant_of_cron(self) -> None:
        play, run, began_ms = self.play(until_cron="0 3 * * *", timezone="Europe/Berlin")
        due_ms = play.state(run).nodes["d"].due_ms
        assert due_ms is not None
        assert (due_ms > began_ms, due_ms % 3_600_000) == (True, 0)

    def test_an_instant_that_has_passed_ends_it_at_once(self) -> None:
        play, run, _ = self.play(until="2001-01-01T00:00:00Z")
        assert play.state(run).status == "completed"


class TestApproval:
    def gate(self, **more: Any) -> tuple[Play, str]:
        play = play_of({"id": "g", "type": "approval", "approvers": ["ann", "bob"], **more})
        return play, go(play)

    def decide(self, play: Play, run: str, by: str, approve: bool = True, nonce: str = "") -> RunState:
        gate = play.state(run).nodes["g"].gate
        return advance(play.s, "default", run, Decides("g", nonce or (gate.nonce if gate else "x"), approve, by)).state

    def test_a_quorum_of_different_people_lets_it_pass(self) -> None:
        play, run = self.gate(quorum=2)
        assert self.decide(play, run, "ann").status == "running"
        with pytest.raises(Conflict):
            self.decide(play, run, "ann")
        assert self.decide(play, run, "bob").status == "completed"
        assert output(play, run)["by"] == ["ann", "bob"]

    def test_one_rejection_fails_it_and_a_nonce_of_another_gate_is_refused(self) -> None:
        play, run = self.gate(quorum=2)
        with pytest.raises(Conflict):
            self.decide(play, run, "ann", nonce="0" * 32)
        assert self.decide(play, run, "ann", approve=False).status == "failed"
        assert play.state(run).nodes["g"].reason == "rejected"

    @pytest.mark.parametrize(("on_expiry", "state"), [("approve", "completed"), ("reject", "failed")])
    def test_it_expires_at_its_millisecond(self, on_expiry: str, state: str) -> None:
        play, run = self.gate(expires_in_ms=5000, on_expiry=on_expiry)
        play.advance(5000)
        node = play.state(run).nodes["g"]
        assert (play.state(run).status, (node.finished_ms or 0) - (node.started_ms or 0)) == (state, 5000)


class TestNotification:
    def sent(self, channel: dict[str, Any], message: Any = "it is done") -> tuple[Play, str]:
        play = play_of({"id": "n", "type": "notification", "channel": channel, "message": message})
        return play, go(play, {"n": 3})

    @pytest.mark.parametrize(
        ("channel", "body"),
        [
            ({"type": "webhook", "url": URL}, b'{"message":"it is done"}'),
            ({"type": "slack", "url": URL}, b'{"text":"it is done"}'),
        ],
    )
    def test_its_form_is_the_channels(self, channel: dict[str, Any], body: bytes) -> None:
        play, run = self.sent(channel)
        [asked] = play.calls.asked
        assert (asked.key, asked.url, asked.body) == (f"{run}/n", URL, body)
        assert play.state(run).status == "completed"

    def test_an_incident_is_known_by_run_and_node(self) -> None:
        play, run = self.sent({"type": "pagerduty", "routing_key": "k"}, {"cel": "'n is ' + string(input.n)"})
        [asked] = play.calls.asked
        assert f'"dedup_key":"{run}/n"'.encode() in (asked.body or b"")
        assert b'"summary":"n is 3"' in (asked.body or b"")

    def test_the_headers_of_a_webhook_are_evaluated_and_its_secrets_are_not_read_here(self) -> None:
        headers = {"X-N": {"cel": "string(input.n)"}, "X-Key": {"secret_ref": "env:KEY"}}
        play, _ = self.sent({"type": "webhook", "url": URL, "headers": headers})
        assert dict(play.calls.asked[0].headers) == {"X-N": "3", "X-Key": {"secret_ref": "env:KEY"}}

    def test_a_routing_key_may_be_a_secret_which_goes_into_the_body_where_it_is_sent(self) -> None:
        play, _ = self.sent({"type": "pagerduty", "routing_key": {"secret_ref": "env:KEY"}})
        [asked] = play.calls.asked
        assert (dict(asked.headers), dict(asked.into_body)) == (
            {"X-Routing-Key": {"secret_ref": "env:KEY"}},
            {"X-Routing-Key": "routing_key"},
        )
        assert "routing_key" not in json.loads(asked.body or b"")

    @pytest.mark.parametrize(("message", "summary"), [("", "n"), (" ", "n"), ("x" * 2000, "x" * 1024)])
    def test_a_summary_is_one_that_pagerduty_takes(self, message: str, summary: str) -> None:
        play, _ = self.sent({"type": "pagerduty", "routing_key": "k"}, message)
        assert json.loads(play.calls.asked[0].body or b"")["payload"]["summary"] == summary

    def test_a_key_that_is_longer_than_pagerduty_takes_is_hashed(self) -> None:
        told = {"id": "n" * 64, "type": "notification", "channel": {"type": "pagerduty", "routing_key": "k"}}
        play = Play()
        play.publish("inner", [TRIGGER, told | {"message": "x"}], [("t", "n" * 64)])
        for depth in range(3):
            name, child = f"outer{depth}", "inner" if depth == 0 else f"outer{depth - 1}"
            begins = {"id": "s" * 64, "type": "subworkflow", "workflow": child}
            play.publish(name, [TRIGGER, begins], [("t", "s" * 64)])
        play.start("outer2", run_id="r" * 64)
        play.settle()
        [asked] = play.calls.asked
        assert len(asked.key) > 255
        assert json.loads(asked.body or b"")["dedup_key"] == hashlib.sha256(asked.key.encode()).hexdigest()


class TestScripts:
    def test_a_script_has_its_input_and_the_last_value_is_its_output(self) -> None:
        play = play_of(script("s", "x = input['n']\nx * 2", input={"n": {"cel": "input.n"}}))
        assert output(play, go(play, {"n": 4})) == 8

    def test_a_transform_takes_the_same(self) -> None:
        play = play_of({"id": "s", "type": "transform", "jsonata": "$sum(items.price)"})
        assert output(play, go(play, {"items": [{"price": 1}, {"price": 2}]})) == 3

    def test_an_error_in_it_fails_its_node_and_is_not_tried_again(self) -> None:
        play = play_of(script("s", "1 / 0", retry={"max_attempts": 3}))
        run = go(play)
        assert (error(play, run, "s"), play.state(run).nodes["s"].attempt) == (("failed", "script_error"), 1)


class TestSubworkflow:
    NODE: ClassVar[dict[str, Any]] = {
        "id": "s",
        "type": "subworkflow",
        "workflow": "inner",
        "input": {"n": {"cel": "input.n"}},
    }

    def play(self, **more: Any) -> Play:
        play = Play()
        play.publish("inner", [TRIGGER, script("i", "input['n'] + 1")], [("t", "i")])
        wait = {"id": "d", "type": "delay", "for_ms": 1000}
        play.publish("w", [TRIGGER, wait, self.NODE | more], [("t", "d"), ("d", "s")])
        return play

    def test_its_output_is_that_of_the_inner_run(self) -> None:
        play = self.play()
        run = go(play, {"n": 1})
        play.advance(2000)
        assert output(play, run) == 2

    def slow(self, inner: dict[str, Any], **more: Any) -> tuple[Play, str]:
        """A run whose child waits for an hour, begun at once; and the play."""
        play = Play()
        play.publish("inner", [TRIGGER, {"id": "d", "type": "delay", "for_ms": 3_600_000}], [("t", "d")], **inner)
        after = {"id": "a", "type": "delay", "for_ms": 0}
        edges = [("t", "s"), {"from": "s", "to": "a", "on": "timeout"}]
        play.publish("w", [TRIGGER, self.NODE | {"input": None} | more, after], edges)
        return play, go(play)

    def test_it_is_waited_for_as_long_as_its_timeout_says_and_its_child_is_cancelled(self) -> None:
        play, run = self.slow({}, timeout_ms=5000)
        due_ms = play.s.clock.now_ms() + 5000
        assert (play.statuses(run)["s"], play.state(run).nodes["s"].due_ms) == ("waiting", due_ms)
        play.advance(5000)
        assert (play.state(run).status, play.statuses(run)) == ("completed", {"t": "completed", "s": "timeout",
                                                                             "a": "completed"})  # fmt: skip
        child = play.state(run).nodes["s"].child
        assert play.state(child).status == "cancelled"

    def test_a_redrive_lets_the_child_of_a_timeout_go_on(self) -> None:
        play, run = self.slow({"timeout_ms": 4_000_000}, timeout_ms=5000)
        play.advance(5000)
        runs.drive_again(play.s, ANONYMOUS_ADMIN, run, "s", None, None, dry_run=False)
        play.settle()
        child = play.state(run).nodes["s"].child
        began_ms = play.s.clock.now_ms()
        assert (play.statuses(run)["s"], play.state(child).status) == ("waiting", "running")
        assert play.state(child).deadline_ms == began_ms + 4_000_000

    def test_the_timeout_of_the_workflow_that_it_begins_holds(self) -> None:
        play, run = self.slow({"timeout_ms": 7000})
        child = play.state(run).nodes["s"].child
        play.advance(7000)
        assert (play.state(child).status, play.state(child).error_type) == ("failed", "timeout")
        assert play.statuses(run)["s"] == "failed"

    def test_an_input_that_the_inner_schema_refuses_fails_the_node(self) -> None:
        play, run = self.slow({"input_schema": {"type": "object", "required": ["n"]}}, input={"m": 1})
        assert error(play, run, "s") == ("failed", "invalid_input")
        assert play.state(run).nodes["s"].error == "inner: input.n: is required"
        assert play.state(run).nodes["s"].child == ""

    def test_it_keeps_the_version_of_the_parents_start(self) -> None:
        play = self.play()
        run = go(play, {"n": 1})
        edited = {"nodes": [TRIGGER, script("i", "99")], "edges": [{"from": "t", "to": "i"}]}
        workflows.put(play.s, ANONYMOUS_ADMIN, "inner", edited, None)
        play.advance(2000)
        assert output(play, run) == 2
        later = go(play, {"n": 1})
        play.advance(2000)
        assert output(play, later) == 99

    def test_one_that_is_not_waited_for_ends_at_once(self) -> None:
        play = self.play(wait=False)
        run = go(play, {"n": 1})
        play.advance(2000)
        assert output(play, run) == {"run_id": f"{run}~s"}
        assert play.state(f"{run}~s").status == "completed"

    def test_a_failure_inside_is_the_nodes(self) -> None:
        play = self.play()
        run = go(play, {"n": "x"})
        play.advance(2000)
        assert error(play, run, "s") == ("failed", "child_failed")


def test_a_join_gives_what_its_live_parents_brought() -> None:
    ways = [("t", "a"), ("t", "b"), ("a", "j"), ("b", "j")]
    settled = {"id": "j", "type": "join", "mode": "all_settled"}
    play = play_of(script("a", "1"), script("b", "1 / 0"), settled, ways=ways)
    found = output(play, go(play))
    assert (found["a"]["output"], found["a"]["state"], found["b"]["state"]) == (1, "completed", "failed")
    play = play_of(script("a", "1"), script("b", "2"), {"id": "j", "type": "join"}, ways=ways)
    assert output(play, go(play)) == {"a": 1, "b": 2}


def test_the_trigger_has_the_input_as_its_output() -> None:
    play = play_of(script("s", "input", input={"cel": "nodes.t.output"}))
    assert output(play, go(play, {"x": [1]})) == {"x": [1]}


class TestEmail:
    CHANNEL: ClassVar[dict[str, Any]] = {"type": "email", "to": "ops@example.com", "from": "no-reply@example.com"}
    MESSAGE: ClassVar[dict[str, str]] = {"cel": "'total ' + string(input.n)"}

    def play(self, **more: Any) -> tuple[Play, FakeMailer]:
        node = {"id": "n", "type": "notification", "channel": self.CHANNEL | more, "message": self.MESSAGE}
        play, mailer = play_of(node | {"retry": {"max_attempts": 3, "base_ms": 100, "jitter": False}}), FakeMailer()
        assert play.s.workflows is not None
        play.s = msgspec.structs.replace(play.s, workflows=msgspec.structs.replace(play.s.workflows, mailer=mailer))
        return play, mailer

    def test_it_says_who_what_and_under_which_key(self) -> None:
        play, mailer = self.play(to=["a@example.com", "b@example.com"], subject={"cel": "'n\\n is ' + string(input.n)"})
        run = go(play, {"n": 5})
        [mail] = mailer.sent
        assert (mail.to, mail.sender) == (("a@example.com", "b@example.com"), "no-reply@example.com")
        assert (mail.subject, mail.text, mail.key) == ("n is 5", "total 5", f"{run}/n")
        assert output(play, run, "n") == {"message_id": "m1"}

    def test_what_is_refused_for_a_while_is_sent_again_and_once(self) -> None:
        play, mailer = self.play()
        mailer.problem = StepFailed("connection_error", "no answer", retryable=True)
        run = go(play, {"n": 5})
        play.advance(60_000)
        assert [mail.key for mail in mailer.sent] == [f"{run}/n"] * 2
        assert play.state(run).status == "completed"
        assert mailer.sent[0].subject == "w: n"

    def test_what_was_sent_before_its_worker_died_is_not_sent_again(self) -> None:
        play, mailer = self.play()
        run = play.start("w", {"n": 5})
        play.s.stores.runs.put_payload("default", run, f"mail/{run}/n", b"m0")
        play.settle()
        assert not mailer.sent
        assert output(play, run, "n") == {"message_id": "m0"}

    def test_a_deployment_without_e_mail_says_so(self) -> None:
        node = {"id": "n", "type": "notification", "channel": self.CHANNEL, "message": "x"}
        play = play_of(node)
        run = go(play)
        assert error(play, run, "n") == ("failed", "not_configured")


def test_a_child_that_goes_on_again_has_not_ended_whatever_an_old_message_says() -> None:
    play = Play()
    play.publish("inner", [TRIGGER, {"id": "wait", "type": "delay", "for_ms": 30_000}], [("t", "wait")])
    play.publish("w", [TRIGGER, {"id": "sub", "type": "subworkflow", "workflow": "inner"}], [("t", "sub")])
    run = go(play)
    child = play.state(run).nodes["sub"].child
    play.queue.send([Outgoing(RunHint("default", child, "tell_parent"), 0)])
    play.settle()
    assert play.state(run).nodes["sub"].status == "waiting"
    play.advance(60_000)
    assert play.state(run).status == "completed"
