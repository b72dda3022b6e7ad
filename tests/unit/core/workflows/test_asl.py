"""What has a form in Amazon States Language, what has none and why, and the subset that is read."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import InvalidField
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
    ],
)
def test_what_is_not_of_the_subset_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        asl_import.document({**MACHINE, **change}, "taken")
    assert wrong.value.errors[0].field == place
