"""What callers send, as the models that validate it and from which the OpenAPI document is made.

Shape, types and single-field bounds are refused here (one at a time, as msgspec finds them); what a definition means
as a whole is judged by ``core.schedules.validation``, all errors together. An absent field is UNSET, which a PATCH
tells from null.
``_says`` puts into the document what the validation judges, so that callers know it before.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from chalicelib.api.targets.schemas import Target, target_of
from chalicelib.core import page_token
from chalicelib.core.executions.limits import ERROR_MAX_CHARS, LOG_MESSAGE_MAX_CHARS
from chalicelib.core.leases.limits import (
    FENCING_TOKEN_MAX,
    LEASE_HOLDER_MAX_CHARS,
    LEASE_METADATA_MAX_BYTES,
    LEASE_TTL_MAX_MS,
    LEASE_TTL_MIN_MS,
    LEASE_WAIT_MAX_MS,
)
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS, PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS
from chalicelib.core.policies.limits import FAILURES_IN_ROW_MAX, MONITOR_WINDOW_MIN_MS
from chalicelib.core.recurrence.exclusions import EXCLUSIONS_MAX
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS, PREVIEW_DEFAULT_COUNT, PREVIEW_MAX_COUNT
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.limits import (
    JITTER_MAX_MS,
    LEDGER_MAX_ITEMS,
    NAME_MAX_CHARS,
    NOTE_MAX_CHARS,
    OWNER_MAX_CHARS,
    RETRY_MAX_ATTEMPTS,
    RUNS_MAX,
    SHARD_KEY_MAX_CHARS,
    TAG_MAX_CHARS,
    TAGS_MAX_COUNT,
)
from chalicelib.core.schedules.schedule import Monitor, RetryPolicy
from chalicelib.core.targets.target_description import TargetFields
from chalicelib.core.ticks.limits import SEQUENCE_MAX

T = TypeVar("T")
Opt = Union[T, UnsetType]  # noqa: UP007 -- a generic alias over a type variable has no other spelling in 3.11


def _says(**schema: object) -> Meta:
    """A bound that is judged elsewhere, and only stated here."""
    return Meta(extra_json_schema=schema)


_PLAIN_TEXT = _says(pattern=validation.TEXT_PATTERN)

Instant = Annotated[int, Meta(ge=0, le=INSTANT_MAX_MS, description="Unix milliseconds.")]
Duration = Annotated[int, Meta(ge=0, le=DURATION_MAX_MS, description="Milliseconds.")]
Name = Annotated[
    str,
    Meta(min_length=1, max_length=NAME_MAX_CHARS, description="Unique within an owner when given."),
]
Kind = Literal["CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE"]
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
Tags = Annotated[list[Annotated[Tag, _PLAIN_TEXT]], Meta(max_length=TAGS_MAX_COUNT)]
MaxRuns = Annotated[int, Meta(ge=1, le=RUNS_MAX, description="The schedule completes after so many runs.")]
FailuresInRow = Annotated[
    int,
    Meta(
        ge=1,
        le=FAILURES_IN_ROW_MAX,
        description="The schedule is paused when so many executions in a row end as failed or timeout. Null: never.",
    ),
]
Gap = Literal["run_after", "skip", "shift"]
Overlap = Literal["once", "twice"]
State = Literal["pending", "in_progress", "completed", "failed", "timeout", "cancelled", "missed", "skipped"]


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object without fields."""


class Range(Body, kw_only=True):
    """A span of time, both ends included."""

    from_unix_ms: Instant
    to_unix_ms: Instant


class RetryPolicyBody(Body, kw_only=True):
    """How a failed delivery is tried again. What is left out takes its default, also in a PATCH."""

    max_attempts: Annotated[int, Meta(ge=1, le=RETRY_MAX_ATTEMPTS)] = 3
    backoff: Literal["exponential", "fixed"] = "exponential"
    base_ms: Duration = 1000
    max_ms: Duration = 60_000
    jitter: bool = True


class MonitorBody(Body, kw_only=True):
    """A dead-man's switch: an alert when no execution succeeded for so long."""

    window_ms: Annotated[int, Meta(ge=MONITOR_WINDOW_MIN_MS, le=DURATION_MAX_MS, description="Milliseconds.")]


Exclude = Annotated[
    list[Range | str],
    Meta(description="Spans, cron expressions whose minutes are left out, or iCalendar text."),
    _says(maxItems=EXCLUSIONS_MAX),
]


