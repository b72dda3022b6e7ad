"""Runs that were under way when a backup was made end, whatever they did then, and nothing of them runs again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chalicelib.core.errors import TooMany
from chalicelib.engine.workflows import restored_runs
from chalicelib.engine.workflows.restored_runs import RestoredRun
from chalicelib.ports.workflow_steps import HttpReply
from tests.kit.workflow_play import Play

BEGIN: dict[str, Any] = {"id": "begin", "type": "trigger", "on": "manual"}
ASK: dict[str, Any] = {"id": "ask", "type": "approval", "approvers": ["ann"]}


def http(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://x.example/{name}", **more}


def shapes(play: Play) -> str:
    """One run in each state in which a run may be found; the id of the one that begins the others."""
    play.publish("child", [BEGIN, ASK], [("begin", "ask")])
    play.publish("asks", [BEGIN, ASK, http("after")], [("begin", "ask"), ("ask", "after")])
    sub: dict[str, Any] = {"id": "sub", "type": "subworkflow", "workflow": "child"}
    play.publish("parent", [BEGIN, sub, http("after")], [("begin", "sub"), ("sub", "after")])
    fan: dict[str, Any] = {"id": "fan", "type": "parallel", "foreach": {"items": {"cel": "input"}}}
    join: dict[str, Any] = {"id": "join", "type": "join", "mode": "all"}
    edges = [("begin", "fan"), ("fan", "ask"), ("ask", "join"), ("join", "after")]
    play.publish("items", [BEGIN, fan, ASK, join, http("after")], edges)
    fails = [BEGIN, http("a", compensate="undo"), http("b"), http("undo", retry={"max_attempts": 9})]
    play.publish("undoes", fails, [("begin", "a"), ("a", "b")])
    limit = {"key": {"cel": "'all'"}, "limit": 1, "hold_while_waiting": True}
    play.publish("limited", [BEGIN, ASK], [("begin", "ask")], concurrency=limit)
    play.calls.answers = {
        "https://x.example/b": lambda _: HttpReply(400, {}, b""),
        "https://x.example/undo": lambda _: HttpReply(503, {}, b""),
    }
    for name in ("asks", "parent", "undoes", "limited", "limited"):
        play.start(name)
    items = play.start("items", [1, 2])
    play.settle()
    return items


def all_runs(play: Play) -> list[RestoredRun]:
    """Those of items too; the feed and the lists leave them out."""
    return [RestoredRun(run.tenant, run.id, run.wake_ms) for run in play.s.stores.runs._summaries.values()]  # type: ignore[attr-defined]


def test_whatever_a_run_did_it_ends_and_nothing_of_it_goes_on() -> None:
    play = Play()
    shapes(play)
    before = {run.id: play.state(run.id).status for run in all_runs(play)}
    assert sorted(set(before.values())) == ["compensating", "running"]
    assert len(before) == 9, "five that were started, a child, the items and their parent"
    asked = list(play.calls.keys)
    play.queue = type(play.queue)(play.s.clock.now_ms)  # it is in no backup
    parts = msgspec.structs.replace(play.s.workflows, queue=play.queue)
    play.s = msgspec.structs.replace(play.s, workflows=parts)
    assert restored_runs.settle(play.s, all_runs(play), "a backup") == len(before)
    assert play.queue.next_visible_ms() is None, "nothing is sent"
    play.advance(3_600_000)
    assert play.calls.keys == asked
    for run_id in before:
        state = play.state(run_id)
        assert (state.status, state.reason, state.slot) == ("cancelled", "a backup", "")
        assert {node.status for node in state.nodes.values()} <= {"completed", "failed", "skipped", "cancelled"}
    assert restored_runs.settle(play.s, all_runs(play), "again") == 0, "doing it again changes nothing"


def test_a_run_that_others_change_meanwhile_is_said() -> None:
    play = Play()
    play.publish("asks", [BEGIN, ASK], [("begin", "ask")])
    run_id = play.start("asks")
    stores = play.s.stores

    class Changing:
        """Its summary is never the one that was read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(stores.runs, name)

        def summarize(self, _summary: object, _rev: int) -> bool:
            return False

    s = msgspec.structs.replace(play.s, stores=msgspec.structs.replace(stores, runs=Changing()))
    with pytest.raises(TooMany, match="stop them first"):
        restored_runs.settle(s, [RestoredRun("default", run_id)], "a backup")
