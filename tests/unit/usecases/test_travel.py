"""Where going on from a place in a log stops; what callers see of it is in tests/api/test_travel.py."""

from __future__ import annotations

from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.session import Breakpoint
from chalicelib.usecases import travel
from tests.kit.workflow_play import Play


def test_going_on_from_a_breakpoint_does_not_stop_there_again() -> None:
    play = Play()
    nodes = [{"id": "t", "type": "trigger", "on": "manual"}] + [
        {"id": name, "type": "delay", "for_ms": 0} for name in ("a", "b")
    ]
    play.publish("w", nodes, [("t", "a"), ("a", "b")])
    run = play.start("w")
    play.advance(10_000)
    made = travel.create(play.s, ANONYMOUS_ADMIN, run, live=False, session_id=play.s.ids.ulid(play.s.clock.now_ms()))
    travel.set_breakpoints(play.s, ANONYMOUS_ADMIN, made.id, [Breakpoint("type", "delay")])
    travel.jump(play.s, ANONYMOUS_ADMIN, made.id, 1)
    stops = []
    for _ in range(3):
        moment = travel.go_on(play.s, ANONYMOUS_ADMIN, made.id)
        following = play.s.stores.runs.events("default", run, moment.position, 1)
        stops.append(following[0].node if following else "end")
    assert stops == ["a", "b", "end"]
