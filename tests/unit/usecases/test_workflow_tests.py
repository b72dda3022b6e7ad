"""``:test``: a node with sample input, or a whole run in virtual time; nothing outside is called."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import Forbidden, InvalidField, NotFound
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, caller_of
from chalicelib.ports.services import Services
from chalicelib.usecases import workflow_tests, workflows
from chalicelib.usecases.workflow_tests import TestRequest
from tests.kit.services import make_services

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
CALL = {
    "id": "call",
    "type": "http",
    "method": "POST",
    "url": "https://a.example.com/",
    "headers": {"Authorization": {"secret": "token"}, "X-Order": {"cel": "input.order"}},
    "body": {"total": {"cel": "nodes.sum.output.total"}},
}
NODES: list[dict[str, Any]] = [
    TRIGGER,
    {"id": "sum", "type": "script", "language": "python", "code": "{'total': input['n'] + 1}"},
    {
        "id": "big",
        "type": "condition",
        "cases": [{"name": "yes", "when": {"cel": "nodes.sum.output.total > 5"}}],
        "default": "no",
    },
    CALL,
    {"id": "wait", "type": "delay", "for_ms": 3_600_000},
    {"id": "each", "type": "parallel", "foreach": {"items": {"cel": "input.list"}}},
    {"id": "body", "type": "transform", "jsonata": "$ * 2"},
    {"id": "all", "type": "join"},
]
EDGES = [("t", "sum"), ("sum", "big"), ("call", "wait"), ("wait", "each"), ("each", "body"), ("body", "all")]
DOCUMENT: dict[str, Any] = {
    "nodes": NODES,
    "edges": [{"from": a, "to": b} for a, b in EDGES] + [{"from": "big", "to": "call", "case": "yes"}],
}


@pytest.fixture
def s() -> Services:
    return make_services()


def tried(s: Services, **how: Any) -> Any:
    return workflow_tests.try_out(s, ANONYMOUS_ADMIN, TestRequest(**{"definition": DOCUMENT, **how}))


def problem(s: Services, **how: Any) -> str:
    with pytest.raises(InvalidField) as wrong:
        tried(s, **how)
    return wrong.value.errors[0].field


def test_a_whole_run_takes_no_time_however_long_its_delays(s: Services) -> None:
    given = {"n": 9, "order": "o-1", "list": [1, 2, 3]}
    found = tried(s, input=given, mocks={"call": [{"status": 503}, {"status": 400}]})
    assert found.state.status == "failed"
    assert found.state.nodes["wait"].status == "skipped"
    found = tried(s, input=given)
    assert found.state.status == "completed"
    assert found.state.finished_ms == found.began_ms + 3_600_000
    assert found.output == [2, 4, 6]
    assert {one.run_id for one in found.story} == {"run", "run~each~0", "run~each~1", "run~each~2"}
    assert not s.stores.runs.woken(1 << 60, 10), "nothing is stored"


def test_a_call_shows_what_it_would_send_and_no_secret(s: Services) -> None:
    how = {"node": "call", "input": {"order": "o-1"}, "outputs": {"sum": {"total": 7}}}
    found = tried(s, **how)
    assert found.status == "completed"
    assert found.request == {
        "method": "POST",
        "url": "https://a.example.com/",
        "headers": {"Authorization": "***", "X-Order": "o-1"},
        "body": {"total": 7},
        "idempotency_key": "test/call",
    }
    assert tried(s, **how, mocks={"call": {"status": 503}}).error_type == "http_error"


def test_each_kind_of_step_says_what_it_comes_to(s: Services) -> None:
    assert tried(s, node="sum", input={"n": 4}).output == {"total": 5}
    assert tried(s, node="sum", input={}).error_type == "script_error"
    assert tried(s, node="big", outputs={"sum": {"total": 6}}).case == "yes"
    assert tried(s, node="big").error_type == "expression_error"
    assert tried(s, node="wait").due_ms == s.clock.now_ms() + 3_600_000
    assert tried(s, node="each", input={"list": [1, 2]}).items == 2
    assert tried(s, node="body", item=21, has_item=True).output == 42


def test_wrong_requests_are_named(s: Services) -> None:
    assert problem(s, node="nowhere") == "node"
    assert problem(s, node="t") == "node"
    assert problem(s, node="sum", outputs={"nowhere": 1}) == "nodes.nowhere"
    assert problem(s, mocks={"nowhere": {}}) == "mocks.nowhere"
    assert problem(s, definition=None) == "definition"
    assert problem(s, workflow="w") == "definition"
    assert problem(s, version="1") == "version"
    assert problem(s, definition={"nodes": [TRIGGER, TRIGGER], "edges": []}) == "definition.nodes"


def test_a_published_workflow_is_tried_with_those_that_it_begins(s: Services) -> None:
    shape = {"id": "a", "type": "transform", "jsonata": '{"n": n + 1}'}
    line = [{"from": "t", "to": "a"}]
    workflows.create(s, ANONYMOUS_ADMIN, {"name": "inner", "nodes": [TRIGGER, shape], "edges": line})
    begins = {"id": "a", "type": "subworkflow", "workflow": "inner"}
    workflows.create(s, ANONYMOUS_ADMIN, {"name": "outer", "nodes": [TRIGGER, begins], "edges": line})
    found = tried(s, definition=None, workflow="outer", input={"n": 1})
    assert found.output == {"n": 2}
    with pytest.raises(NotFound):
        tried(s, definition=None, workflow="nobodys")


def test_who_may_not_publish_may_not_test(s: Services) -> None:
    viewer = caller_of("default", "v", ["viewer"], {}, credential="jwt", expires_at_ms=None)
    with pytest.raises(Forbidden):
        workflow_tests.try_out(s, viewer, TestRequest(definition=DOCUMENT))
