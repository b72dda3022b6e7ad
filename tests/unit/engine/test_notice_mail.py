"""Notifications by e-mail: what they say, and what becomes of one that was not taken."""

from __future__ import annotations

import msgspec

from chalicelib.core.notices.rule import Signal
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.workflow_steps import StepFailed
from chalicelib.usecases import notices
from tests.kit.alert_play import AlertPlay
from tests.kit.mailer import FakeMailer

CHANNEL = {"type": "email", "to": ["ops@example.com", "dev@example.com"], "from": "alerts@example.com"}


def _play(channel: dict[str, object] | None = None) -> tuple[AlertPlay, FakeMailer]:
    play, mailer = AlertPlay(), FakeMailer()
    assert play.s.workflows is not None
    play.s = msgspec.structs.replace(play.s, workflows=msgspec.structs.replace(play.s.workflows, mailer=mailer))
    play.rule(channels=(channel or CHANNEL,))
    return play, mailer


def _fail(play: AlertPlay, name: str = "backup", good: bool = False) -> None:
    at_ms = play.s.clock.now_ms()
    play.signal(
        Signal(
            subject="schedule/a", name=name, owner="anonymous", causes=() if good else ("failed",), success=good,
            at_ms=at_ms, source=f"a{at_ms}{good}", detail="exit 1",
        )
    )  # fmt: skip
    play.settle()


def test_an_incident_and_its_end_are_one_e_mail_each() -> None:
    play, mailer = _play()
    _fail(play)
    _fail(play, good=True)
    first, last = mailer.sent
    assert (first.to, first.sender) == (("ops@example.com", "dev@example.com"), "alerts@example.com")
    assert first.subject == "[on call] alert: backup"
    assert "backup failed since" in first.text
    assert "exit 1" in first.text
    assert last.subject == "[on call] recovery: backup"
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, None, None, 10, None)
    assert [(line.channel, line.state) for line in lines] == [("email", "sent")] * 2
    assert [line.notification_id for line in reversed(lines)] == [first.key, last.key]
    assert f"incident_id: {lines[0].incident_id}\n" in first.text
    assert f"incident_id: {lines[0].incident_id}\n" in last.text


def test_one_address_may_stand_alone_and_a_name_adds_no_header() -> None:
    play, mailer = _play({**CHANNEL, "to": "ops@example.com"})
    _fail(play, "a\r\nBcc: eve@example.com " + "x" * 400)
    [mail] = mailer.sent
    assert mail.to == ("ops@example.com",)
    assert mail.subject.isprintable()
    assert len(mail.subject) <= 200


def test_what_is_away_is_tried_again_under_its_key_and_what_is_refused_is_not() -> None:
    play, mailer = _play()
    mailer.problem = StepFailed("connection_error", "no answer", retryable=True)
    _fail(play)
    play.until(play.s.clock.now_ms() + 10_000)
    assert len(mailer.sent) == 2
    assert len({mail.key for mail in mailer.sent}) == 1
    mailer.problem = StepFailed("rejected", "SES: not verified", retryable=False)
    _fail(play, good=True)
    play.until(play.s.clock.now_ms() + 10_000)
    assert len(mailer.sent) == 3
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, None, None, 10, None)
    assert [(line.state, line.attempts, line.error) for line in lines] == [
        ("failed", 1, "SES: not verified"),
        ("sent", 2, ""),
    ]


def test_a_deployment_without_e_mail_says_so_in_the_ledger() -> None:
    play = AlertPlay()
    play.rule(channels=(CHANNEL,))
    _fail(play)
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, None, None, 10, None)
    assert [(line.state, line.error) for line in lines] == [("failed", "this deployment sends no e-mail")]
