"""Triggers as callers send them and see them. An absent field is UNSET: to a PATCH that is not null."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.executions.schemas import ExecutionView
from chalicelib.api.http.requests import PLAIN_TEXT, Body, Duration, Opt
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant, Ulid
from chalicelib.api.schedules.schemas import Owner, RetryPolicyBody, Tags
from chalicelib.api.targets.schemas import Target
from chalicelib.core.json_schema import formed
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.triggers.limits import CEL_MAX_CHARS, THROTTLE_MAX, THROTTLE_PER_MAX_MS, WAIT_MAX_MS, WINDOW_MAX_MS
from chalicelib.core.triggers.listening import ListeningState
from chalicelib.core.triggers.sources import Source
from chalicelib.usecases.trigger_settings import NAME_MAX_CHARS
from chalicelib.usecases.triggers import Outcome

TriggerName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS), PLAIN_TEXT]
InletToken = Annotated[str, formed(pattern=r"^[A-Za-z0-9_-]{22,512}$")]
Wait = Annotated[int, Meta(ge=0, le=WAIT_MAX_MS, description="Milliseconds.")]
AttemptTime = Annotated[int, Meta(ge=1, le=DURATION_MAX_MS, description="Milliseconds that an attempt may take.")]


class CelBody(Body, kw_only=True):
    """An expression of CEL that sees `event`, the CloudEvent."""

    cel: Annotated[str, Meta(min_length=1, max_length=CEL_MAX_CHARS, examples=["event.type == 'order.created'"])]


class DedupeBody(Body, kw_only=True):
    """One execution in a window for all events of one key."""

    key: CelBody
    window_ms: Annotated[int, Meta(ge=1, le=WINDOW_MAX_MS, description="Milliseconds.")]


class ThrottleBody(Body, kw_only=True):
    """At most so many executions in any span. What is more is dropped, and counted."""

    limit: Annotated[int, Meta(ge=1, le=THROTTLE_MAX)]
    per_ms: Annotated[int, Meta(ge=1, le=THROTTLE_PER_MAX_MS)]


class AbsenceBody(Body, kw_only=True):
    """Fire when no event passes `filter` within so long of one for which `after` holds."""

    after: CelBody
    within_ms: Annotated[int, Meta(ge=1, le=WAIT_MAX_MS, description="Milliseconds.")]


class TriggerChanges(Body, kw_only=True):
    """The fields to change."""

    name: Opt[TriggerName] = UNSET
    source: Opt[Source] = UNSET
    filter: Opt[CelBody | None] = UNSET
    dedupe: Opt[DedupeBody | None] = UNSET
    debounce_ms: Opt[Wait] = UNSET
    throttle: Opt[ThrottleBody | None] = UNSET
    absence: Opt[AbsenceBody | None] = UNSET
    target: Opt[Target] = UNSET
    enabled: Opt[bool] = UNSET
    owner: Opt[Owner] = UNSET
    retry_policy: Opt[RetryPolicyBody] = UNSET
    timeout_ms: Opt[AttemptTime] = UNSET
    tags: Opt[Tags] = UNSET


class NewTriggerBody(TriggerChanges, kw_only=True):
    """A trigger to make."""

    name: TriggerName
    source: Source


class ListeningView(msgspec.Struct, kw_only=True):
    """Whether a worker reads the source. `unattended`: none has said anything for three minutes, or since the source
    was set."""

    state: ListeningState
    since_unix_ms: Annotated[int | None, Meta(description="Since when, in Unix milliseconds; null: it is not known.")]
    seen_unix_ms: Annotated[int | None, Meta(description="When a worker last said so.")]
    last_error: Annotated[
        str | None, Meta(description="Why a worker could not read it last; it stays when that is over.")
    ]
    last_error_unix_ms: Annotated[int | None, Meta(description="When that was.")]


class TriggerView(msgspec.Struct, kw_only=True):
    """A trigger. `ingest_url` is where a webhook source takes events; a sender needs nothing else. `listening` is there
    where a worker has to read the source."""

    id: Ulid
    name: str
    source: Source
    filter: CelBody | None
    dedupe: DedupeBody | None
    debounce_ms: Duration
    throttle: ThrottleBody | None
    absence: AbsenceBody | None
    target: Target
    enabled: bool
    owner: str
    tenant: str
    retry_policy: RetryPolicyBody
    timeout_ms: int
    tags: list[str]
    dropped: Annotated[int, Meta(description="Events that the throttle has dropped.")]
    version: str
    created_at_unix_ms: ShownInstant
    updated_at_unix_ms: ShownInstant
    ingest_url: Opt[str] = UNSET
    listening: Opt[ListeningView] = UNSET
    warnings: PolicyWarnings = UNSET


class TriggerList(msgspec.Struct):
    """A page of triggers, newest first."""

    items: list[TriggerView]
    next_page_token: str | None


class TriggerDeleted(msgspec.Struct):
    """What is gone."""

    id: str


class TriggerExecutions(msgspec.Struct):
    """What a trigger fired, newest first."""

    items: list[ExecutionView]
    next_page_token: str | None


class ReceivedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What becomes of an event. `execution_id` is the execution that it fires, or has fired."""

    outcome: Outcome
    event_id: str
    execution_id: Opt[str] = UNSET
    reason: Opt[str] = UNSET


class EventBody(Body, kw_only=True):
    """A CloudEvent, or any JSON: what it means is read from the body as it came."""
