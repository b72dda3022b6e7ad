"""What callers of /jobs send and get: Scheduled-DB's words for schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw

from chalicelib.api.http.requests import Body, Opt, PageQuery, given, json_text
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant, Ulid
from chalicelib.core.executions.execution import Execution
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.jobs import job_status
from chalicelib.core.jobs.job_status import JobStatus, JobType
from chalicelib.core.json_schema import states
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS
from chalicelib.core.schedules.schedule import Definition, progress
from chalicelib.core.targets.kinds.webhook import WebhookUrl
from chalicelib.usecases.jobs import Job, JobRequest

Rfc3339 = Annotated[
    str,
    Meta(min_length=1, max_length=64, examples=["2026-12-25T10:00:00Z"]),
    states(format="date-time"),
]


class NewJob(Body, kw_only=True):
    """A job to create: `unico` runs once, at `timestamp`; `recurrente` by `cron_expression`, until `last_date`."""

    conditions: ClassVar[Mapping[str, Any]] = {  # as ``usecases.jobs`` judges them
        "if": {"properties": {"type": {"const": "unico"}}},
        "then": {
            "required": ["timestamp"],
            "properties": {
                "timestamp": {"type": "string"},
                "cron_expression": {"type": "null"},
                "last_date": {"type": "null"},
            },
        },
        "else": {
            "required": ["cron_expression"],
            "properties": {"cron_expression": {"type": "string"}, "timestamp": {"type": "null"}},
        },
    }
    type: JobType
    timestamp: Annotated[Opt[Rfc3339 | None], Meta(description="When a `unico` runs; not in the past.")] = UNSET
    cron_expression: Annotated[
        Opt[Annotated[str, Meta(min_length=1, max_length=EXPR_MAX_CHARS)] | None],
        Meta(description="When a `recurrente` runs: five fields, or six with seconds first."),
    ] = UNSET
    last_date: Annotated[Opt[Rfc3339 | None], Meta(description="After it a `recurrente` runs no more.")] = UNSET
    webhook_url: Annotated[
        Opt[WebhookUrl | None],
        Meta(description="Where its firings are posted; without one they go to EventBridge."),
    ] = UNSET
    payload: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET


def request_of(body: NewJob) -> JobRequest:
    """The job that a caller wants."""
    return JobRequest(
        type=body.type,
        timestamp=given(body.timestamp),
        cron_expression=given(body.cron_expression),
        last_date=given(body.last_date),
        webhook_url=given(body.webhook_url),
        payload=None if body.payload is UNSET else json_text(body.payload),
    )


class JobsQuery(PageQuery, kw_only=True):
    """Which jobs."""

    status: Opt[JobStatus] = UNSET


class JobView(msgspec.Struct, kw_only=True):
    """A job. `timestamp` and `cron_expression` by its type; schedules of other kinds show their `expr`."""

    id: Ulid
    type: JobType
    timestamp: Opt[str] = UNSET
    cron_expression: Opt[str] = UNSET
    last_date: Opt[str] = UNSET
    schedule_type: str
    expr: str
    name: str | None
    owner: str
    webhook_url: Opt[str] = UNSET
    payload: Raw
    status: JobStatus
    reason: Opt[str] = UNSET
    last_execution_unix_ms: ShownInstant | None
    next_run_unix_ms: ShownInstant | None
    run_count: int
    version: str
    created_at_unix_ms: ShownInstant
    updated_at_unix_ms: ShownInstant
    warnings: PolicyWarnings = UNSET


class JobList(msgspec.Struct):
    """A page of jobs, newest first."""

    items: list[JobView]
    next_page_token: str | None


class JobStatusView(msgspec.Struct, kw_only=True):
    """How a job stands: by its last execution."""

    job_id: Ulid
    status: JobStatus
    attempt_count: int
    last_execution_unix_ms: Opt[ShownInstant] = UNSET
    next_run_unix_ms: Opt[ShownInstant] = UNSET
    error_type: Opt[str] = UNSET
    error: Opt[str] = UNSET
    reason: Opt[str] = UNSET


def of_job(job: Job, now_ms: int) -> JobView:
    """A job as its owner sees it at ``now_ms``."""
    d, course = job.schedule.definition, progress(job.schedule, now_ms)
    return JobView(
        id=d.id,
        type=job_status.kind(job.schedule),
        timestamp=d.expr.partition(":")[2] if d.type == "AT" else UNSET,
        cron_expression=d.expr if d.type == "CRON" else UNSET,
        last_date=UNSET if d.type == "AT" or d.end_at_ms is None else to_rfc3339(d.end_at_ms),
        schedule_type=d.type,
        expr=d.expr,
        name=d.name,
        owner=d.owner,
        webhook_url=str(d.target["url"]) if d.target.get("type") == "webhook" else UNSET,
        payload=Raw(d.payload),
        status=job.status,
        reason=_reason(d, now_ms),
        last_execution_unix_ms=_last_ms(job, course.last_run_ms),
        next_run_unix_ms=course.next_run_ms,
        run_count=course.run_count,
        version=d.version,
        created_at_unix_ms=d.created_at_ms,
        updated_at_unix_ms=d.updated_at_ms,
    )


def of_status(job: Job, now_ms: int) -> JobStatusView:
    """How a job stands at ``now_ms``."""
    course, last = progress(job.schedule, now_ms), job.last
    last_ms = _last_ms(job, course.last_run_ms)
    return JobStatusView(
        job_id=job.schedule.definition.id,
        status=job.status,
        attempt_count=0 if last is None else len(last.attempts),
        last_execution_unix_ms=UNSET if last_ms is None else last_ms,
        next_run_unix_ms=UNSET if course.next_run_ms is None else course.next_run_ms,
        error_type=_error_type(last),
        error=UNSET if last is None or last.error is None else last.error,
        reason=_reason(job.schedule.definition, now_ms),
    )


def _last_ms(job: Job, run_ms: int | None) -> int | None:
    return run_ms if job.last is None else job.last.firing_ms


def _error_type(last: Execution | None) -> Opt[str]:
    """That of the last attempt; of a job that ended well there is none."""
    if last is None or not last.attempts or last.attempts[-1].error_type is None:
        return UNSET
    return last.attempts[-1].error_type


def _reason(definition: Definition, now_ms: int) -> Opt[str]:
    return definition.note if definition.note and definition.is_paused_at(now_ms) else UNSET
