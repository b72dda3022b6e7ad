"""A notification rule: what it watches, where messages go, and when it is quiet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from chalicelib.core.channels import (
    CLOUD_CHANNELS,
    PAGERDUTY_URL,
    RECEIVERS_WRONG,
    SENDER_WRONG,
    UNOFFERED,
    is_address,
    receivers,
)
from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.notices.limits import CHANNELS_MAX
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import Spec
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import registry

NoticeCause = Literal["failed", "late", "silent", "recovered", "dead_letter", "approval", "quota"]
CAUSES: Final[tuple[NoticeCause, ...]] = get_args(NoticeCause)
ChannelType = Literal["webhook", "slack", "email", "pagerduty", "sns"]
SLACK_URL: Final = "https://slack.com/api/chat.postMessage"
_FIELDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {  # needed, allowed
    "webhook": (frozenset({"url"}), frozenset({"url", "secret_ref", "headers"})),
    "slack": (frozenset(), frozenset({"url", "secret_ref", "channel"})),
    "pagerduty": (frozenset(), frozenset({"url", "routing_key", "secret_ref"})),
    "sns": (frozenset({"topic_arn"}), frozenset({"topic_arn"})),
    "email": (frozenset({"to", "from"}), frozenset({"to", "from"})),
}


class Quiet(Struct, frozen=True):
    """From each instant of a cron expression on, for so long, nothing is sent; a digest follows."""

    cron: str
    for_ms: int
    timezone: str = "UTC"


class RuleMatch(Struct, frozen=True):
    """What a thing must have; None: anything."""

    tag: str | None = None
    owner: str | None = None
    name_prefix: str | None = None


class NotificationRule(Struct, frozen=True, kw_only=True):
    """A rule. ``channels`` are objects as the caller wrote them."""

    tenant: str
    id: str
    rev: int = 1
    version: str
    name: str
    when: tuple[NoticeCause, ...]
    match: RuleMatch = RuleMatch()
    channels: tuple[dict[str, Any], ...]
    group_ms: int = 0
    quiet: Quiet | None = None
    enabled: bool = True
    owner: str
    every_owner: bool = False  # whether its maker may see every owner's things
    created_ms: int
    updated_ms: int


class Signal(Struct, frozen=True, kw_only=True):
    """Something happened to ``subject``. ``source`` names it for ever, so that a repeat is known.

    ``causes`` are what it is bad for; a ``success`` ends the incidents of rules that none of these concerns. Where
    nothing succeeds, the incident is over when nothing bad came for ``calm_ms``.
    """

    subject: str
    name: str
    owner: str
    tags: tuple[str, ...] = ()
    causes: tuple[NoticeCause, ...] = ()
    success: bool = False
    at_ms: int
    source: str
    detail: str = ""
    calm_ms: int | None = None


def concerns(rule: NotificationRule, signal: Signal) -> bool:
    """Whether a rule is about the thing that a signal comes from. Who may not see it gets no message about it."""
    match = rule.match
    return (
        rule.enabled
        and (rule.every_owner or signal.owner == rule.owner)
        and match.tag in (None, *signal.tags)
        and match.owner in (None, signal.owner)
        and (match.name_prefix is None or signal.name.startswith(match.name_prefix))
    )


def only_ends(rule: NotificationRule) -> bool:
    """Whether a rule is about the ends of incidents alone, whatever they were."""
    return all(cause == "recovered" for cause in rule.when)


def quiet_until(rule: NotificationRule, now_ms: int) -> int | None:
    """When the quiet time ends that holds at ``now_ms``; None: it is not quiet."""
    quiet = rule.quiet
    if quiet is None:
        return None
    compiled = expressions.compile(Spec("CRON", quiet.cron, quiet.timezone))
    began = compiled.next_after(now_ms - quiet.for_ms)
    end_ms: int | None = None
    while began is not None and began <= now_ms:
        end_ms = began + quiet.for_ms
        began = compiled.next_after(began)
        if began is not None and end_ms is not None and began > now_ms:
            break
    return end_ms


def check(rule: NotificationRule, webhook_allow: tuple[str, ...], secrets: SecretPolicy, in_cloud: bool) -> None:
    """Refuse a rule that is wrong anywhere, naming every wrong field, and channels that need the cloud where this
    deployment runs without it. Raises InvalidField."""
    errors: list[FieldError] = []
    if not rule.name.isprintable():
        errors.append(FieldError("name", "must not hold control characters"))
    if not rule.when:
        errors.append(FieldError("when", "must name at least one cause"))
    if not 1 <= len(rule.channels) <= CHANNELS_MAX:
        errors.append(FieldError("channels", f"must have 1 to {CHANNELS_MAX} channels"))
    for place, channel in enumerate(rule.channels):
        errors += _channel(f"channels.{place}", channel, webhook_allow, secrets)
    if rule.quiet is not None:
        errors += _quiet(rule.quiet)
    if errors:
        raise InvalidField(errors)
    # What this deployment cannot send is said last: what is wrong anywhere is wrong everywhere.
    missing = [i for i, channel in enumerate(rule.channels) if channel["type"] in CLOUD_CHANNELS and not in_cloud]
    if missing:
        found = [FieldError(f"channels.{i}.type", f"{rule.channels[i]['type']} {UNOFFERED}") for i in missing]
        raise InvalidField(found, code="not_configured")


def _quiet(quiet: Quiet) -> list[FieldError]:
    try:
        expressions.compile(Spec("CRON", quiet.cron, quiet.timezone))
    except InvalidField as wrong:
        names = {"expr": "quiet.cron", "timezone": "quiet.timezone"}
        return [FieldError(names.get(error.field, "quiet"), error.message) for error in wrong.errors]
    return []


def _channel(
    place: str, channel: Mapping[str, Any], webhook_allow: tuple[str, ...], secrets: SecretPolicy
) -> list[FieldError]:
    kind = channel.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return [FieldError(f"{place}.type", "must be one of " + ", ".join(get_args(ChannelType)))]
    needed, allowed = _FIELDS[kind]
    errors = [FieldError(f"{place}.{name}", "is unknown") for name in sorted(set(channel) - allowed - {"type"})]
    errors += [FieldError(f"{place}.{name}", "is missing") for name in sorted(needed - set(channel))]
    if errors:
        return errors
    if kind == "slack" and "url" not in channel and not {"channel", "secret_ref"} <= set(channel):
        return [FieldError(f"{place}.url", "is missing; or give channel and secret_ref")]
    if kind == "pagerduty" and ("routing_key" in channel) == ("secret_ref" in channel):
        return [FieldError(f"{place}.routing_key", "give it, or secret_ref in its place")]
    if kind == "email":
        wrong = [] if receivers(channel["to"]) else [FieldError(f"{place}.to", RECEIVERS_WRONG)]
        return wrong if is_address(channel["from"]) else [*wrong, FieldError(f"{place}.from", SENDER_WRONG)]
    texts = [name for name in allowed - {"headers"} if name in channel and not isinstance(channel[name], str)]
    if texts:
        return [FieldError(f"{place}.{name}", "must be a text") for name in sorted(texts)]
    found = registry.problems(target_of(channel), webhook_allow, secrets)
    return [FieldError(f"{place}.{error.field.removeprefix('target.')}", error.message) for error in found]


def target_of(channel: Mapping[str, Any]) -> dict[str, object]:
    """The target that a channel is judged as, and that webhooks and topics are sent to."""
    if channel["type"] == "sns":
        return {"type": "sns", "topic_arn": channel["topic_arn"]}
    default = {"slack": SLACK_URL, "pagerduty": PAGERDUTY_URL}.get(channel["type"])
    named = {name: channel[name] for name in ("secret_ref", "headers") if name in channel}
    return {"type": "webhook", "url": channel.get("url", default), **named}
