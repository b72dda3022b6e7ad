"""A run that has ended is kept for as long as the deployment says, and then all of it goes."""

from __future__ import annotations

from msgspec.structs import replace

from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
CALL = {"id": "a", "type": "http", "method": "POST", "url": "https://example.com/a"}
HOUR_MS = 3_600_000
FOREACH = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}}}
EDGES = [("t", "p"), ("p", "a"), ("a", "j")]


def kept_runs(play: Play) -> int:
    return len(play.s.stores.runs._summaries)  # type: ignore[attr-defined]


def test_a_run_and_its_items_go_when_their_time_is_over() -> None:
    play = Play()
    play.s = replace(play.s, config=replace(play.s.config, run_retention_ms=HOUR_MS))
    play.publish("w", [TRIGGER, FOREACH, CALL, {"id": "j", "type": "join"}], EDGES)
    play.publish("wait", [TRIGGER, {"id": "g", "type": "approval", "approvers": ["ann"]}], [("t", "g")])
    run = play.start("w", ["x", "y"])
    waits = play.start("wait")
    play.settle()
    assert play.state(run).status == "completed"
    assert kept_runs(play) == 4
    play.advance(HOUR_MS - 120_000)
    assert kept_runs(play) == 4
    play.advance(240_000)
    assert kept_runs(play) == 1
    assert play.state(waits).shown_status == "waiting", "what has not ended stays"
    assert not play.s.stores.runs._logs.keys() - {("default", waits)}  # type: ignore[attr-defined]
