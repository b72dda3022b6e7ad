"""Executions over HTTP."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from chalicelib.api.executions import schemas
from chalicelib.api.http.operations import Call, Handler, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, given, json_text
from chalicelib.api.schedules.operations import execution_filter
from chalicelib.core.errors import NotFound
from chalicelib.core.executions.execution import ID_PATTERN, Execution, version_of
from chalicelib.core.executions.limits import LOG_LINES_MAX
from chalicelib.core.schedules import validation
from chalicelib.core.security.permissions import Permission
from chalicelib.usecases import execution_logs, executions

COLLECTION = "/api/v1/executions"
ONE = COLLECTION + "/{execution_id}"
_ID_FORM = re.compile(ID_PATTERN)
_TAGGED = {"ETag": "The version, for `If-Match`."}


def get(call: Call[Body, Query]) -> Reply:
    """One execution."""
    return _shown(call, executions.get(call.services, call.caller, _id(call)))


def page(call: Call[Body, schemas.ExecutionsQuery]) -> Reply:
    """A page of executions."""
    q = call.query
    wanted = execution_filter(q, given(q.schedule_id), given(q.owner))
    found, after = executions.page(call.services, call.caller, wanted, q.limit, call.after(q))
    return call.page([schemas.of_execution(f, call.services.config.trace_url_template) for f in found], after)


def retry(call: Call[schemas.RetryBody, Query]) -> Reply:
    """A further attempt, with another payload if one is given."""
    raw = given(call.body.payload)
    payload = None if raw is None else json_text(raw)
    if payload is not None:
        validation.check_payload(payload)
    return _shown(call, executions.retry(call.services, call.caller, _id(call), call.versions, payload))


def cancel(call: Call[schemas.CancelBody, Query]) -> Reply:
    """Cancel a pending or running execution."""
    return _shown(
        call, executions.cancel(call.services, call.caller, _id(call), call.body.reason or None, call.versions)
    )


def complete(call: Call[schemas.CompleteBody, Query]) -> Reply:
    """The success of an execution that its target accepted."""
    raw = given(call.body.result)
    result = None if raw is None else json_text(raw)
    if result is not None:
        validation.check_payload(result)
    return _shown(call, executions.complete(call.services, call.caller, _id(call), result, call.versions))


def fail(call: Call[schemas.FailBody, Query]) -> Reply:
    """The failure of an execution that its target accepted."""
    return _shown(call, executions.fail(call.services, call.caller, _id(call), call.body.error, call.versions))


def heartbeat(call: Call[Body, Query]) -> Reply:
    """Start the time-out anew."""
    return _shown(call, executions.heartbeat(call.services, call.caller, _id(call), call.versions))


def logs(call: Call[Body, PageQuery]) -> Reply:
    """A page of log lines, in the order of their writing."""
    after = call.after(call.query)
    start = 0 if after is None else int(after)
    lines, more = execution_logs.page(call.services, call.caller, _id(call), call.query.limit, start)
    return call.page([schemas.of_log_line(line) for line in lines], None if more is None else str(more))


def log(call: Call[schemas.LogBody, Query]) -> Reply:
    """Add a log line."""
    body, run = call.body, call.run
    since_ms = int(run.seed.partition("@")[2]) if run is not None and run.again else None
    line = execution_logs.append(call.services, call.caller, _id(call), body.message, body.level, since_ms)
    return Reply(201, schemas.of_log_line(line))


def _shown(call: Call[Any, Any], found: Execution) -> Reply:
    view = schemas.of_execution(found, call.services.config.trace_url_template, with_answers=True)
    return Reply(200, view, {"ETag": entity_tag(version_of(found))})


def _id(call: Call[msgspec.Struct, Query]) -> str:
    """The execution that the path names; what cannot be an id is not found, and never reaches a table."""
    execution_id = call.params["execution"]
    if _ID_FORM.fullmatch(execution_id) is None:
        raise NotFound("there is no such execution")
    return execution_id


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List executions, newest firing first",
            tag="executions",
            permission="executions:read",
            handler=page,
            query=schemas.ExecutionsQuery,
            answers={200: schemas.ExecutionList},
            errors=(400,),
            description="Where few match, a page may be short (even empty) and still have a next one.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One execution",
            tag="executions",
            permission="executions:read",
            handler=get,
            answers={200: schemas.ExecutionView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        _verb(
            "retry",
            "executions:retry",
            "A further attempt of an execution that ended without success, with another payload if one is given",
            retry,
            schemas.RetryBody,
            {"payload": {"hello": "again"}},
        ),
        _verb(
            "cancel",
            "executions:cancel",
            "Cancel a pending or running execution",
            cancel,
            schemas.CancelBody,
            {"reason": "obsolete"},
        ),
        _verb(
            "complete",
            "executions:report",
            "Report the success of an execution whose target answered 202 with `X-Chrono-Async: true`",
            complete,
            schemas.CompleteBody,
            {"result": {"rows": 12}},
        ),
        _verb(
            "fail",
            "executions:report",
            "Report the failure of such an execution",
            fail,
            schemas.FailBody,
            {"error": "disk full"},
        ),
        _verb("heartbeat", "executions:report", "Start the time-out of such an execution anew", heartbeat),
        Operation(
            method="GET",
            path=ONE + "/logs",
            summary="The log of an execution, oldest line first",
            tag="executions",
            permission="executions:read",
            handler=logs,
            query=PageQuery,
            answers={200: schemas.LogList},
            errors=(400, 404),
        ),
        Operation(
            method="POST",
            path=ONE + "/logs",
            summary="Add a line to the log of an execution",
            tag="executions",
            permission="executions:report",
            handler=log,
            body=schemas.LogBody,
            answers={201: schemas.LogLineView},
            errors=(404, 409),
            creates=True,
            description=f"At most {LOG_LINES_MAX} lines, kept as long as executions are.",
            example={"message": "12 of 40 rows done", "level": "info"},
        ),
    ]


def _verb(
    name: str,
    permission: Permission,
    summary: str,
    handler: Handler,
    body: type[msgspec.Struct] = Body,
    example: object = None,
) -> Operation:
    return Operation(
        method="POST",
        path=f"{ONE}:{name}",
        summary=summary,
        tag="executions",
        permission=permission,
        handler=handler,
        body=body,
        answers={200: schemas.ExecutionView},
        errors=(404, 409),
        guarded=True,
        example=example,
        answer_headers=_TAGGED,
    )
