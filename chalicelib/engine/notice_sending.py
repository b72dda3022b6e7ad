"""A notification to one channel: through the same guard and with the same secrets as webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.core.channels import receivers
from chalicelib.core.notices.limits import LINES_MAX, SEND_TIMEOUT_MS
from chalicelib.core.notices.message import NOTIFICATION_TYPE, data_of, mail_of, text_of
from chalicelib.core.notices.rule import NotificationRule, target_of
from chalicelib.core.notices.rule_book import Notice
from chalicelib.core.targets import cloudevent, registry
from chalicelib.core.trace import of_attempt
from chalicelib.ports.services import Services
from chalicelib.ports.target import FAILED, Delivery
from chalicelib.ports.workflow_steps import HttpRequest, Mail, StepFailed

_SUMMARY_MAX: Final = 1_024
_OK: Final = range(200, 300)
_AGAIN: Final = frozenset({408, 425, 429})
_SLACK_AGAIN: Final = frozenset(
    ("fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable")
)
_REASON_MAX: Final = 200


def key_of(rule: NotificationRule, notice: Notice, channel: int) -> str:
    """What a receiver knows a repeat by."""
    return f"{rule.id}-{notice.number}-{channel}"


def send(s: Services, rule: NotificationRule, notice: Notice, channel: int) -> tuple[str | None, bool]:
    """Send; what went wrong (None: nothing), and whether trying again is of no use."""
    wanted = rule.channels[channel]
    key = key_of(rule, notice, channel)
    kind = wanted["type"]
    if kind in ("webhook", "sns"):
        return _by_target(s, rule, notice, key, target_of(wanted))
    if kind == "slack":
        return _by_call(s, rule, key, wanted, _slack(rule, notice, wanted))
    if kind == "email":
        return _by_mail(s, rule, notice, key, wanted)
    for event in _pagerduty(rule, notice, wanted):
        # What was taken before is taken again under its dedup_key, which changes nothing there.
        problem = _by_call(s, rule, key, wanted, event)
        if problem[0] is not None:
            return problem
    return None, False


def _by_target(
    s: Services, rule: NotificationRule, notice: Notice, key: str, target: Mapping[str, object]
) -> tuple[str | None, bool]:
    traceparent = str(of_attempt(key, 1))
    event = cloudevent.notice(
        type=NOTIFICATION_TYPE,
        event_id=key,
        schedule_id=rule.id,
        at_unix_ms=notice.made_ms,
        traceparent=traceparent,
        hlc=s.ids.hlc(),
        data=data_of(rule, notice, key),
        source=f"/chronowatch/notification-rules/{rule.id}",
    )
    delivery = Delivery(
        execution_id=key,
        tenant=rule.tenant,
        schedule_id=rule.id,
        firing_unix_ms=notice.made_ms,
        attempt=1,
        fencing_token=0,
        target=registry.normal_target(target),
        event=event,
        traceparent=traceparent,
        timeout_ms=SEND_TIMEOUT_MS,
        event_type=NOTIFICATION_TYPE,
    )
    [outcome] = s.targets[str(target["type"])].dispatch([delivery])
    if outcome.kind == FAILED:
        return outcome.error or outcome.error_type or "it was not taken", outcome.permanent
    return None, False


def _by_call(
    s: Services, rule: NotificationRule, key: str, channel: Mapping[str, Any], body: Mapping[str, Any]
) -> tuple[str | None, bool]:
    assert s.workflows is not None, "this process sends nothing"
    secret = channel.get("secret_ref")
    header = "Authorization" if channel["type"] == "slack" else "X-Routing-Key"
    request = HttpRequest(
        key=key,
        tenant=rule.tenant,
        attempt=1,
        method="POST",
        url=str(target_of(channel)["url"]),
        headers={} if secret is None else {header: {"secret_ref": secret}},
        body=json.dumps(body, ensure_ascii=False).encode(),
        timeout_ms=SEND_TIMEOUT_MS,
        traceparent=str(of_attempt(key, 1)),
        into_body={"X-Routing-Key": "routing_key"} if channel["type"] == "pagerduty" and secret is not None else {},
    )
    try:
        reply = s.workflows.calls.call(request)
    except StepFailed as wrong:
        return str(wrong), not wrong.retryable
    if reply.status in _OK:
        return _slack_refusal(reply.body) if channel["type"] == "slack" else (None, False)
    return f"it answered {reply.status}", 400 <= reply.status < 500 and reply.status not in _AGAIN


def _by_mail(
    s: Services, rule: NotificationRule, notice: Notice, key: str, channel: Mapping[str, Any]
) -> tuple[str | None, bool]:
    mailer = None if s.workflows is None else s.workflows.mailer
    if mailer is None:
        return "this deployment sends no e-mail", True
    subject, text = mail_of(rule, notice)
    try:
        mailer.send(Mail(key, channel["from"], receivers(channel["to"]), subject, text))
    except StepFailed as wrong:
        return str(wrong), not wrong.retryable
    return None, False


def _slack(rule: NotificationRule, notice: Notice, channel: Mapping[str, Any]) -> dict[str, Any]:
    # Plain text, so that what others wrote mentions no member and links nowhere.
    text = text_of(rule, notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    where = {"channel": channel["channel"]} if "channel" in channel else {}
    return {"text": text, "mrkdwn": False, "incident_id": notice.incidents[0].id, **where}


def _slack_refusal(body: bytes) -> tuple[str | None, bool]:
    """What went wrong though the status was 200: Slack's API says it in the body. Incoming webhooks answer ``ok``."""
    try:
        found = json.loads(body)
    except ValueError:
        return None, False
    if not isinstance(found, dict) or found.get("ok") is not False:
        return None, False
    code = str(found.get("error", "no reason is given"))
    return f"Slack refused it: {code[:_REASON_MAX]}", code not in _SLACK_AGAIN


def _pagerduty(rule: NotificationRule, notice: Notice, channel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One event an incident, so that each is resolved by its own end."""
    named = {"routing_key": channel["routing_key"]} if "routing_key" in channel else {}
    events = []
    for each in notice.incidents[:LINES_MAX]:
        alone = replace(notice, incidents=(each,))
        events.append(
            {
                **named,
                "event_action": "trigger" if each.closed_ms is None else "resolve",
                "dedup_key": each.id,
                "payload": {
                    "summary": text_of(rule, alone)[:_SUMMARY_MAX],
                    "source": f"chronowatch/{each.subject}",
                    "severity": "info" if notice.kind in ("test", "recovery") else "error",
                },
            }
        )
    return events
