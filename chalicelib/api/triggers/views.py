"""Triggers between the words of the API and those of the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from chalicelib.api.schedules.schemas import RetryPolicyBody
from chalicelib.api.targets.schemas import of_target, target_of
from chalicelib.api.triggers.schemas import (
    AbsenceBody,
    CelBody,
    DedupeBody,
    ListeningView,
    NewTriggerBody,
    ReceivedView,
    ThrottleBody,
    TriggerChanges,
    TriggerView,
)
from chalicelib.core.decoders import converted
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.core.triggers.sources import Source, stored
from chalicelib.core.triggers.trigger import AbsenceRule, DedupeRule, ThrottleRule
from chalicelib.usecases.trigger_settings import ShownTrigger, TriggerRequest
from chalicelib.usecases.triggers import Received


def request_of(body: TriggerChanges | NewTriggerBody) -> TriggerRequest:
    """What a caller wants of a trigger."""
    fields: dict[str, Any] = {}
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if value is not UNSET:
            fields[name] = _READERS[name](value) if name in _READERS and value is not None else value
    return TriggerRequest(**fields)


def base_of(headers: Mapping[str, str], base: str) -> str:
    """The URL before our paths, as the caller wrote it: a sender needs the whole. Empty where no host is said."""
    host, scheme = headers.get("host", ""), headers.get("x-forwarded-proto", "http").partition(",")[0].strip().lower()
    return f"{scheme if scheme == 'https' else 'http'}://{host}{base}" if host else base


def trigger_view(found: ShownTrigger, base: str, now_ms: int) -> TriggerView:
    """A trigger as its owner sees it. ``base`` is what stands before our paths in the caller's URL, with its host."""
    trigger, d = found.trigger, found.schedule.definition
    rules, policy = trigger.rules, d.retry_policy
    source: Any = converted(rules.source, Source)
    return TriggerView(
        id=trigger.id,
        name=trigger.name,
        source=source,
        filter=None if rules.filter is None else CelBody(cel=rules.filter),
        dedupe=rules.dedupe and DedupeBody(key=CelBody(cel=rules.dedupe.key), window_ms=rules.dedupe.window_ms),
        debounce_ms=rules.debounce_ms,
        throttle=rules.throttle and ThrottleBody(limit=rules.throttle.limit, per_ms=rules.throttle.per_ms),
        absence=rules.absence
        and AbsenceBody(after=CelBody(cel=rules.absence.after), within_ms=rules.absence.within_ms),
        target=of_target(d.target),
        enabled=d.active,
        owner=d.owner,
        tenant=d.tenant,
        retry_policy=RetryPolicyBody(
            max_attempts=policy.max_attempts,
            backoff=policy.backoff,
            base_ms=policy.base_ms,
            max_ms=policy.max_ms,
            jitter=policy.jitter,
        ),
        timeout_ms=d.timeout_ms,
        tags=list(d.tags),
        dropped=found.dropped,
        version=found.version,
        created_at_unix_ms=d.created_at_ms,
        updated_at_unix_ms=d.updated_at_ms,
        ingest_url=f"{base}/ingest/{trigger.id}/{trigger.token}" if rules.source["type"] == "webhook" else UNSET,
        listening=_listening_view(found, now_ms),
    )


def _listening_view(found: ShownTrigger, now_ms: int) -> ListeningView | UnsetType:
    known = found.listening(now_ms)
    if known is None:
        return UNSET
    return ListeningView(
        state=known.state,
        since_unix_ms=known.since_ms,
        seen_unix_ms=known.seen_ms,
        last_error=known.last_error,
        last_error_unix_ms=known.last_error_ms,
    )


def received_view(received: Received, event_id: str) -> ReceivedView:
    """What became of an event."""
    return ReceivedView(
        outcome=received.outcome,
        event_id=event_id,
        execution_id=received.execution_id or UNSET,
        reason=received.reason or UNSET,
    )


_READERS: dict[str, Any] = {
    "source": stored,
    "filter": lambda body: body.cel,
    "dedupe": lambda body: DedupeRule(body.key.cel, body.window_ms),
    "throttle": lambda body: ThrottleRule(body.limit, body.per_ms),
    "absence": lambda body: AbsenceRule(body.after.cel, body.within_ms),
    "target": target_of,
    "retry_policy": lambda body: RetryPolicy(body.max_attempts, body.backoff, body.base_ms, body.max_ms, body.jitter),
    "tags": tuple,
}
