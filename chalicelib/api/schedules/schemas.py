"""Schedules as callers send them and see them. An absent field is UNSET: to a PATCH that is not null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from chalicelib.api.http.requests import (
    PLAIN_TEXT,
    Body,
    Duration,
    Instant,
    Opt,
    PageQuery,
    given,
    json_text,
)
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant, Ulid
from chalicelib.api.targets.schemas import Target, of_target, target_of
from chalicelib.core.json_schema import states
from chalicelib.core.limits import DURATION_MAX_MS, OWNER_MAX_CHARS
from chalicelib.core.recurrence.exclusions import EXCLUSIONS_MAX
from chalicelib.core.recurrence.expressions import Exclusion, RecurrenceType
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS, PREVIEW_DEFAULT_COUNT, PREVIEW_MAX_COUNT
from chalicelib.core.recurrence.walltime import DstGap, DstOverlap
from chalicelib.core.schedules.limits import (
    FAILURES_IN_ROW_MAX,
    JITTER_MAX_MS,
    MONITOR_WINDOW_MIN_MS,
    NAME_MAX_CHARS,
    NOTE_MAX_CHARS,
    RETRY_MAX_ATTEMPTS,
    RUNS_MAX,
    SHARD_KEY_MAX_CHARS,
    TAG_MAX_CHARS,
    TAGS_MAX_COUNT,
)
from chalicelib.core.schedules.request import PreviewRequest, ScheduleRequest
from chalicelib.core.schedules.schedule import (
    Backoff,
    Definition,
    Monitor,
    Overlap,
    RetryPolicy,
    Schedule,
    ScheduleState,
    progress,
)
from chalicelib.core.words.languages import WordsLanguage, wanted_languages

Name = Annotated[
    str,
    Meta(min_length=1, max_length=NAME_MAX_CHARS, description="Unique within an owner when given."),
]
PauseEnd = Annotated[
    Opt[Instant],
    Meta(description="When the pause ends by itself; left out: when it is resumed. It must be in the future."),
]
Expr = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=EXPR_MAX_CHARS,
        description="By type: `*/5 * * * *`, `rate:5s`, `delay:30s`, `PT5M`, `at:2026-12-25T10:00:00Z`.",
        examples=["rate:5s"],
    ),
]
Timezone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA name.", examples=["Europe/Berlin"])]
Owner = Annotated[str, Meta(min_length=1, max_length=OWNER_MAX_CHARS)]
Tag = Annotated[str, Meta(min_length=1, max_length=TAG_MAX_CHARS)]
Tags = Annotated[list[Annotated[Tag, PLAIN_TEXT]], Meta(max_length=TAGS_MAX_COUNT)]
MaxRuns = Annotated[int, Meta(ge=1, le=RUNS_MAX, description="The schedule completes after so many runs.")]
FailuresInRow = Annotated[
    int,
    Meta(
        ge=1,
        le=FAILURES_IN_ROW_MAX,
        description="The schedule is paused when so many executions in a row end as failed or timeout. Null: never.",
    ),
]


class Range(Body, kw_only=True):
    """A span of time, both ends included."""

    from_unix_ms: Instant
    to_unix_ms: Instant


class RetryPolicyBody(Body, kw_only=True):
    """How a failed delivery is tried again. What is left out takes its default, also in a PATCH."""

    max_attempts: Annotated[int, Meta(ge=1, le=RETRY_MAX_ATTEMPTS)] = 3
    backoff: Backoff = "exponential"
    base_ms: Duration = 1000
    max_ms: Duration = 60_000
    jitter: bool = True


class MonitorBody(Body, kw_only=True):
    """A dead-man's switch: an alert when no execution succeeded for so long."""

    window_ms: Annotated[int, Meta(ge=MONITOR_WINDOW_MIN_MS, le=DURATION_MAX_MS, description="Milliseconds.")]


Exclude = Annotated[
    list[Range | str],
    Meta(description="Spans, cron expressions whose minutes are left out, or iCalendar text."),
    states(maxItems=EXCLUSIONS_MAX),
]


class ScheduleChanges(Body, kw_only=True):
    """The fields to change; what is left out stays. An object (`target`, `retry_policy`) is replaced whole."""

    name: Opt[Annotated[Name, PLAIN_TEXT] | None] = UNSET
    type: Opt[RecurrenceType] = UNSET
    expr: Opt[Expr] = UNSET
    timezone: Opt[Timezone] = UNSET
    start_at_unix_ms: Opt[Instant | None] = UNSET
    end_at_unix_ms: Opt[Instant | None] = UNSET
    max_runs: Opt[MaxRuns | None] = UNSET
    payload: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET
    target: Opt[Target] = UNSET
    enabled: Opt[bool] = UNSET
    owner: Opt[Annotated[Owner, PLAIN_TEXT]] = UNSET
    sla_ms: Opt[Duration] = UNSET
    overlap: Opt[Overlap] = UNSET
    catch_up_window_ms: Opt[Duration] = UNSET
    jitter_ms: Opt[Annotated[int, Meta(ge=0, le=JITTER_MAX_MS, description="Milliseconds.")]] = UNSET
    dst_gap: Opt[DstGap] = UNSET
    dst_overlap: Opt[DstOverlap] = UNSET
    exclude: Opt[Exclude] = UNSET
    retry_policy: Opt[RetryPolicyBody] = UNSET
    timeout_ms: Opt[Annotated[int, Meta(ge=1, le=DURATION_MAX_MS, description="Milliseconds.")]] = UNSET
    pause_after_failures: Opt[FailuresInRow | None] = UNSET
    monitor: Opt[MonitorBody | None] = UNSET
    tags: Opt[Tags] = UNSET


