"""Slack's API answers 200 also to what it refuses: the reason is in the body."""

from __future__ import annotations

import pytest

from chalicelib.core.notices.rule import SLACK_URL, Signal
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.workflow_steps import HttpReply
from chalicelib.usecases import notices
from tests.kit.alert_play import AlertPlay

BY_TOKEN = {"type": "slack", "channel": "#alerts", "secret_ref": "secretsmanager:slack"}
BY_WEBHOOK = {"type": "slack", "url": "https://hooks.slack.com/x"}


@pytest.mark.parametrize(
    ("channel", "body", "state", "error", "times"),
    [
        (BY_TOKEN, b'{"ok":true}', "sent", "", 1),
        (BY_WEBHOOK, b"ok", "sent", "", 1),
        (BY_TOKEN, b'{"ok":false,"error":"channel_not_found"}', "failed", "Slack refused it: channel_not_found", 1),
        (BY_TOKEN, b'{"ok":false}', "failed", "Slack refused it: no reason is given", 1),
        (BY_TOKEN, b'{"ok":false,"error":"ratelimited"}', "failed", "Slack refused it: ratelimited", 8),
        (BY_TOKEN, b"[false]", "sent", "", 1),
    ],
)
def test_what_slack_says_in_the_body_counts(
    channel: dict[str, str], body: bytes, state: str, error: str, times: int
) -> None:
    play = AlertPlay()
    play.calls.answers[channel.get("url", SLACK_URL)] = lambda _request: HttpReply(200, {}, body)
    play.rule(channels=(channel,))
    at_ms = play.s.clock.now_ms()
    play.signal(
        Signal(
            subject="schedule/a", name="a", owner="anonymous", causes=("failed",), success=False, at_ms=at_ms,
            source="a",
        )
    )  # fmt: skip
    for _ in range(12):
        play.advance(3_600_000)
    [line], _ = notices.sent(play.s, ANONYMOUS_ADMIN, None, None, 10, None)
    assert (line.state, line.error, len(play.calls.asked)) == (state, error, times)
