"""PagerDuty has one event an incident, and its routing key from a secret stands in the body."""

from __future__ import annotations

import json

from chalicelib.core.notices.rule import Signal
from chalicelib.engine import notices
from tests.kit.alert_play import TENANT, AlertPlay

CHANNEL = {"type": "pagerduty", "secret_ref": "secretsmanager:pagerduty"}


def _signal(name: str, at_ms: int, good: bool = False) -> Signal:
    return Signal(
        subject=f"schedule/{name}", name=name, owner="anonymous", causes=() if good else ("failed",), success=good,
        at_ms=at_ms, source=f"{name}{at_ms}",
    )  # fmt: skip


def test_a_group_is_an_event_an_incident_and_each_end_resolves_its_own() -> None:
    play = AlertPlay()
    play.rule(channels=({"type": "pagerduty", "routing_key": "R"},), group_ms=1_000)
    now_ms = play.s.clock.now_ms()
    notices.signal(play.s, TENANT, [_signal("a", now_ms), _signal("b", now_ms)])
    play.advance(5_000)
    notices.signal(play.s, TENANT, [_signal("a", now_ms + 2, True), _signal("b", now_ms + 2, True)])
    play.advance(5_000)
    sent = [json.loads(request.body or b"") for request in play.calls.asked]
    assert [event["event_action"] for event in sent] == ["trigger", "trigger", "resolve", "resolve"]
    assert [event["dedup_key"] for event in sent[:2]] == [event["dedup_key"] for event in sent[2:]]
    assert len({event["dedup_key"] for event in sent}) == 2
    assert {event["routing_key"] for event in sent} == {"R"}


def test_the_secret_goes_where_the_routing_key_belongs() -> None:
    play = AlertPlay()
    play.rule(channels=(CHANNEL,))
    now_ms = play.s.clock.now_ms()
    notices.signal(play.s, TENANT, [_signal("a", now_ms)])
    play.advance(5_000)
    [asked] = play.calls.asked
    assert asked.headers == {"X-Routing-Key": {"secret_ref": "secretsmanager:pagerduty"}}
    assert asked.into_body == {"X-Routing-Key": "routing_key"}