class NewSchedule(ScheduleChanges, kw_only=True):
    """A schedule to create: `type` and `expr`, and whatever should differ from its default."""

    type: RecurrenceType
    expr: Expr
    shard_key: Opt[Annotated[str, Meta(min_length=1, max_length=SHARD_KEY_MAX_CHARS), PLAIN_TEXT] | None] = UNSET


class PreviewBody(Body, kw_only=True):
    """A recurrence to preview. Nothing is written."""

    type: RecurrenceType
    expr: Expr
    timezone: Opt[Timezone] = UNSET
    start_at_unix_ms: Opt[Instant | None] = UNSET
    end_at_unix_ms: Opt[Instant | None] = UNSET
    exclude: Opt[Exclude] = UNSET
    dst_gap: Opt[DstGap] = UNSET
    dst_overlap: Opt[DstOverlap] = UNSET
    after_unix_ms: Opt[Instant | None] = UNSET
    count: Annotated[int, Meta(ge=1, le=PREVIEW_MAX_COUNT)] = PREVIEW_DEFAULT_COUNT


class PauseBody(Body, kw_only=True):
    """Why it is paused, for those who read it next, and until when."""

    note: Annotated[str, Meta(max_length=NOTE_MAX_CHARS)] | None = None
    until_unix_ms: PauseEnd = UNSET


class TriggerBody(Body, kw_only=True):
    """What to deliver instead of the schedule's own payload."""

    payload: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET


class SchedulesQuery(PageQuery, kw_only=True):
    """Which schedules."""

    owner: Opt[Owner] = UNSET
    enabled: Opt[bool] = UNSET
    type: Opt[RecurrenceType] = UNSET
    tag: Opt[Tag] = UNSET
    name_prefix: Opt[Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS)]] = UNSET


def request_of(body: ScheduleChanges) -> ScheduleRequest:
    """What is asked of a schedule, in the words of the domain; what was left out stays UNSET."""
    shard_key = body.shard_key if isinstance(body, NewSchedule) else UNSET
    return ScheduleRequest(
        name=body.name,
        type=body.type,
        expr=body.expr,
        timezone=body.timezone,
        start_at_ms=body.start_at_unix_ms,
        end_at_ms=body.end_at_unix_ms,
        max_runs=body.max_runs,
        payload=UNSET if body.payload is UNSET else json_text(body.payload),
        target=UNSET if body.target is UNSET else target_of(body.target),
        enabled=body.enabled,
        owner=body.owner,
        shard_key=UNSET if shard_key is None else shard_key,
        sla_ms=body.sla_ms,
        overlap=body.overlap,
        catch_up_window_ms=body.catch_up_window_ms,
        jitter_ms=body.jitter_ms,
        dst_gap=body.dst_gap,
        dst_overlap=body.dst_overlap,
        exclude=_exclusions(body.exclude),
        retry_policy=UNSET if body.retry_policy is UNSET else _retry_policy(body.retry_policy),
        timeout_ms=body.timeout_ms,
        pause_after_failures=body.pause_after_failures,
        monitor=Monitor(body.monitor.window_ms) if isinstance(body.monitor, MonitorBody) else body.monitor,
        tags=UNSET if body.tags is UNSET else tuple(body.tags),
    )


def preview_of(body: PreviewBody) -> PreviewRequest:
    """The recurrence that a caller wants to preview."""
    return PreviewRequest(
        type=body.type,
        expr=body.expr,
        timezone=body.timezone,
        start_at_ms=body.start_at_unix_ms,
        end_at_ms=body.end_at_unix_ms,
        exclude=_exclusions(body.exclude),
        dst_gap=body.dst_gap,
        dst_overlap=body.dst_overlap,
        after_ms=given(body.after_unix_ms),
        count=body.count,
    )


def _exclusions(exclude: Opt[list[Range | str]]) -> Opt[tuple[Exclusion, ...]]:
    if exclude is UNSET:
        return UNSET
    return tuple((e.from_unix_ms, e.to_unix_ms) if isinstance(e, Range) else e for e in exclude)


def _retry_policy(body: RetryPolicyBody) -> RetryPolicy:
    return RetryPolicy(body.max_attempts, body.backoff, body.base_ms, body.max_ms, body.jitter)


