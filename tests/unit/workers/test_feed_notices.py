"""What the stream of executions tells notification rules: each end once, and successes which end incidents."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core.executions.execution import COMPLETED, FAILED, Attempt
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.workers import feed
from chalicelib.workers.feed import Written
from tests.kit.alert_play import AlertPlay
from tests.kit.records import execution


def ended(play: AlertPlay, state: str, late_ms: int = 0, **fields: object) -> Written:
    now_ms = play.s.clock.now_ms()
    at = Key(ANONYMOUS_ADMIN.tenant, "01KB0E5T0QJ8Z3V7M4N2X9YRSC")
    attempt = Attempt(number=1, fencing_token=1, started_ms=now_ms + late_ms)
    more = {"state": state, "finished_ms": now_ms, "first_started_ms": now_ms + late_ms, "attempts": (attempt,)}
    return Written(None, execution(at, now_ms, **more, **fields))


def kinds(play: AlertPlay) -> list[str]:
    return [kind for _, _, kind in play.messages]


def test_a_failure_opens_an_incident_and_a_success_ends_it() -> None:
    play = AlertPlay()
    play.rule(channels=({"type": "webhook", "url": "https://a.example/"},))
    failed = ended(play, FAILED, error="500")
    feed.run(play.s, [failed])
    feed.run(play.s, [failed])  # the stream brings a batch again
    play.settle()
    assert kinds(play) == ["alert"]
    later = replace(failed.after, firing_ms=failed.after.firing_ms + 1000)
    feed.run(play.s, [Written(None, later)])
    play.settle()
    assert kinds(play) == ["alert"]
    feed.run(play.s, [Written(None, replace(later, firing_ms=later.firing_ms + 1000, state=COMPLETED, error=None))])
    play.settle()
    assert kinds(play) == ["alert", "recovery"]


def test_a_late_success_is_bad_for_those_who_ask_for_lateness_only() -> None:
    play = AlertPlay()
    play.rule(when=("late",), channels=({"type": "webhook", "url": "https://a.example/"},))
    feed.run(play.s, [ended(play, COMPLETED, late_ms=60_000)])
    play.settle()
    assert kinds(play) == ["alert"]
    feed.run(play.s, [ended(play, COMPLETED)])
    play.settle()
    assert kinds(play) == ["alert"]


def test_without_a_rule_nothing_is_noted() -> None:
    play = AlertPlay()
    feed.run(play.s, [ended(play, FAILED)])
    play.settle()
    assert play.messages == []
