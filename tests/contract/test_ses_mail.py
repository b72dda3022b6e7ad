"""``SesMailer`` at the emulator's SES."""

from __future__ import annotations

import uuid

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.aws.ses_mail import SesMailer
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.workflow_steps import Mail, StepFailed
from chalicelib.usecases import notices
from tests.kit.alert_play import AlertPlay

MAIL = Mail("run/n", "no-reply@example.com", ("ops@example.com",), "totals é", "n is 5\n")


@pytest.mark.emulator
def test_an_e_mail_is_handed_over_and_has_an_id(clients: Clients) -> None:
    ses = clients.get("sesv2")
    ses.create_email_identity(EmailIdentity="no-reply@example.com")
    sent = SesMailer(lambda: ses).send(MAIL)
    assert sent
    assert SesMailer(lambda: ses).send(MAIL) != sent


@pytest.mark.emulator
def test_a_rule_sends_by_ses_and_the_ledger_has_what_ses_refuses(clients: Clients) -> None:
    ses = clients.get("sesv2")
    ses.create_email_identity(EmailIdentity="alerts.example.com")
    play = AlertPlay()
    assert play.s.workflows is not None
    parts = replace(play.s.workflows, mailer=SesMailer(lambda: ses))
    play.s = replace(play.s, workflows=parts)
    to = "ops@example.com"
    right = {"type": "email", "to": to, "from": "chronowatch@alerts.example.com"}
    wrong = {"type": "email", "to": to, "from": f"nobody@{uuid.uuid4().hex}.example.com"}
    rule = play.rule(channels=(right, wrong))
    notices.test(play.s, ANONYMOUS_ADMIN, rule.id, None)
    play.settle()
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, rule.id, None, 10, None)
    found = {line.notification_id[-1]: (line.state, line.attempts) for line in lines}
    assert found == {"0": ("sent", 1), "1": ("failed", 1)}
    assert "not verified" in "".join(line.error for line in lines)


class _Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def send_email(self, **request: object) -> dict[str, str]:
        raise self.error


class _Answered(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


@pytest.mark.parametrize(
    ("problem", "kind", "again"),
    [
        (_Answered("MessageRejected"), "rejected", False),
        (_Answered("MailFromDomainNotVerifiedException"), "rejected", False),
        (_Answered("TooManyRequestsException"), "rejected", True),
        (TimeoutError("no answer"), "connection_error", True),
    ],
)
def test_what_ses_refuses_for_good_is_not_tried_again(problem: Exception, kind: str, again: bool) -> None:
    with pytest.raises(StepFailed) as failed:
        SesMailer(lambda: _Refusing(problem)).send(MAIL)
    assert (failed.value.error_type, failed.value.retryable) == (kind, again)
