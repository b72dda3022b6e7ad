"""Notification rules as callers send them and see them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import PLAIN_TEXT, Body, Opt, PageQuery, given
from chalicelib.api.http.responses import ShownInstant, Ulid
from chalicelib.api.schedules.schemas import Owner, Tag, Timezone
from chalicelib.core.channels import ADDRESS_PATTERN, MAIL_MAX_COUNT
from chalicelib.core.json_schema import states
from chalicelib.core.notices.ledger_line import SentNotification
from chalicelib.core.notices.limits import CHANNELS_MAX, GROUP_MAX_MS, QUIET_MAX_MS
from chalicelib.core.notices.rule import ChannelType, NoticeCause, NotificationRule, Quiet, RuleMatch
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS
from chalicelib.core.schedules.limits import NAME_MAX_CHARS
from chalicelib.usecases.notices import RuleWish

RuleName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS), PLAIN_TEXT]
Group = Annotated[int, Meta(ge=0, le=GROUP_MAX_MS, description="Milliseconds in which incidents share a message.")]
Causes = Annotated[list[NoticeCause], Meta(min_length=1, max_length=7)]


MailAddress = Annotated[
    str, Meta(min_length=3, max_length=255, examples=["ops@example.com"]), states(pattern=ADDRESS_PATTERN)
]
MailAddresses = Annotated[list[MailAddress], Meta(min_length=1, max_length=MAIL_MAX_COUNT)]


class NoticeMatchBody(Body, kw_only=True):
    """What a schedule or a monitor must have; what is left out may be anything."""

    tag: Opt[Tag] = UNSET
    owner: Opt[Owner] = UNSET
    name_prefix: Opt[Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS)]] = UNSET


class QuietTimesBody(Body, kw_only=True):
    """From each instant of `cron` on, for `for_ms`, nothing is sent; a digest follows."""

    cron: Annotated[str, Meta(min_length=1, max_length=EXPR_MAX_CHARS)]
    for_ms: Annotated[int, Meta(ge=1, le=QUIET_MAX_MS, description="Milliseconds.")]
    timezone: Timezone = "UTC"


class ChannelBody(Body, kw_only=True):
    """Where to. `webhook`: `url`, `headers`, `secret_ref` (signs). `slack`: `url`; or `channel` and `secret_ref`.
    `pagerduty`: `routing_key` or `secret_ref`. `sns`: `topic_arn`. `email`: `to`, `from` (which SES has verified)."""

    type: ChannelType
    url: Opt[str] = UNSET
    headers: Opt[dict[str, Any]] = UNSET
    secret_ref: Opt[str] = UNSET
    channel: Opt[str] = UNSET
    routing_key: Opt[str] = UNSET
    topic_arn: Opt[str] = UNSET
    to: Opt[MailAddress | MailAddresses] = UNSET
    sender: Opt[MailAddress] = msgspec.field(name="from", default=UNSET)


Channels = Annotated[list[ChannelBody], Meta(min_length=1, max_length=CHANNELS_MAX)]


class NotificationRuleChanges(Body, kw_only=True):
    """The fields to change; what is left out stays. An object is replaced whole."""

    name: Opt[RuleName] = UNSET
    when: Opt[Causes] = UNSET
    match: Opt[NoticeMatchBody] = UNSET
    channels: Opt[Channels] = UNSET
    group_ms: Opt[Group] = UNSET
    quiet: Opt[QuietTimesBody | None] = UNSET
    enabled: Opt[bool] = UNSET


class NewNotificationRule(NotificationRuleChanges, kw_only=True):
    """A rule to create: what it watches, and where messages go."""

    name: RuleName
    when: Causes
    channels: Channels


class SentQuery(PageQuery, kw_only=True):
    """Which notifications."""

    rule_id: Opt[Annotated[str, Meta(min_length=1, max_length=64)]] = UNSET
    incident_id: Opt[Annotated[str, Meta(min_length=1, max_length=64)]] = UNSET


class NotificationRuleView(msgspec.Struct, kw_only=True):
    """A rule. A routing key is shown in part."""

    id: Ulid
    name: str
    when: list[NoticeCause]
    match: NoticeMatchBody
    channels: Annotated[list[dict[str, Any]], states(maxItems=CHANNELS_MAX)]
    group_ms: int
    quiet: QuietTimesBody | None
    enabled: bool
    owner: str
    version: str
    created_at_unix_ms: ShownInstant
    updated_at_unix_ms: ShownInstant


class NotificationRuleList(msgspec.Struct):
    """A page of rules, newest first."""

    items: list[NotificationRuleView]
    next_page_token: str | None


class NotificationRuleDeleted(msgspec.Struct):
    """What was deleted."""

    id: str


class Tested(msgspec.Struct):
    """The notifications that are sent as a test: `GET /api/v1/notifications` shows what became of them."""

    notification_ids: list[str]


class SentView(msgspec.Struct, kw_only=True):
    """What one channel was sent about one incident. Incidents of one message have the same `notification_id`."""

    id: str
    notification_id: str
    rule_id: str
    rule: str
    incident_id: str
    kind: str
    channel: str
    state: str
    attempts: int
    at_unix_ms: ShownInstant
    subject: str
    name: str
    when: list[str]
    text: str
    error: Opt[str] = UNSET


class SentList(msgspec.Struct):
    """A page of notifications, newest first."""

    items: list[SentView]
    next_page_token: str | None


def wish_of(body: NotificationRuleChanges) -> RuleWish:
    """What is asked of a rule."""
    match, quiet, when, channels = given(body.match), given(body.quiet), given(body.when), given(body.channels)
    return RuleWish(
        name=given(body.name),
        when=None if when is None else tuple(dict.fromkeys(when)),
        match=None if match is None else RuleMatch(given(match.tag), given(match.owner), given(match.name_prefix)),
        channels=None if channels is None else tuple(_written(channel) for channel in channels),
        group_ms=given(body.group_ms),
        quiet=None if quiet is None else Quiet(quiet.cron, quiet.for_ms, quiet.timezone),
        clear_quiet=body.quiet is None,
        enabled=given(body.enabled),
    )


def _written(channel: ChannelBody) -> dict[str, Any]:
    names = zip(channel.__struct_fields__, channel.__struct_encode_fields__, strict=True)
    return {shown: value for name, shown in names if (value := getattr(channel, name)) is not UNSET}


def of_rule(rule: NotificationRule) -> NotificationRuleView:
    """A rule as its owner sees it."""
    match, quiet = rule.match, rule.quiet
    return NotificationRuleView(
        id=rule.id,
        name=rule.name,
        when=list(rule.when),
        match=NoticeMatchBody(
            tag=match.tag or UNSET, owner=match.owner or UNSET, name_prefix=match.name_prefix or UNSET
        ),
        channels=[_shown(channel) for channel in rule.channels],
        group_ms=rule.group_ms,
        quiet=None if quiet is None else QuietTimesBody(cron=quiet.cron, for_ms=quiet.for_ms, timezone=quiet.timezone),
        enabled=rule.enabled,
        owner=rule.owner,
        version=rule.version,
        created_at_unix_ms=rule.created_ms,
        updated_at_unix_ms=rule.updated_ms,
    )


def _shown(channel: dict[str, Any]) -> dict[str, Any]:
    key = channel.get("routing_key")
    return channel if key is None else {**channel, "routing_key": f"{key[:4]}…"}


def of_sent(line: SentNotification) -> SentView:
    """A line of the ledger."""
    return SentView(
        id=line.id,
        notification_id=line.notification_id,
        rule_id=line.rule_id,
        rule=line.rule,
        incident_id=line.incident_id,
        kind=line.kind,
        channel=line.channel,
        state=line.state,
        attempts=line.attempts,
        at_unix_ms=line.at_ms,
        subject=line.subject,
        name=line.name,
        when=list(line.causes),
        text=line.text,
        error=line.error or UNSET,
    )
