"""What has a form in Amazon States Language, what has none and why, and the subset that is read."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.executions.retry import backoff_ms
from chalicelib.core.workflows import asl_export, asl_import
from chalicelib.core.workflows.cel_to_jsonata import NoJsonata, translate
from chalicelib.core.workflows.parse import parse

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


def shaping(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "transform", "jsonata": "$", **more}


def exported(nodes: list[dict[str, Any]], edges: list[Any], **more: Any) -> dict[str, Any]:
    made = [{"from": e[0], "to": e[1], **(e[2] if len(e) > 2 else {})} for e in edges]
    return asl_export.state_machine(parse({"name": "w", "nodes": [TRIGGER, *nodes], "edges": made, **more}))


def refused(nodes: list[dict[str, Any]], edges: list[Any], **more: Any) -> str:
    with pytest.raises(InvalidField) as wrong:
        exported(nodes, edges, **more)
    return f"{wrong.value.errors[0].field}: {wrong.value.errors[0].message}"


def path(names: list[str]) -> str:
    return "$" + ".".join(names)


@pytest.mark.parametrize(
    ("cel", "jsonata"),
    [
        ("input.a == 1", "($input.a = 1)"),
        ("input.a != 'x' && !(input.b > 2.5)", '(($input.a != "x") and $not((($input.b > 2.5))))'),
        ("input.a ? 'x' : 'y'", '($input.a ? "x" : "y")'),
        ('"n " + string(input.a)', '("n " & $string($input.a))'),
        ("num(input.a) + num(input.b) * 2", "($number($input.a) + ($number($input.b) * 2))"),
        ("input.a in [1, 2]", "($input.a in [1, 2])"),
        ('nodes["a-b"].output', "$nodes.a-b.output"),
        ("has(input.a) || -input.b < 0", "($exists($input.a) or ((-$input.b) < 0))"),
    ],
)
def test_cel_that_says_the_same_in_jsonata(cel: str, jsonata: str) -> None:
    assert translate(cel, path) == jsonata


@pytest.mark.parametrize(
    "cel",
    ["input.a + input.b", "input.a / 2", "input.a.map(x, x)", "size(input.a)", "input[0]", "input.a ==", "a b", "#"],
)
def test_cel_that_would_mean_something_else_is_refused(cel: str) -> None:
    with pytest.raises(NoJsonata):
        translate(cel, path)


def test_a_line_hands_on_what_came_before() -> None:
    made = exported([shaping("a"), shaping("b", input={"x": {"cel": "nodes.a.output.y"}})], [("t", "a"), ("a", "b")])
    assert list(made["States"]) == ["t", "a", "b"]
    assert made["States"]["b"] == {
        "Type": "Pass",
        "Output": '{% ({"x": $states.input.nodes.a.y}).($) %}',
        "End": True,
    }


@pytest.mark.parametrize(
    ("nodes", "edges", "said"),
    [
        ([shaping("a"), shaping("b")], [("t", "a"), ("t", "b")], "nodes.t: its branches do not end in one join"),
        (
            [shaping("a"), shaping("b"), {"id": "j", "type": "join", "mode": "any"}],
            [("t", "a"), ("t", "b"), ("a", "j"), ("b", "j")],
            "nodes.j: a join of any has no form in states",
        ),
        (
            [shaping("a"), shaping("b")],
            [("t", "a"), ("a", "b", {"on": "failure"})],
            "nodes.a: the edge a -> b (failure)",
        ),
        ([{"id": "g", "type": "approval", "approvers": ["x"]}], [("t", "g")], "nodes.g: states have no approvals"),
        ([{"id": "d", "type": "delay", "for_ms": 1500}], [("t", "d")], "nodes.d: a Wait takes whole seconds"),
        (
            [shaping("a", input={"cel": "input.x + input.y"})],
            [("t", "a")],
            "nodes.a.input: input.x + input.y: + of what",
        ),
        ([shaping("a", jsonata="$$.x")], [("t", "a")], "nodes.a: $$ and $states mean something else"),
        (
            [{"id": "c", "type": "condition", "cases": [{"name": "y", "when": {"cel": "true"}}]}, shaping("a")],
            [("t", "c"), ("c", "a", {"case": "y"})],
            "nodes.c: it needs a default",
        ),
        (
            [shaping("a"), shaping("b"), shaping("m"), {"id": "j", "type": "join"}],
            [("t", "a"), ("t", "b"), ("a", "m"), ("b", "m"), ("m", "j"), ("b", "j")],
            "nodes.m: two branches lead to it",
        ),
    ],
)
def test_what_has_no_form_is_refused_with_the_reason(nodes: list[dict[str, Any]], edges: list[Any], said: str) -> None:
    assert refused(nodes, edges).startswith(said)


def test_compensations_and_limits_are_refused() -> None:
    http = {"type": "http", "method": "GET", "url": "https://a.example.com/"}
    assert "no compensations" in refused([{"id": "a", **http, "compensate": "u"}, {"id": "u", **http}], [("t", "a")])
    limit = {"key": {"cel": "input.k"}, "limit": 1}
    assert refused([shaping("a")], [("t", "a")], concurrency=limit).startswith("concurrency: ")
    assert refused([shaping("a")], [("t", "a")], on_failure="other").startswith("on_failure: ")


MACHINE: dict[str, Any] = {
    "QueryLanguage": "JSONata",
    "StartAt": "First",
    "States": {
        "First": {"Type": "Pass", "Output": {"n": "{% $states.input.n + 1 %}"}, "Next": "Big?"},
        "Big?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.n > 5 %}", "Next": "Both"}],
            "Default": "Done",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "L", "States": {"L": {"Type": "Pass", "Output": "{% $states.input.n %}", "End": True}}},
                {"StartAt": "R", "States": {"R": {"Type": "Wait", "Seconds": 2, "End": True}}},
            ],
            "Next": "Sum",
        },
        "Sum": {"Type": "Pass", "Output": "{% $states.input[0] %}", "End": True},
        "Done": {"Type": "Succeed"},
    },
}


def test_a_machine_of_the_subset_is_read() -> None:
    document = asl_import.document(MACHINE, "taken")
    made = parse(document)
    assert {node.id: node.type for node in made.nodes} == {
        "begin": "trigger",
        "First": "transform",
        "Big_": "condition",
        "Both": "parallel",
        "L": "transform",
        "R": "delay",
        "Both_joined": "join",
        "Sum": "transform",
    }
    [condition] = [node for node in made.nodes if node.type == "condition"]
    assert condition.fields["cases"][0]["when"] == {"cel": "nodes.First.output.n > 5"}


EVERY = {"ErrorEquals": ["States.ALL"]}


def calling(**fields: Any) -> dict[str, Any]:
    """Changes of a machine: its only state is a call."""
    given = {"Arguments": {"Method": "GET", "ApiEndpoint": "https://a.example.com/"}, **fields}
    return {"States": {"First": {"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "End": True, **given}}}


def taken(change: dict[str, Any]) -> dict[str, Any]:
    """The nodes of the machine with a change, by id."""
    return {node.id: node for node in parse(asl_import.document({**MACHINE, **change}, "taken")).nodes}


def test_a_retry_waits_as_long_as_the_machine_says() -> None:
    rule = EVERY | {"MaxAttempts": 9, "IntervalSeconds": 2, "JitterStrategy": "NONE"}
    retry = taken(calling(Retry=[rule]))["First"].retry
    assert [backoff_ms(retry, failed, "x") for failed in (1, 2, 8)] == [2000, 4000, 256_000]
    assert taken(calling(Retry=[rule | {"MaxDelaySeconds": 30}]))["First"].retry.max_ms == 30_000
    assert (retry.max_attempts, retry.jitter) == (10, False)


def test_a_choice_without_a_default_fails_where_nothing_is_chosen() -> None:
    states = {"First": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.n = 1 %}", "Next": "Done"}]}}
    made = taken({"States": {**states, "Done": {"Type": "Succeed"}}})
    assert made["First"].fields["default"] == "otherwise"
    assert made["First_unmatched"].fields["jsonata"].startswith('$error("States.NoChoiceMatched')


def test_the_items_of_a_map_call_under_keys_of_their_own() -> None:
    call = {"id": "c", "type": "http", "method": "POST", "url": "https://a.example.com/"}
    nodes = [{"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}}}, call, {"id": "j", "type": "join"}]
    machine = exported(nodes, [("t", "p"), ("p", "c"), ("c", "j")])
    state = machine["States"]["p"]["ItemProcessor"]["States"]["c"]
    key = '{% $states.context.Execution.Name & "/c" & "/" & $string($states.input.index) %}'
    assert state["Arguments"]["Headers"]["Idempotency-Key"] == key


def test_text_that_looks_like_a_query_stays_text() -> None:
    call = {"id": "c", "type": "http", "method": "POST", "url": "https://a.example.com/", "body": {"a": "{% 1 + 1 %}"}}
    state = exported([call], [("t", "c")])["States"]["c"]
    assert state["Arguments"]["RequestBody"] == {"a": '{% "{% 1 + 1 %}" %}'}


def test_a_retry_is_exported_with_its_longest_wait() -> None:
    call = {"id": "c", "type": "http", "method": "POST", "url": "https://a.example.com/", "retry": {"max_attempts": 9}}
    [rule] = exported([call], [("t", "c")])["States"]["c"]["Retry"]
    assert (rule["IntervalSeconds"], rule["MaxDelaySeconds"]) == (1, 60)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"QueryLanguage": "JSONPath"}, "QueryLanguage"),
        ({"StartAt": "Nowhere"}, "StartAt"),
        ({"States": []}, "States"),
        ({"States": {"First": {"Type": "Task", "Resource": "arn:aws:lambda:x", "End": True}}}, "States.First.Resource"),
        ({"States": {"First": {"Type": "Pass", "Assign": {}, "End": True}}}, "States.First.Assign"),
        ({"States": {"First": {"Type": "Pass", "Output": "{% $x %}", "End": True}}}, "States.First.Output"),
        ({"States": {"First": {"Type": "Pass", "Next": "First"}}}, "States.First"),
        ({"States": {"First": {"Type": "Dream", "End": True}}}, "States.First.Type"),
        ({"States": {"First": {"Type": "Pass"}}}, "States.First"),
        ({"StartAt": ["First"]}, "StartAt"),
        ({"TimeoutSeconds": "{% 5 %}"}, "TimeoutSeconds"),
        ({"States": {"First": {"Type": "Wait", "Seconds": True, "End": True}}}, "States.First"),
        ({"States": {"First": {"Type": "Choice"}}}, "States.First.Choices"),
        ({"States": {"First": {"Type": "Choice", "Choices": ["x"]}}}, "States.First.Choices[0]"),
        ({"States": {"First": {"Type": "Parallel", "Branches": {}, "End": True}}}, "States.First.Branches"),
        ({"States": {"First": {"Type": "Parallel", "Branches": [1], "End": True}}}, "States.First.Branches[0]"),
        ({"States": {"First": {"Type": "Map", "End": True}}}, "States.First.ItemProcessor"),
        (calling(TimeoutSeconds=None), "States.First.TimeoutSeconds"),
        (calling(Arguments=[]), "States.First.Arguments"),
        (calling(Arguments={"QueryParameters": {"a": "b"}}), "States.First.Arguments.QueryParameters"),
        (calling(Retry={}), "States.First.Retry"),
        (calling(Retry=[EVERY, EVERY]), "States.First.Retry"),
        (calling(Retry=[{"ErrorEquals": ["States.Timeout"]}]), "States.First.Retry[0].ErrorEquals"),
        (calling(Retry=[EVERY | {"MaxAttempts": "x"}]), "States.First.Retry[0].MaxAttempts"),
        (calling(Retry=[EVERY | {"IntervalSeconds": None}]), "States.First.Retry[0].IntervalSeconds"),
        (calling(Retry=[EVERY | {"BackoffRate": 1.5}]), "States.First.Retry[0].BackoffRate"),
        (calling(Retry=[EVERY | {"Times": 3}]), "States.First.Retry[0].Times"),
    ],
)
def test_what_is_not_of_the_subset_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        asl_import.document({**MACHINE, **change}, "taken")
    assert wrong.value.errors[0].field == place
