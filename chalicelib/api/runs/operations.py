"""Runs of workflows over HTTP."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Query, given
from chalicelib.api.workflows import schemas, views
from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows.run_state import version_of
from chalicelib.usecases import runs
from chalicelib.usecases.runs import ShownRun

COLLECTION: Final = "/api/v1/runs"
ONE: Final = COLLECTION + "/{run_id}"
NODE: Final = ONE + "/nodes/{node}"
_TAGGED: Final = {"ETag": "How many events its log has, for `If-Match`."}


def page(call: Call[Body, schemas.RunsQuery]) -> Reply:
    """A page of runs."""
    query = call.query
    found, after = runs.page(
        call.services, call.caller, given(query.workflow), given(query.state), query.limit, call.after(query)
    )
    return call.page([views.run_summary_view(one) for one in found], after)


def get(call: Call[Body, schemas.RunQuery]) -> Reply:
    """One run."""
    found = runs.get(call.services, call.caller, call.params["run"], call.query.inline_bytes)
    return _run(found, 200)


def events(call: Call[Body, schemas.EventsQuery]) -> Reply:
    """A part of the log."""
    query = call.query
    found = runs.events(call.services, call.caller, call.params["run"], query.after, query.limit)
    after = found[-1].number if len(found) == query.limit else None
    return Reply(200, schemas.EventList([views.event_view(one) for one in found], after))


def cancel(call: Call[schemas.CancelRunBody, Query]) -> Reply:
    """Let a run end."""
    return _run(runs.cancel(call.services, call.caller, call.params["run"], call.body.reason, call.versions), 202)


def redrive(call: Call[Any, Query]) -> Reply:
    """Let a run that ended go on."""
    body = call.body
    plan = runs.drive_again(
        call.services,
        call.caller,
        call.params["run"],
        given(getattr(body, "from")),
        given(body.version),
        body.patch_input,
        body.dry_run,
        call.versions,
    )
    return Reply(200 if body.dry_run else 202, views.redrive_view(plan))


def approve(call: Call[schemas.DecisionBody, Query]) -> Reply:
    """Approve at a gate."""
    return _decide(call, approve=True)


def reject(call: Call[schemas.DecisionBody, Query]) -> Reply:
    """Reject at a gate."""
    return _decide(call, approve=False)


def complete(call: Call[schemas.CompleteNodeBody, Query]) -> Reply:
    """Say that a job ended well."""
    body = call.body
    if body.output is not UNSET and body.result is not UNSET:
        raise InvalidField.of("result", "output says the same: give one of them")
    said = body.result if body.output is UNSET else body.output
    return _ended(call, None if said is UNSET else said, None)


def fail(call: Call[schemas.FailNodeBody, Query]) -> Reply:
    """Say that a job failed."""
    return _ended(call, None, (call.body.error_type, call.body.error))


def _ended(call: Call[Any, Query], output: Any, failed: tuple[str, str] | None) -> Reply:
    run_id, node = call.params["run"], call.params["node"]
    return _run(runs.end_node(call.services, call.caller, run_id, node, output, failed, call.versions), 200)


def _decide(call: Call[schemas.DecisionBody, Query], *, approve: bool) -> Reply:
    run_id, node, body = call.params["run"], call.params["node"], call.body
    after = runs.decide(call.services, call.caller, run_id, node, body.nonce, approve, body.comment, call.versions)
    return _run(after, 200)


def _run(run: ShownRun, status: int) -> Reply:
    return Reply(status, views.run_view(run), {"ETag": entity_tag(version_of(run.run.state))})


def operations() -> list[Operation]:
    """The calls of this noun."""
    one_run = {200: schemas.RunView}
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List runs, newest first",
            tag="runs",
            permission="workflows:read",
            handler=page,
            query=schemas.RunsQuery,
            answers={200: schemas.RunList},
            errors=(400,),
            description="The list may lag behind by some seconds. A page may be short and still have a next one.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One run",
            tag="runs",
            permission="workflows:read",
            handler=get,
            query=schemas.RunQuery,
            answers=one_run,
            errors=(404,),
            answer_headers=_TAGGED,
            description='Values over `inline_bytes`, by default 64 KiB, are shown as `{"$ref", "size"}`.',
        ),
        Operation(
            method="GET",
            path=ONE + "/events",
            summary="The log of a run",
            tag="runs",
            permission="workflows:read",
            handler=events,
            query=schemas.EventsQuery,
            answers={200: schemas.EventList},
            errors=(404,),
        ),
        Operation(
            method="POST",
            path=ONE + ":cancel",
            summary="Cancel a run",
            tag="runs",
            permission="workflows:start",
            handler=cancel,
            body=schemas.CancelRunBody,
            answers={202: schemas.RunView},
            errors=(404, 409),
            guarded=True,
            answer_headers=_TAGGED,
            description="What waits ends at once, what is under way within 5 s. What had not begun never begins.",
        ),
        Operation(
            method="POST",
            path=ONE + ":redrive",
            summary="Let a run that ended go on",
            tag="runs",
            permission="workflows:start",
            handler=redrive,
            body=schemas.RedriveBody,
            answers={200: schemas.RedriveView, 202: schemas.RedriveView},
            errors=(404, 409),
            guarded=True,
            description="What completed is kept; what failed or never ran runs again, under the same keys. With `from` "
            "that node and all after it run again, under new ones. A dry run is 200.",
        ),
        *(
            Operation(
                method="POST",
                path=f"{NODE}:{verb}",
                summary=f"{verb.title()} at a gate",
                tag="runs",
                permission="workflows:approve",
                handler=handler,
                body=schemas.DecisionBody,
                answers=one_run,
                errors=(404, 409),
                guarded=True,
                answer_headers=_TAGGED,
                description="The first decision wins; the others are 409. `nonce` is that of this entry of the gate.",
            )
            for verb, handler in (("approve", approve), ("reject", reject))
        ),
        Operation(
            method="POST",
            path=NODE + ":complete",
            summary="Say that a job ended well",
            tag="runs",
            permission="workflows:start",
            handler=complete,
            body=schemas.CompleteNodeBody,
            answers=one_run,
            errors=(404, 409),
            guarded=True,
            answer_headers=_TAGGED,
            description="For jobs whose target answered 202 with `X-Chrono-Async: true`.",
        ),
        Operation(
            method="POST",
            path=NODE + ":fail",
            summary="Say that a job failed",
            tag="runs",
            permission="workflows:start",
            handler=fail,
            body=schemas.FailNodeBody,
            answers=one_run,
            errors=(404, 409),
            guarded=True,
            answer_headers=_TAGGED,
        ),
    ]
