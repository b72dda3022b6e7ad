"""``concurrency``: never more runs of a key take steps than its limit says, and none waits for ever."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.happenings import Decides
from chalicelib.engine.workflows.run_access import advance
from chalicelib.ports.target import Outcome
from chalicelib.usecases import runs
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
JOB = {"id": "j", "type": "job", "target": {"type": "webhook", "url": "https://example.com/j"}}
GATE = {"id": "g", "type": "approval", "approvers": ["ann"]}
CALL = {"id": "a", "type": "http", "method": "POST", "url": "https://example.com/a"}


def limit(on_limit: str = "queue", count: int = 1, **more: Any) -> dict[str, Any]:
    return {"key": {"cel": "input.k"}, "limit": count, "on_limit": on_limit, **more}


def play_of(concurrency: dict[str, Any], *nodes: dict[str, Any]) -> Play:
    """Its jobs are accepted, and end when the test says so."""
    play = Play()
    play.target.outcome = Outcome("accepted", 202)
    named = ["t", *(node["id"] for node in nodes)]
    play.publish("w", [TRIGGER, *nodes], list(pairwise(named)), concurrency=concurrency)
    return play


def begin(play: Play, count: int, key: str = "x") -> list[str]:
    started = []
    for _ in range(count):
        started.append(play.start("w", {"k": key}))
        play.settle()
    return started


def end_job(play: Play, run: str) -> None:
    runs.end_node(play.s, ANONYMOUS_ADMIN, run, "j", None, None)
    play.settle()


def states(play: Play, started: list[str]) -> list[str]:
    return [play.shown(run).run.state.shown_status for run in started]


def under_way(play: Play, started: list[str]) -> list[str]:
    return [run for run in started if play.state(run).slot == "held"]


def test_runs_of_one_key_wait_in_line_and_others_do_not() -> None:
    play = play_of(limit(count=2), JOB)
    started = begin(play, 4)
    other = begin(play, 1, "y")
    assert under_way(play, started) == started[:2]
    assert under_way(play, other) == other
    assert [d.execution_id for d in play.target.got] == [f"{run}/j" for run in (*started[:2], *other)]
    end_job(play, started[1])
    assert under_way(play, started) == [started[0], started[2]]
    for run in (started[0], started[2], started[3]):
        end_job(play, run)
    assert states(play, started) == ["completed"] * 4


def test_a_run_too_many_is_skipped_and_says_so() -> None:
    play = play_of(limit("skip"), JOB)
    started = begin(play, 2)
    assert states(play, started) == ["waiting", "cancelled"]
    assert "skipped" in play.state(started[1]).reason
    end_job(play, started[0])
    assert states(play, begin(play, 1)) == ["waiting"], "the place is free again"


def test_the_oldest_is_cancelled_in_favour_of_the_newest() -> None:
    play = play_of(limit("cancel_oldest", 2), JOB)
    started = begin(play, 3)
    assert states(play, started) == ["cancelled", "waiting", "waiting"]
    assert under_way(play, started) == started[1:]
    assert started[2] in play.state(started[0]).reason


def test_who_waits_at_a_gate_holds_no_slot_and_needs_one_to_go_on() -> None:
    play = play_of(limit(), GATE, JOB)
    started = begin(play, 2)
    assert under_way(play, started) == []
    for run in started:
        nonce = play.state(run).nodes["g"].gate.nonce  # type: ignore[union-attr]
        advance(play.s, "default", run, Decides("g", nonce, True, "ann"))
        play.settle()
    assert under_way(play, started) == started[:1]
    end_job(play, started[0])
    assert under_way(play, started) == started[1:]


def test_who_says_so_holds_its_slot_at_a_gate() -> None:
    play = play_of(limit(hold_while_waiting=True), GATE)
    started = begin(play, 2)
    assert under_way(play, started) == started[:1]
    assert play.statuses(started[1])["g"] == "running"
    runs.cancel(play.s, ANONYMOUS_ADMIN, started[0], "")
    play.settle()
    assert under_way(play, started) == started[1:]


def test_a_cancelled_waiter_leaves_the_line() -> None:
    play = play_of(limit(), JOB)
    started = begin(play, 3)
    runs.cancel(play.s, ANONYMOUS_ADMIN, started[1], "")
    play.settle()
    end_job(play, started[0])
    assert states(play, started) == ["completed", "cancelled", "waiting"]
    assert under_way(play, started) == started[2:]


def test_a_slot_that_was_lost_with_its_worker_is_found_by_who_waits() -> None:
    play = play_of(limit(), JOB)
    started = begin(play, 2)
    runs.end_node(play.s, ANONYMOUS_ADMIN, started[0], "j", None, None)
    while play.queue.receive(10):
        pass  # all messages are lost
    assert under_way(play, started) == []
    play.advance(200_000)
    assert under_way(play, started) == started[1:]


def test_a_key_that_cannot_be_evaluated_starts_nothing() -> None:
    play = play_of(limit(), CALL)
    with pytest.raises(InvalidField) as refused:
        play.start("w", {"other": 1})
    assert "concurrency.key" in refused.value.errors[0].message
    assert play.s.stores.runs.page("default", None, None, 10, None)[0] == []


def test_a_redrive_stands_in_line_again() -> None:
    play = play_of(limit(), JOB)
    first, second = begin(play, 2)
    runs.cancel(play.s, ANONYMOUS_ADMIN, first, "")
    play.settle()
    runs.drive_again(play.s, ANONYMOUS_ADMIN, first, None, None, None, False)
    play.settle()
    assert under_way(play, [first, second]) == [second]
    end_job(play, second)
    assert under_way(play, [first, second]) == [first]