class ScheduleChanges(Body, kw_only=True):
    """The fields to change; what is left out stays. An object (`target`, `retry_policy`) is replaced whole."""

    name: Opt[Annotated[Name, _PLAIN_TEXT] | None] = UNSET
    type: Opt[Kind] = UNSET
    expr: Opt[Expr] = UNSET
    timezone: Opt[Timezone] = UNSET
    start_at_unix_ms: Opt[Instant | None] = UNSET
    end_at_unix_ms: Opt[Instant | None] = UNSET
    max_runs: Opt[MaxRuns | None] = UNSET
    payload: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET
    target: Opt[Target] = UNSET
    enabled: Opt[bool] = UNSET
    owner: Opt[Annotated[Owner, _PLAIN_TEXT]] = UNSET
    sla_ms: Opt[Duration] = UNSET
    overlap: Opt[Literal["allow", "forbid", "replace", "queue"]] = UNSET
    catch_up_window_ms: Opt[Duration] = UNSET
    jitter_ms: Opt[Annotated[int, Meta(ge=0, le=JITTER_MAX_MS, description="Milliseconds.")]] = UNSET
    dst_gap: Opt[Gap] = UNSET
    dst_overlap: Opt[Overlap] = UNSET
    exclude: Opt[Exclude] = UNSET
    retry_policy: Opt[RetryPolicyBody] = UNSET
    timeout_ms: Opt[Annotated[int, Meta(ge=1, le=DURATION_MAX_MS, description="Milliseconds.")]] = UNSET
    pause_after_failures: Opt[FailuresInRow | None] = UNSET
    monitor: Opt[MonitorBody | None] = UNSET
    tags: Opt[Tags] = UNSET


class NewSchedule(ScheduleChanges, kw_only=True):
    """A schedule to create: `type` and `expr`, and whatever should differ from its default."""

    type: Kind
    expr: Expr
    shard_key: Opt[Annotated[str, Meta(min_length=1, max_length=SHARD_KEY_MAX_CHARS), _PLAIN_TEXT] | None] = UNSET


class PreviewBody(Body, kw_only=True):
    """A recurrence to look at. Nothing is written."""

    type: Kind
    expr: Expr
    timezone: Opt[Timezone] = UNSET
    start_at_unix_ms: Opt[Instant | None] = UNSET
    end_at_unix_ms: Opt[Instant | None] = UNSET
    exclude: Opt[Exclude] = UNSET
    dst_gap: Opt[Gap] = UNSET
    dst_overlap: Opt[Overlap] = UNSET
    after_unix_ms: Opt[Instant | None] = UNSET
    count: Annotated[int, Meta(ge=1, le=PREVIEW_MAX_COUNT)] = PREVIEW_DEFAULT_COUNT


class PauseBody(Body, kw_only=True):
    """Why it is paused, for whoever reads it next."""

    note: Annotated[str, Meta(max_length=NOTE_MAX_CHARS)] | None = None


class TriggerBody(Body, kw_only=True):
    """What to deliver instead of the schedule's own payload."""

    payload: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET


class BackfillBody(Body, kw_only=True):
    """Which instants; both ends count."""

    from_unix_ms: Instant
    to_unix_ms: Instant


class CancelBody(Body, kw_only=True):
    """Why it is cancelled; kept in its history."""

    reason: Annotated[str, Meta(max_length=ERROR_MAX_CHARS)] | None = None


class CompleteBody(Body, kw_only=True):
    """What came of it."""

    result: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET


class FailBody(Body, kw_only=True):
    """What went wrong."""

    error: Annotated[str, Meta(min_length=1, max_length=ERROR_MAX_CHARS)]


LeaseName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_MAX_CHARS,
        pattern="^[A-Za-z0-9._:/-]+$",
        examples=["reports/nightly"],
    ),
]
Holder = Annotated[
    str,
    Meta(min_length=1, max_length=LEASE_HOLDER_MAX_CHARS, description="The caller's own name for itself."),
    _PLAIN_TEXT,
]
LeaseTtl = Annotated[int, Meta(ge=LEASE_TTL_MIN_MS, le=LEASE_TTL_MAX_MS, description="Milliseconds.")]
# 0 was never granted: a caller that counts down from its first token is told that it holds nothing, not that it errs.
FencingToken = Annotated[int, Meta(ge=0, le=FENCING_TOKEN_MAX, description="As the grant gave it.")]


class AcquireBody(Body, kw_only=True):
    """Which lease, for whom and for how long."""

    name: LeaseName
    holder_id: Holder
    ttl_ms: LeaseTtl
    wait_ms: Annotated[
        int, Meta(ge=0, le=LEASE_WAIT_MAX_MS, description="How long the call is held until granted.")
    ] = 0
    metadata: Annotated[
        Opt[dict[str, Any] | None],
        Meta(description=f"Kept with the holding; at most {LEASE_METADATA_MAX_BYTES} bytes serialised."),
    ] = UNSET


class RenewBody(Body, kw_only=True):
    """The holding to prolong; without `ttl_ms` by the ttl it has."""

    name: LeaseName
    holder_id: Holder
    fencing_token: FencingToken
    ttl_ms: Opt[LeaseTtl] = UNSET


