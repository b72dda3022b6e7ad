"""Rego by its engine: what a module says, what must not be published, and what happens when it does harm.

The cases of built-in functions say what Open Policy Agent answers, by its own reference and its published case files
(``v1/test/cases/testdata`` in open-policy-agent/opa).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.policies.rego import RegoProcess
from chalicelib.adapters.policies.rego_child import MEMORY_MAX_BYTES
from chalicelib.core.errors import InvalidField
from chalicelib.core.rules.rego_module import ALLOWED

pytest.importorskip("regorus", reason="there is no wheel of regorus for this machine")

HTTPS = """package chronowatch
import rego.v1
default allow := false
allow if startswith(input.subject.target.url, "https://")
"""
# An expression of each function that may be called, and whether it is true in OPA. "undefined" is false.
CASES: dict[str, list[tuple[str, bool]]] = {
    "abs": [("abs(-10) == 10", True), ("abs(7.5) == 7.5", True)],
    "array.concat": [("array.concat([1, 2], [3]) == [1, 2, 3]", True), ("array.concat([], []) == []", True)],
    "array.reverse": [('array.reverse(["a", "b"]) == ["b", "a"]', True), ("array.reverse([]) == []", True)],
    "array.slice": [
        ("array.slice([1, 2, 3, 4], 1, 3) == [2, 3]", True),
        ("array.slice([1, 2, 3], 2, 1) == []", True),
        ("array.slice([1, 2, 3], -1, 9) == [1, 2, 3]", True),
    ],
    "ceil": [("ceil(3.1) == 4", True), ("ceil(-3.1) == -3", True)],
    "concat": [('concat(",", ["1", "2", "3"]) == "1,2,3"', True), ('concat(",", {"b", "a"}) == "a,b"', True)],
    "contains": [('contains("abcdef", "cd")', True), ('contains("abc", "x")', False), ('contains("abc", "")', True)],
    "count": [("count([1, 1, 2]) == 3", True), ('count({"a": 1}) == 1', True), ('count("ö日") == 2', True)],
    "endswith": [('endswith("abcd", "cd")', True), ('endswith("abcd", "c")', False)],
    "floor": [("floor(3.9) == 3", True), ("floor(-3.1) == -4", True)],
    "format_int": [('format_int(15.9, 16) == "f"', True), ('format_int(10, 2) == "1010"', True)],
    "indexof": [
        ('indexof("abcd", "cd") == 2', True),
        ('indexof("abc", "z") == -1', True),
        ('indexof("μx", "x") == 1', True),
    ],
    "intersection": [("intersection({{1, 2}, {2, 3}}) == {2}", True), ("intersection(set()) == set()", True)],
    "is_array": [("is_array([])", True), ("is_array({1})", False)],
    "is_boolean": [("is_boolean(false)", True), ("is_boolean(0)", False)],
    "is_null": [("is_null(null)", True), ("is_null(false)", False)],
    "is_number": [("is_number(1.5)", True), ('is_number("1")', False)],
    "is_object": [("is_object({})", True), ("is_object([])", False)],
    "is_set": [("is_set({1})", True), ("is_set([1])", False)],
    "is_string": [('is_string("")', True), ("is_string(1)", False)],
    "lower": [('lower("AbC") == "abc"', True)],
    "max": [("max([1, 9, 3]) == 9", True), ("max(set()) == 1", False)],
    "min": [("min({4, 2}) == 2", True), ("min([]) == 1", False)],
    "net.cidr_contains": [
        ('net.cidr_contains("10.0.0.0/8", "10.1.2.3")', True),
        ('net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")', True),
        ('net.cidr_contains("172.17.0.0/24", "172.17.0.0/16")', False),
        ('net.cidr_contains("2001:4860:4860::8888/32", "2001:4860:4860::1")', True),
    ],
    "object.get": [
        ('object.get({"a": 1}, "a", 2) == 1', True),
        ('object.get({"a": 1}, "b", 2) == 2', True),
        ('object.get({"a": {"b": 7}}, ["a", "b"], 0) == 7', True),
    ],
    "object.keys": [('object.keys({"a": 1, "b": 2}) == {"a", "b"}', True)],
    "object.remove": [('object.remove({"a": 1, "b": 2}, {"a"}) == {"b": 2}', True)],
    "object.union": [('object.union({"a": 1}, {"a": 2, "b": 3}) == {"a": 2, "b": 3}', True)],
    "product": [("product([2, 3, 4]) == 24", True), ("product([]) == 1", True)],
    "regex.match": [('regex.match("^[a-z]+$", "abc")', True), ('regex.match("^b", "abc")', False)],
    "replace": [('replace("aXbX", "X", "-") == "a-b-"', True)],
    "round": [("round(2.5) == 3", True), ("round(-2.5) == -3", True), ("round(1.2) == 1", True)],
    "sort": [("sort([3, 1, 2]) == [1, 2, 3]", True), ("sort({2, 1}) == [1, 2]", True)],
    "split": [('split("a,b,", ",") == ["a", "b", ""]', True)],
    "sprintf": [('sprintf("%s-%d", ["a", 5]) == "a-5"', True), ('sprintf("%v", [true]) == "true"', True)],
    "startswith": [('startswith("abc", "ab")', True), ('startswith("abc", "b")', False), ("startswith(1, 2)", False)],
    "strings.any_prefix_match": [
        ('strings.any_prefix_match(["xa", "ab"], ["a"])', True),
        ('strings.any_prefix_match("b", {"a"})', False),
    ],
    "strings.any_suffix_match": [
        ('strings.any_suffix_match("abc", ["bc"])', True),
        ('strings.any_suffix_match("a", "b")', False),
    ],
    "strings.reverse": [('strings.reverse("aμ1") == "1μa"', True)],
    "substring": [('substring("abcdef", 2, 3) == "cde"', True), ('substring("abc", 1, -1) == "bc"', True)],
    "sum": [("sum([1, 2, 3.5]) == 6.5", True), ("sum([]) == 0", True)],
    "to_number": [
        ('to_number("12.5") == 12.5', True),
        ("to_number(true) == 1", True),
        ("to_number(null) == 0", True),
        ('to_number("x") == 0', False),
    ],
    "trim": [('trim("..a..", ".") == "a"', True)],
    "trim_left": [('trim_left("..a.", ".") == "a."', True)],
    "trim_prefix": [('trim_prefix("abc", "a") == "bc"', True), ('trim_prefix("abc", "x") == "abc"', True)],
    "trim_right": [('trim_right(".a..", ".") == ".a"', True)],
    "trim_space": [('trim_space(" a\\t\\n") == "a"', True)],
    "trim_suffix": [('trim_suffix("abc", "c") == "ab"', True)],
    "type_name": [('type_name({1}) == "set"', True), ('type_name(null) == "null"', True)],
    "union": [("union({{1}, {2}}) == {1, 2}", True), ("union(set()) == set()", True)],
    "upper": [('upper("aBc") == "ABC"', True)],
}  # fmt: skip


@pytest.fixture(scope="module")
def rego() -> Iterator[RegoProcess]:
    made = RegoProcess(time.monotonic, timeout_ms=5_000)  # a machine under load: what hangs is tested apart
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[RegoProcess]:
    made = RegoProcess(time.monotonic)
    yield made
    made.close()


def module(expression: str) -> str:
    return f"package a\nimport rego.v1\nallow if {{ {expression} }}"


def subject(url: str) -> dict[str, Any]:
    return {"subject": {"target": {"url": url}}}


def test_every_function_that_may_be_called_was_compared() -> None:
    assert CASES.keys() == ALLOWED


@pytest.mark.parametrize(("name", "expression", "holds"), [(n, e, h) for n, found in CASES.items() for e, h in found])
def test_a_function_answers_as_open_policy_agent_does(
    rego: RegoProcess, name: str, expression: str, holds: bool
) -> None:
    rego.check(module(expression), "rego")
    assert rego.ask(module(expression), {}).holds is holds
    assert name in expression


def test_a_module_says_yes_or_no_of_each_question(rego: RegoProcess) -> None:
    rego.check(HTTPS, "rego")
    assert rego.ask(HTTPS, subject("https://a.example/")).holds
    assert not rego.ask(HTTPS, subject("http://a.example/")).holds
    assert rego.ask(HTTPS, subject("http://a.example/")).problem == ""
    assert not rego.ask(HTTPS, {}).holds


@pytest.mark.parametrize("value", ['"yes"', "1", "[true]", "{true}"])
def test_what_is_not_true_is_a_no(rego: RegoProcess, value: str) -> None:
    assert not rego.ask(f"package a\nallow := {value}", {}).holds


def test_what_is_undefined_is_a_no(rego: RegoProcess) -> None:
    assert not rego.ask(module("input.x == 1"), {}).holds
    assert not rego.ask("package a\nimport rego.v1\nallow if { not true }", {}).holds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("allow := true", "package"),
        ("package a\nallow if {", "error"),
        ("package a\nallow if { y }", "unsafe"),
        ("package a\nallow := true\nallow := false", "conflict"),
        ("package a\nx := 1", "has no rule allow"),
        ("package a\nallow contains 1", "has no rule allow"),
        ("package a\nallow(x) := true", "has no rule allow"),
        (module('http.send({"url": "http://x/"}).status == 200'), "calls http.send"),
        (module("time.now_ns() > 0"), "calls time.now_ns"),
        (module("opa.runtime().env"), "calls opa.runtime"),
        (module('io.jwt.decode("x")'), "calls io.jwt.decode"),
        (module("walk(input)"), "calls walk"),
        (module("count(numbers.range(1, 10)) == 10"), "calls numbers.range"),
        (module('nothing.of_the_kind("x")'), "calls nothing.of_the_kind|find function"),
        ("package a\nimport rego.v1\nf(x) := true\nallow if startswith(1, 2) with startswith as f", "uses with"),
        ("package a\nimport rego.v1\nallow if input.x with input as {}", "uses with"),
    ],
)
def test_what_must_not_be_published_is_refused(rego: RegoProcess, text: str, problem: str) -> None:
    with pytest.raises(InvalidField, match=problem) as refused:
        rego.check(text, "rules.0.condition.rego")
    assert refused.value.errors[0].field == "rules.0.condition.rego"


def test_functions_of_the_module_itself_may_be_called(rego: RegoProcess) -> None:
    text = 'package a\nimport rego.v1\nis_good(x) if startswith(x, "g")\nallow if is_good(input.x)'
    rego.check(text, "rego")
    assert rego.ask(text, {"x": "good"}).holds


LOOPS = "package a\nimport rego.v1\nallow if { " + " ".join(f"v{n} := input.t[_];" for n in range(9)) + " v0 == 1000 }"


def test_a_module_that_takes_for_ever_is_ended_and_the_next_question_is_answered(hasty: RegoProcess) -> None:
    assert hasty.ask(HTTPS, subject("https://a.example/")).holds  # whose process has started, and has no more time
    began_s = time.monotonic()
    answer = hasty.ask(LOOPS, {"t": list(range(40))})
    assert not answer.holds
    assert "no answer" in answer.problem
    assert time.monotonic() - began_s < 5
    assert hasty.ask(HTTPS, subject("https://a.example/")).holds


def test_a_module_that_ends_the_process_is_a_no(rego: RegoProcess) -> None:
    text = "package a\nimport rego.v1\nf(x) := f(x)\nallow if f(1)"
    with pytest.raises(InvalidField):
        rego.check(text, "rego")
    answer = rego.ask(text, {})
    assert (answer.holds, answer.problem) == (False, "the engine's process ended")
    assert rego.ask(HTTPS, subject("https://a.example/")).holds


def test_a_module_that_wants_much_memory_is_a_no(rego: RegoProcess) -> None:
    assert not rego.ask(module('count(sprintf("%3000000000d", [1])) > 0'), {}).holds
    assert rego.ask(HTTPS, subject("https://a.example/")).holds


def test_the_limit_of_memory_leaves_no_room_that_was_reserved_before(rego: RegoProcess) -> None:
    assert rego.ask(HTTPS, subject("https://a.example/")).holds
    mine = {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
    (child,) = [pid for pid in mine if b"rego_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    mapped_bytes = int(Path(f"/proc/{child}/statm").read_text().split()[0]) * resource.getpagesize()
    assert mapped_bytes < MEMORY_MAX_BYTES


def test_a_pattern_takes_linear_time(rego: RegoProcess) -> None:
    began_s = time.monotonic()
    assert not rego.ask(module('regex.match("(a+)+$", input.s)'), {"s": "a" * 40 + "!"}).holds
    assert time.monotonic() - began_s < 5
