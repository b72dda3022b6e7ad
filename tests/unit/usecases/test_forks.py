"""Forks: a run goes on from an event of its log as it might have, with mocks and another input, and hears nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from chalicelib.core.errors import ChronoError, InvalidField, NotFound, RedriveConflict
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.tried import Rehearsed
from chalicelib.ports.workflow_steps import HttpReply
from chalicelib.usecases import workflow_tests
from chalicelib.usecases.workflow_tests import TestRequest
from tests.kit.services import make_services
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
SCRIPT = {"id": "sum", "type": "script", "language": "python", "code": "input['n'] + 1"}
PAY = {"id": "pay", "type": "http", "method": "POST", "url": "https://pay.example/", "body": {"n": {"cel": "input.n"}}}
GATE = {"id": "gate", "type": "approval", "approvers": ["ann"]}
LAST = {"id": "last", "type": "script", "language": "python", "code": "input", "input": {
    "sum": {"cel": "nodes.sum.output"}, "n": {"cel": "input.n"}, "paid": {"cel": "nodes.pay.output.body"}}}  # fmt: skip


@pytest.fixture
def play() -> Play:
    base = make_services()
    made = Play(base)
    assert made.s.workflows is not None
    assert base.workflows is not None
    parts = msgspec.structs.replace(made.s.workflows, open_stage=base.workflows.open_stage)
    made.s = msgspec.structs.replace(made.s, workflows=parts)
    nodes = [SCRIPT, PAY, GATE, LAST]
    made.publish("w", [TRIGGER, *nodes], list(pairwise(["t", *(str(node["id"]) for node in nodes)])))
    return made


def fork(play: Play, run: str, **how: Any) -> Rehearsed:
    found = workflow_tests.try_out(play.s, ANONYMOUS_ADMIN, TestRequest(fork_run_id=run, **how))
    assert isinstance(found, Rehearsed)
    return found


def begun(play: Play, given: Any) -> str:
    run = play.start("w", given)
    play.settle()
    return run


def test_a_fork_keeps_what_had_completed_and_plays_the_rest(play: Play) -> None:
    run = begun(play, {"n": 1})
    before, asked = play.state(run), list(play.calls.keys)
    found = fork(play, run, mocks={"gate": {"approve": True}})
    assert found.state.status == "completed"
    assert found.output == {"sum": 2, "n": 1, "paid": {"ok": True}}, "the answer is the real one, of then"
    begins = [one.event.node for one in found.story if one.event.type == "node_started"]
    assert begins == ["gate", "last"], "the story is that of the fork alone"
    assert play.state(run) == before
    assert play.calls.keys == asked, "nothing was called"


def test_a_fork_from_an_earlier_event_does_what_came_after_it_by_mocks_and_with_another_input(play: Play) -> None:
    run = begun(play, {"n": 1})
    log = play.s.stores.runs.events("default", run, 0, 100)
    position = next(event.number for event in log if event.type == "node_completed" and event.node == "sum")
    mocks = {"pay": {"body": {"mocked": True}}}
    found = fork(play, run, fork_position=position, input={"n": 7}, mocks=mocks)
    assert found.output == {"sum": 2, "n": 7, "paid": {"mocked": True}}
    refused = fork(play, run, fork_position=position, mocks={"pay": {"status": 402}})
    assert (refused.state.status, refused.state.nodes["pay"].error_type) == ("failed", "http_error")


def test_a_failed_run_is_forked_under_an_edited_definition(play: Play) -> None:
    play.calls.answers["https://pay.example/"] = lambda request: HttpReply(402, {}, b"")
    run = begun(play, {"n": 1})
    assert play.state(run).status == "failed"
    nodes = [TRIGGER, SCRIPT, PAY]
    document = {"nodes": nodes, "edges": [{"from": a, "to": b} for a, b in pairwise(["t", "sum", "pay"])]}
    found = fork(play, run, definition=document)
    assert found.state.status == "completed"
    assert found.output["status"] == 200
    other = {"nodes": [TRIGGER, {**GATE, "id": "sum"}], "edges": [{"from": "t", "to": "sum"}]}
    with pytest.raises(RedriveConflict):
        fork(play, run, definition=other)


def test_large_values_and_items_come_along(play: Play) -> None:
    each = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input.items"}}}
    body = {"id": "b", "type": "script", "language": "python", "code": "input + 'y' * 5000"}
    play.publish(
        "wide",
        [TRIGGER, each, body, {"id": "j", "type": "join"}, GATE],
        [("t", "p"), ("p", "b"), ("b", "j"), ("j", "gate")],
    )
    run = play.start("wide", {"items": ["a" * 6000, "b"]})
    play.settle()
    found = fork(play, run, mocks={"gate": {"approve": True}})
    assert found.state.status == "completed"
    assert found.outputs["j"] == ["a" * 6000 + "y" * 5000, "b" + "y" * 5000]


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"fork_position": 999}, "fork.position"),
        ({"node": "pay"}, "node"),
        ({"definition": {"name": "x", "nodes": [TRIGGER], "edges": []}}, "fork.run_id"),
        ({"mocks": {"nowhere": {}}}, "mocks.nowhere"),
    ],
)
def test_what_cannot_be_forked_is_refused_with_its_field(play: Play, how: dict[str, Any], field: str) -> None:
    run = begun(play, {"n": 1})
    with pytest.raises(InvalidField) as refused:
        fork(play, run, **how)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_run_that_is_not_there_or_of_another_is_not_forked(play: Play) -> None:
    with pytest.raises(NotFound):
        fork(play, "gone")
    run = begun(play, {"n": 1})
    stranger = msgspec.structs.replace(ANONYMOUS_ADMIN, tenant="elsewhere")
    with pytest.raises(ChronoError):
        workflow_tests.try_out(play.s, stranger, TestRequest(fork_run_id=run))