class ReleaseBody(Body, kw_only=True):
    """The holding to end."""

    name: LeaseName
    holder_id: Holder
    fencing_token: FencingToken


class ValidateBody(Body, kw_only=True):
    """The token that somebody presents to a resource."""

    name: LeaseName
    fencing_token: FencingToken


class BreakBody(Body, kw_only=True):
    """The lease to take from its holder."""

    name: LeaseName


class LogBody(Body, kw_only=True):
    """What happened."""

    message: Annotated[str, Meta(min_length=1, max_length=LOG_MESSAGE_MAX_CHARS)]
    level: Literal["debug", "info", "warning", "error"] = "info"


class JoinBody(Body, kw_only=True):
    """A worker node of yours."""

    node_id: Annotated[str, Meta(min_length=1, max_length=LEASE_HOLDER_MAX_CHARS, pattern=r"^[A-Za-z0-9._:/-]+$")]
    address: Annotated[str, Meta(min_length=1, max_length=256, examples=["10.0.0.7:7000"])]


PageToken = Annotated[str, _says(pattern=page_token.PATTERN)]


class Query(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """No parameters."""


class PageQuery(Query, kw_only=True):
    """One page of a list."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX_ITEMS, description="Items on a page.")] = PAGE_DEFAULT_ITEMS
    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the page before.")] = UNSET


class TokenQuery(Query, kw_only=True):
    """One part of something long."""

    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the call before.")] = UNSET


class SchedulesQuery(PageQuery, kw_only=True):
    """Which schedules."""

    owner: Opt[Owner] = UNSET
    enabled: Opt[bool] = UNSET
    type: Opt[Kind] = UNSET
    tag: Opt[Tag] = UNSET
    name_prefix: Opt[Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS)]] = UNSET


class ScheduleExecutionsQuery(PageQuery, kw_only=True):
    """Which executions of a schedule; the range is of firing instants."""

    state: Opt[State] = UNSET
    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET


class LedgerQuery(Query, kw_only=True):
    """Which span, both ends included; without one, the last day."""

    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET
    limit: Annotated[int, Meta(ge=1, le=LEDGER_MAX_ITEMS, description="Instants on a page.")] = LEDGER_MAX_ITEMS
    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the page before.")] = UNSET


class ExecutionsQuery(ScheduleExecutionsQuery, kw_only=True):
    """Which executions."""

    schedule_id: Opt[Annotated[str, Meta(min_length=26, max_length=26)]] = UNSET
    owner: Opt[Owner] = UNSET


class TicksQuery(PageQuery, kw_only=True):
    """Which ticks: those after a number, oldest first. With `text/event-stream`, without a number, from now on."""

    after_sequence: Opt[
        Annotated[int, Meta(ge=0, le=SEQUENCE_MAX, description="The last number that the caller has; 0 for none.")]
    ] = UNSET


class EnableTicksBody(Body, kw_only=True):
    """Where the ticks of this stream go beside the bus. Left out: as it is; null: nowhere else."""

    target: Opt[Target | None] = UNSET


class NowQuery(Query, kw_only=True):
    """Which clock."""

    consistency: Annotated[
        Literal["local", "cluster"],
        Meta(description="`cluster`: the stamp is greater than every earlier such stamp of any instance."),
    ] = "local"


def given(value: T | UnsetType, default: T | None = None) -> T | None:
    """The value, or ``default`` when it was left out."""
    return default if isinstance(value, UnsetType) else value


def json_text(raw: Raw) -> str:
    """Serialised JSON without the blanks between its parts; numbers keep the digits they were written with."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()


_RENAMED = {"start_at_unix_ms": "start_at_ms", "end_at_unix_ms": "end_at_ms"}


def definition_fields(body: ScheduleChanges | PreviewBody, without: frozenset[str] = frozenset()) -> dict[str, object]:
    """The fields that were given, under the names and in the types of the domain."""
    names = (name for name in body.__struct_fields__ if name not in without)
    sent = {name: value for name in names if (value := getattr(body, name)) is not UNSET}
    if sent.get("shard_key", "") is None:
        del sent["shard_key"]
    return {_RENAMED.get(name, name): _domain(value) for name, value in sent.items()}


def _domain(value: object) -> object:
    if isinstance(value, Raw):
        return json_text(value)
    if isinstance(value, RetryPolicyBody):
        return RetryPolicy(value.max_attempts, value.backoff, value.base_ms, value.max_ms, value.jitter)
    if isinstance(value, MonitorBody):
        return Monitor(value.window_ms)
    if isinstance(value, TargetFields):
        return target_of(value)
    if isinstance(value, list):
        return tuple((v.from_unix_ms, v.to_unix_ms) if isinstance(v, Range) else v for v in value)
    return value
