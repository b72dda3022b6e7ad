"""Jobs over many executions over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Instant, Opt, Query, given
from chalicelib.api.http.responses import Ulid
from chalicelib.api.schedules.schemas import Owner
from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.executions.bulk_job import BULK_MAX_MATCHED, BulkAction, BulkJob, BulkState
from chalicelib.core.executions.execution import ExecutionState
from chalicelib.core.json_schema import states
from chalicelib.core.ulid import is_ulid
from chalicelib.usecases import bulk_jobs
from chalicelib.usecases.executions import ExecutionFilter

ONE = "/api/v1/bulk-jobs/{bulk_id}"
_TAGGED = {"ETag": "The version, for `If-Match`; each part of the work is a new one."}


class BulkFilter(Body, kw_only=True):
    """Which executions, as their list is asked; at least one field."""

    schedule_id: Opt[Annotated[str, Meta(min_length=26, max_length=26)]] = UNSET
    state: Opt[ExecutionState] = UNSET
    owner: Opt[Owner] = UNSET
    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET


class BulkBody(Body, kw_only=True):
    """What is to be done, and to which executions."""

    action: BulkAction
    filter: Annotated[BulkFilter, states(minProperties=1)]
    dry_run: bool = False


class BulkStarted(msgspec.Struct, kw_only=True):
    """How many executions matched, and the job over them; a dry run has none."""

    job_id: Opt[Ulid] = UNSET
    matched: int


class BulkJobView(msgspec.Struct, kw_only=True):
    """How far a job has come. What could not be retried or cancelled counts as `failed`."""

    id: Ulid
    action: BulkAction
    state: BulkState
    matched: int
    done: int
    failed: int
    created_at_unix_ms: int


def start(call: Call[BulkBody, Query]) -> Reply:
    """Begin a job, or only count."""
    b, f = call.body, call.body.filter
    if f == BulkFilter():
        raise InvalidField.of("filter", "must have a field: of every execution, say from_unix_ms 0")
    from_ms, to_ms = given(f.from_unix_ms) or 0, given(f.to_unix_ms)
    if to_ms is not None and to_ms < from_ms:
        raise InvalidField.of("filter.to_unix_ms", "must not be before from_unix_ms")
    wanted = ExecutionFilter(given(f.schedule_id), given(f.state), given(f.owner), from_ms, to_ms)
    made = bulk_jobs.start(call.services, call.caller, b.action, wanted, b.dry_run)
    if made.job is None:
        return Reply(200, BulkStarted(matched=made.matched))
    location = {"Location": f"{call.base}/api/v1/bulk-jobs/{made.job.id}"}
    return Reply(202, BulkStarted(job_id=made.job.id, matched=made.matched), location)


def get(call: Call[Body, Query]) -> Reply:
    """How far a job has come."""
    return _shown(bulk_jobs.get(call.services, call.caller, _id(call)))


def cancel(call: Call[Body, Query]) -> Reply:
    """Stop a job."""
    return _shown(bulk_jobs.cancel(call.services, call.caller, _id(call), call.versions))


def _shown(job: BulkJob) -> Reply:
    view = BulkJobView(
        id=job.id,
        action=job.action,
        state=job.state,
        matched=job.matched,
        done=job.done,
        failed=job.failed,
        created_at_unix_ms=job.created_ms,
    )
    return Reply(200, view, {"ETag": entity_tag(job.version)})


def _id(call: Call[Body, Query]) -> str:
    job_id = call.params["bulk"]
    if not is_ulid(job_id):
        raise NotFound("there is no such bulk job")
    return job_id


def operations() -> list[Operation]:
    """The calls of this part."""
    return [
        Operation(
            method="POST",
            path="/api/v1/executions:bulk",
            summary="Retry or cancel all executions that a filter finds",
            tag="executions",
            permission="executions:retry",
            handler=start,
            body=BulkBody,
            answers={202: BulkStarted, 200: BulkStarted},
            errors=(403,),
            creates=True,
            description=f"A job does it, to at most {BULK_MAX_MATCHED} executions. Cancelling needs "
            "`executions:cancel` besides. With `dry_run` it only counts: the answer is 200 without `job_id`.",
            example={"action": "retry", "filter": {"state": "failed"}},
            answer_headers={"Location": "The job's path."},
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="How far a bulk job has come",
            tag="executions",
            permission="executions:read",
            handler=get,
            answers={200: BulkJobView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + ":cancel",
            summary="Stop a bulk job; what is done stays done",
            tag="executions",
            permission="executions:cancel",
            handler=cancel,
            answers={200: BulkJobView},
            errors=(403, 404),
            guarded=True,
            answer_headers=_TAGGED,
        ),
    ]
