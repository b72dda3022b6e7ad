"""Workflows as they are published."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import InvalidField, PreconditionFailed
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.usecases import workflows
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


def http(name: str) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://example.com/{name}"}


@pytest.fixture
def play() -> Play:
    return Play()


def test_a_workflow_that_would_begin_itself_is_refused(play: Play) -> None:
    call = {"id": "s", "type": "subworkflow", "workflow": "two"}
    play.publish("two", [TRIGGER, http("a")], [("t", "a")])
    play.publish("one", [TRIGGER, call], [("t", "s")])
    back = {"nodes": [TRIGGER, {**call, "workflow": "one"}], "edges": [{"from": "t", "to": "s"}]}
    with pytest.raises(InvalidField) as refused:
        workflows.put(play.s, ANONYMOUS_ADMIN, "two", back, None)
    assert refused.value.errors[0].field == "nodes.s.workflow"
    assert "two -> one -> two" in refused.value.errors[0].message


def test_a_failed_run_begins_the_workflow_that_handles_it(play: Play) -> None:
    play.publish("handler", [TRIGGER, http("alert")], [("t", "alert")])
    script = {"id": "s", "type": "script", "language": "python", "code": "1 / 0"}
    play.publish("w", [TRIGGER, script], [("t", "s")], on_failure="handler@1")
    run = play.start("w", {"x": 1})
    play.settle()
    assert play.state(run).status == "failed"
    handler = play.calls.keys[0].removesuffix("/alert")
    given = play.shown(handler).input
    assert (given["run_id"], given["input"], given["error_type"]) == (run, {"x": 1}, "script_error")


def test_a_handler_that_is_not_there_is_refused(play: Play) -> None:
    for name in ("gone", "w", "handler@7"):
        with pytest.raises(InvalidField) as refused:
            play.publish("w", [TRIGGER, http("a")], [("t", "a")], on_failure=name)
        assert [error.field for error in refused.value.errors] == ["on_failure"]


def test_what_is_not_offered_is_refused_and_not_ignored(play: Play) -> None:
    mail = {"id": "n", "type": "notification", "channel": {"type": "email", "to": "a@example.com"}, "message": "x"}
    with pytest.raises(InvalidField):
        play.publish("w", [TRIGGER, mail], [("t", "n")])


def test_an_edit_of_another_version_than_the_live_one_is_refused(play: Play) -> None:
    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    changed = {"nodes": [TRIGGER, http("b")], "edges": [{"from": "t", "to": "b"}]}
    with pytest.raises(PreconditionFailed):
        workflows.put(play.s, ANONYMOUS_ADMIN, "w", changed, ["other"])
    live = workflows.get(play.s, ANONYMOUS_ADMIN, "w").head.live
    assert workflows.put(play.s, ANONYMOUS_ADMIN, "w", changed, [live]).version.number == 2
