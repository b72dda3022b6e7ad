"""Workflows over HTTP."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Any, Final

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, given
from chalicelib.api.workflows import schemas, tested, views
from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows.parse import NAME_PATTERN, NAME_RULE
from chalicelib.usecases import runs, workflow_tests, workflows
from chalicelib.usecases.workflows import ShownWorkflow

COLLECTION: Final = "/api/v1/workflows"
ONE: Final = COLLECTION + "/{workflow}"
_FORM: Final = attrgetter("as")
_TAGGED: Final = {"ETag": "The version, for `If-Match`."}
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "hello",
    "nodes": [
        {"id": "begin", "type": "trigger", "on": "manual"},
        {"id": "wait", "type": "delay", "for_ms": 1000},
        {"id": "call", "type": "http", "method": "POST", "url": "https://example.com/hello"},
    ],
    "edges": [{"from": "begin", "to": "wait"}, {"from": "wait", "to": "call"}],
}


def create(call: Call[schemas.NewWorkflowBody, Query]) -> Reply:
    """Publish version 1."""
    again = call.is_repeat
    reply = _shown(workflows.create(call.services, call.caller, views.document_of(call.body), again), 201)
    reply.headers["Location"] = f"{call.base}{COLLECTION}/{call.body.name}"
    return reply


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of workflows."""
    found, after = workflows.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([views.summary_view(one) for one in found], after)


def get(call: Call[Body, Query]) -> Reply:
    """A workflow in its live version."""
    return _shown(workflows.get(call.services, call.caller, call.params["workflow"]), 200)


def version(call: Call[Body, Query]) -> Reply:
    """One version."""
    name, wanted = call.params["workflow"], call.params["version"]
    return _shown(workflows.version(call.services, call.caller, name, wanted), 200)


def put(call: Call[schemas.WorkflowBody, Query]) -> Reply:
    """Publish a new version."""
    document = views.document_of(call.body)
    return _shown(workflows.put(call.services, call.caller, call.params["workflow"], document, call.versions), 200)


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a workflow."""
    workflows.delete(call.services, call.caller, call.params["workflow"], call.versions)
    return Reply(200, schemas.WorkflowDeleted(call.params["workflow"]))


def validate(call: Call[schemas.WorkflowBody, Query]) -> Reply:
    """Judge a definition."""
    name = call.params["workflow"]
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise InvalidField.of("workflow", NAME_RULE)
    if call.versions is not None:
        workflows.check_match(call.services, call.caller, name, call.versions)
    document = {**views.document_of(call.body), "name": name}
    return Reply(200, views.validated_view(workflows.problems(call.services, call.caller, document)))


def start(call: Call[schemas.StartBody, Query]) -> Reply:
    """Start a run."""
    body = call.body
    name, wanted, wanted_id = call.params["workflow"], given(body.version), given(body.run_id)
    if wanted_id is None and call.run is not None:
        wanted_id = call.new_id()
    run_id = runs.start(call.services, call.caller, name, body.input, wanted, wanted_id, call.versions)
    return Reply(202, schemas.StartedView(run_id))


def test(call: Call[schemas.TestWorkflowBody, Query]) -> Reply:
    """Try a node, or rehearse a run."""
    return Reply(200, tested.view(workflow_tests.try_out(call.services, call.caller, tested.request(call.body))))


def export(call: Call[Body, Query]) -> Reply:
    """The live version as a picture, or as a state machine."""
    make = workflows.state_machine if _FORM(call.query) == "asl" else workflows.flowchart
    return Reply(200, make(call.services, call.caller, call.params["workflow"]), {}, "text/plain")


def _shown(found: ShownWorkflow, status: int) -> Reply:
    return Reply(status, views.workflow_view(found), {"ETag": entity_tag(found.head.live)})


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Publish a workflow",
            tag="workflows",
            permission="workflows:write",
            handler=create,
            body=schemas.NewWorkflowBody,
            answers={201: schemas.WorkflowView},
            creates=True,
            yaml=True,
            errors=(409,),
            description="All that is wrong with it is said at once, with the place: cycles, unknown nodes, expressions "
            "that cannot be read, workflows that would begin themselves. The version is the hash of the definition "
            "without `layout`.",
            example=_EXAMPLE,
            answer_headers={"Location": "The workflow's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List workflows, by name",
            tag="workflows",
            permission="workflows:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.WorkflowList},
            errors=(400,),
            description="Those that the caller may see. A page may be short and still have a next one.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="A workflow in its live version",
            tag="workflows",
            permission="workflows:read",
            handler=get,
            answers={200: schemas.WorkflowView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PUT",
            path=ONE,
            summary="Publish a new version",
            tag="workflows",
            permission="workflows:write",
            handler=put,
            body=schemas.WorkflowBody,
            answers={200: schemas.WorkflowView},
            errors=(404,),
            guarded=True,
            yaml=True,
            description="It is live for every run that starts after this answer. Runs that started before go on under "
            "their own version. The same definition again publishes nothing; an earlier one makes that version live.",
            example={name: value for name, value in _EXAMPLE.items() if name != "name"},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a workflow",
            tag="workflows",
            permission="workflows:write",
            handler=delete,
            answers={200: schemas.WorkflowDeleted},
            errors=(404,),
            guarded=True,
            description="Its runs go on, and can be seen.",
        ),
        Operation(
            method="GET",
            path=ONE + "/versions/{version}",
            summary="One version, by its hash or its number",
            tag="workflows",
            permission="workflows:read",
            handler=version,
            answers={200: schemas.WorkflowView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + ":validate",
            summary="Judge a definition",
            tag="workflows",
            permission="workflows:read",
            handler=validate,
            body=schemas.WorkflowBody,
            answers={200: schemas.ValidatedView},
            guarded=True,
            yaml=True,
            description="Nothing is published, and the workflow need not exist, but under `If-Match`.",
            example={name: value for name, value in _EXAMPLE.items() if name != "name"},
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":test",
            summary="Try a node with sample input, or rehearse a run",
            tag="workflows",
            permission="workflows:write",
            handler=test,
            body=schemas.TestWorkflowBody,
            answers={200: schemas.TestedView},
            errors=(404,),
            description="Nothing is stored and nothing outside is called. A rehearsed run takes no time, however long "
            "its delays; nodes that reach outside are answered by `mocks`, or well.",
            example={"definition": _EXAMPLE, "input": {}, "mocks": {"call": {"status": 200, "body": {"ok": True}}}},
        ),
        Operation(
            method="POST",
            path=ONE + ":start",
            summary="Start a run",
            tag="workflows",
            permission="workflows:start",
            handler=start,
            body=schemas.StartBody,
            answers={202: schemas.StartedView},
            errors=(404, 409),
            creates=True,
            guarded=True,
            description="With a `run_id` that exists the answer is that run's, and nothing starts. `If-Match` takes "
            "the workflow's version.",
            example={"input": {"customer": "c-1"}, "run_id": "order-4711"},
        ),
        Operation(
            method="GET",
            path=ONE + ":export",
            summary="The live version as a Mermaid flowchart, or in Amazon States Language",
            tag="workflows",
            permission="workflows:read",
            handler=export,
            query=schemas.ExportQuery,
            answers={200: "text/plain"},
            errors=(404,),
        ),
    ]