class ScheduleView(msgspec.Struct, kw_only=True):
    """A schedule, with the course it has taken so far."""

    id: Ulid
    name: str | None
    type: RecurrenceType
    expr: str
    timezone: str
    start_at_unix_ms: ShownInstant | None
    end_at_unix_ms: ShownInstant | None
    max_runs: int | None
    payload: Raw
    target: Target
    enabled: bool
    state: ScheduleState
    owner: str
    tenant: str
    shard_key: str
    sla_ms: int
    overlap: str
    catch_up_window_ms: int
    jitter_ms: int
    dst_gap: str
    dst_overlap: str
    exclude: list[Range | str]
    retry_policy: RetryPolicyBody
    timeout_ms: int
    pause_after_failures: int | None
    monitor: MonitorBody | None
    tags: list[str]
    next_run_unix_ms: ShownInstant | None
    last_run_unix_ms: ShownInstant | None
    run_count: int
    version: str
    created_at_unix_ms: ShownInstant
    updated_at_unix_ms: ShownInstant
    description: Annotated[str, Meta(description="What it does, in words, in the language of `Accept-Language`.")]
    note: Opt[str] = UNSET
    paused_until_unix_ms: Annotated[
        Opt[ShownInstant], Meta(description="Until when it is paused. It is there while it goes on by itself then.")
    ] = UNSET
    warnings: PolicyWarnings = UNSET


class ScheduleList(msgspec.Struct):
    """A page of schedules, newest first."""

    items: list[ScheduleView]
    next_page_token: str | None


class Deleted(msgspec.Struct):
    """What was deleted."""

    id: str


class Triggered(msgspec.Struct):
    """The execution that fires now."""

    execution_id: str
    warnings: PolicyWarnings = UNSET


class DstNote(msgspec.Struct):
    """A run that a daylight-saving change moved or made ambiguous."""

    run_unix_ms: ShownInstant
    kind: Literal["gap", "overlap"]


class PreviewView(msgspec.Struct):
    """The coming runs: as instants, and as RFC 3339 in the zone that was asked for."""

    runs_unix_ms: list[ShownInstant]
    runs_iso8601: list[str]
    dst: list[DstNote]


def of_schedule(found: Schedule, now_ms: int, language: WordsLanguage = "en") -> ScheduleView:
    """A schedule as its owner sees it at ``now_ms``, described in a language."""
    d, course = found.definition, progress(found, now_ms)
    policy = d.retry_policy
    return ScheduleView(
        id=d.id,
        name=d.name,
        type=d.type,
        expr=d.expr,
        timezone=d.timezone,
        start_at_unix_ms=d.start_at_ms,
        end_at_unix_ms=d.end_at_ms,
        max_runs=d.max_runs,
        payload=Raw(d.payload),
        target=of_target(d.target),
        enabled=d.active,
        state=course.state,
        owner=d.owner,
        tenant=d.tenant,
        shard_key=d.shard_key,
        sla_ms=d.sla_ms,
        overlap=d.overlap,
        catch_up_window_ms=d.catch_up_window_ms,
        jitter_ms=d.jitter_ms,
        dst_gap=d.dst_gap,
        dst_overlap=d.dst_overlap,
        exclude=[_exclusion(e) for e in d.exclude],
        retry_policy=RetryPolicyBody(
            max_attempts=policy.max_attempts,
            backoff=policy.backoff,
            base_ms=policy.base_ms,
            max_ms=policy.max_ms,
            jitter=policy.jitter,
        ),
        timeout_ms=d.timeout_ms,
        pause_after_failures=d.pause_after_failures,
        monitor=None if d.monitor is None else MonitorBody(window_ms=d.monitor.window_ms),
        tags=list(d.tags),
        next_run_unix_ms=course.next_run_ms,
        last_run_unix_ms=course.last_run_ms,
        run_count=course.run_count,
        version=d.version,
        created_at_unix_ms=d.created_at_ms,
        updated_at_unix_ms=d.updated_at_ms,
        description=described(d.type, d.expr, d.timezone, language),
        note=_note(d, now_ms),
        paused_until_unix_ms=paused_until(d, now_ms),
    )


def described(kind: RecurrenceType, expr: str, timezone: str, language: WordsLanguage) -> str:
    """What a schedule does, in words."""
    from chalicelib.core.words.describe import describe  # loaded with the first schedule that is shown

    return describe(kind, expr, timezone, language)


def language_of(headers: Mapping[str, str]) -> WordsLanguage:
    """The language that a caller reads best, of those that there are."""
    return wanted_languages(headers.get("accept-language"))[0]


def _exclusion(exclusion: tuple[int, int] | str) -> Range | str:
    return exclusion if isinstance(exclusion, str) else Range(from_unix_ms=exclusion[0], to_unix_ms=exclusion[1])


def _note(definition: Definition, now_ms: int) -> str | UnsetType:
    return definition.note if definition.note and definition.is_paused_at(now_ms) else UNSET


def paused_until(definition: Definition, now_ms: int) -> int | UnsetType:
    """Until when a schedule is paused that goes on by itself."""
    until_ms = definition.paused_until_ms
    return until_ms if until_ms is not None and definition.active and now_ms < until_ms else UNSET
