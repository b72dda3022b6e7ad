"""/jobs over HTTP: Scheduled-DB's API over the same schedules."""

from __future__ import annotations

import msgspec

from chalicelib.api.executions.schemas import CancelBody, ExecutionList, of_execution
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, given
from chalicelib.api.jobs import schemas
from chalicelib.api.schedules.operations import expected_version, known_form
from chalicelib.core.errors import NotFound
from chalicelib.usecases import executions, jobs, schedules
from chalicelib.usecases.executions import ExecutionFilter
from chalicelib.usecases.jobs import Job

COLLECTION = "/jobs"
ONE = COLLECTION + "/{job_id}"


def create(call: Call[schemas.NewJob, Query]) -> Reply:
    """Make a job; under an Idempotency-Key, find the one that an earlier run of the same call made."""
    s = call.services
    job_id = call.new_id()
    made = _existing(call, job_id) if call.is_repeat else None
    made = made or jobs.create(s, call.caller, schemas.request_of(call.body), job_id)
    reply = _shown(call, made, 201)
    reply.headers["Location"] = f"{call.base}{COLLECTION}/{job_id}"
    return reply


def _existing(call: Call[schemas.NewJob, Query], job_id: str) -> Job | None:
    try:
        return jobs.get(call.services, call.caller, job_id)
    except NotFound:
        return None


def get(call: Call[Body, Query]) -> Reply:
    """One job."""
    return _shown(call, jobs.get(call.services, call.caller, _id(call)))


def page(call: Call[Body, schemas.JobsQuery]) -> Reply:
    """A page of jobs."""
    q, s = call.query, call.services
    found, after = jobs.page(s, call.caller, given(q.status), q.limit, call.after(q))
    now_ms = s.clock.now_ms()
    return call.page([schemas.of_job(job, now_ms) for job in found], after)


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a job."""
    job_id = _id(call)
    schedules.delete(call.services, call.caller, job_id, expected_version(call, job_id))
    return Reply(204)


def status(call: Call[Body, Query]) -> Reply:
    """How a job stands."""
    return _status(call, jobs.get(call.services, call.caller, _id(call)))


def cancel(call: Call[CancelBody, Query]) -> Reply:
    """Stop a job."""
    job_id = _id(call)
    version = expected_version(call, job_id)
    return _status(call, jobs.cancel(call.services, call.caller, job_id, call.body.reason or None, version))


def executions_of(call: Call[Body, PageQuery]) -> Reply:
    """The executions of a job, also of one that was deleted."""
    job_id, after = _id(call), call.after(call.query)
    wanted = ExecutionFilter(schedule_id=job_id)
    found, more = executions.page(call.services, call.caller, wanted, call.query.limit, after)
    if not found and after is None and more is None:
        schedules.get(call.services, call.caller, job_id)  # NotFound when there is no such job
    return call.page([of_execution(f, call.services.config.trace_url_template) for f in found], more)


def _shown(call: Call[msgspec.Struct, Query], job: Job, code: int = 200) -> Reply:
    view = schemas.of_job(job, call.services.clock.now_ms())
    return Reply(code, view, {"ETag": entity_tag(job.schedule.definition.version)})


def _status(call: Call[msgspec.Struct, Query], job: Job) -> Reply:
    return Reply(200, schemas.of_status(job, call.services.clock.now_ms()))


def _id(call: Call[msgspec.Struct, Query]) -> str:
    return known_form(call.params["job"])


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Create a job",
            tag="jobs",
            permission="schedules:write",
            handler=create,
            body=schemas.NewJob,
            answers={201: schemas.JobView},
            errors=(409, 507),
            creates=True,
            description="A job is a schedule: its id is good for `/api/v1/schedules` too.",
            example={"type": "recurrente", "cron_expression": "*/5 * * * *", "payload": {"hello": "world"}},
            answer_headers={"Location": "The job's path.", "ETag": "Its version."},
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List jobs, newest first",
            tag="jobs",
            permission="schedules:read",
            handler=page,
            query=schemas.JobsQuery,
            answers={200: schemas.JobList},
            errors=(400,),
            description="By `status` an index finds them, however many others there are. Behind those come the ones "
            "that are looked for: in progress, pending before a further run, completed after an earlier run had "
            "failed. Where few of these are, a page may be short (even empty) and still have a next one. Every "
            "schedule is a job.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One job",
            tag="jobs",
            permission="schedules:read",
            handler=get,
            answers={200: schemas.JobView},
            errors=(404,),
            answer_headers={"ETag": "Its version."},
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a job",
            tag="jobs",
            permission="schedules:write",
            handler=delete,
            answers={204: None},
            errors=(404,),
            guarded=True,
        ),
        Operation(
            method="GET",
            path=ONE + "/status",
            summary="How a job stands",
            tag="jobs",
            permission="schedules:read",
            handler=status,
            answers={200: schemas.JobStatusView},
            errors=(404,),
            description="The status of its last execution that was attempted; `pending` before the first.",
        ),
        Operation(
            method="GET",
            path=ONE + "/executions",
            summary="The executions of a job, newest first",
            tag="jobs",
            permission="executions:read",
            handler=executions_of,
            query=PageQuery,
            answers={200: ExecutionList},
            errors=(400, 404),
        ),
        Operation(
            method="POST",
            path=ONE + "/cancel",
            summary="Stop a job and what it runs",
            tag="jobs",
            permission="schedules:write",
            handler=cancel,
            body=CancelBody,
            answers={200: schemas.JobStatusView},
            errors=(404, 409),
            guarded=True,
            description="No further run begins, one under way is cancelled. Resuming its schedule takes it up again.",
            example={"reason": "obsolete"},
        ),
    ]
