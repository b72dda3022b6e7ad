"""Policies over HTTP."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, TokenQuery, given
from chalicelib.api.policies import schemas
from chalicelib.core.errors import InvalidField
from chalicelib.core.rules.limits import DRY_RUN_MAX_SCHEDULES, POLICIES_MAX_COUNT
from chalicelib.usecases import policies, policy_dry_run
from chalicelib.usecases.policies import NamedPolicy

COLLECTION: Final = "/api/v1/policies"
ONE: Final = COLLECTION + "/{policy}"
_TAGGED: Final = {"ETag": "The version, for `If-Match`."}
_RULE: Final[dict[str, Any]] = {
    "name": "https",
    "condition": {"field": "webhook.url", "operator": "starts_with", "value": "https://"},
    "action": "deny",
    "message": "Production jobs must use HTTPS",
}
_EXAMPLE: Final[dict[str, Any]] = {"name": "https-only", "match": {"tag": "production"}, "rules": [_RULE]}


def create(call: Call[schemas.NewPolicyBody, Query]) -> Reply:
    """Make a policy."""
    again = call.is_repeat
    made = policies.create(call.services, call.caller, schemas.policy_of(call.body), again)
    reply = _shown(made, 201)
    reply.headers["Location"] = f"{call.base}{COLLECTION}/{call.body.name}"
    return reply


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of policies."""
    found, after = policies.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([schemas.view_of(one) for one in found], after)


def get(call: Call[Body, Query]) -> Reply:
    """One policy."""
    return _shown(policies.get(call.services, call.caller, call.params["policy"]), 200)


def versions(call: Call[Body, Query]) -> Reply:
    """The versions of a policy."""
    found = policies.versions(call.services, call.caller, call.params["policy"])
    return Reply(200, schemas.PolicyVersions([schemas.view_of(one) for one in found]))


def where_used(call: Call[Body, PageQuery]) -> Reply:
    """The schedules that a policy is about."""
    name, query = call.params["policy"], call.query
    found, after = policy_dry_run.where_used(call.services, call.caller, name, query.limit, call.after(query))
    return call.page([schemas.use_view(one) for one in found], after)


def put(call: Call[schemas.PolicyBody, Query]) -> Reply:
    """Make or replace a policy."""
    name = call.params["policy"]
    wanted = schemas.policy_of(call.body, name)
    made, new = policies.put(call.services, call.caller, name, wanted, call.versions)
    return _shown(made, 201 if new else 200)


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a policy."""
    name = call.params["policy"]
    policies.delete(call.services, call.caller, name, call.versions)
    return Reply(200, schemas.PolicyDeleted(name))


def evaluate(call: Call[schemas.EvaluateBody, Query]) -> Reply:
    """What the policies say of something that need not exist."""
    found = policies.evaluate(call.services, call.caller, call.body.subject, call.body.action)
    return Reply(200, schemas.evaluation_view(found))


def of_schedule(call: Call[Body, Query]) -> Reply:
    """What the policies say of a schedule."""
    found = policies.of_schedule(call.services, call.caller, call.params["schedule"])
    return Reply(200, schemas.evaluation_view(found))


def dry_run(call: Call[schemas.DryRunBody, TokenQuery]) -> Reply:
    """What a policy would do."""
    name, body = call.params["policy"], given(call.body.policy)
    after = call.after(call.query)
    try:
        proposed = None if body is None else schemas.policy_of(body, name)
        done = policy_dry_run.run_one(call.services, call.caller, name, proposed, after, call.versions)
    except InvalidField as wrong:
        raise InvalidField([e._replace(field=f"policy.{e.field}") for e in wrong.errors], code=wrong.code) from None
    return Reply(200, schemas.dry_run_view(done, call.token(done.after)))


def dry_run_all(call: Call[Body, TokenQuery]) -> Reply:
    """What all policies would do."""
    done = policy_dry_run.run_all(call.services, call.caller, call.after(call.query))
    return Reply(200, schemas.dry_run_view(done, call.token(done.after)))


def _shown(found: NamedPolicy, status: int) -> Reply:
    return Reply(status, schemas.view_of(found), {"ETag": entity_tag(found.version)})


def operations() -> list[Operation]:
    """The calls of this noun."""
    bounded = (
        f"A call judges up to {DRY_RUN_MAX_SCHEDULES} schedules, then at the firings of the last week, and takes "
        "some seconds; with a `next_page_token` call again. Nothing is written."
    )
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Make a policy",
            tag="policies",
            permission="policies:write",
            handler=create,
            body=schemas.NewPolicyBody,
            answers={201: schemas.PolicyView},
            creates=True,
            yaml=True,
            description="A rule is an assertion: its action applies where its condition does not hold. The policy is "
            f"in force for every firing and call that begins after this answer. At most {POLICIES_MAX_COUNT} a tenant.",
            example=_EXAMPLE,
            answer_headers={"Location": "The policy's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List policies, by name",
            tag="policies",
            permission="policies:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.PolicyList},
            errors=(400,),
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One policy",
            tag="policies",
            permission="policies:read",
            handler=get,
            answers={200: schemas.PolicyView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PUT",
            path=ONE,
            summary="Make or replace a policy",
            tag="policies",
            permission="policies:write",
            handler=put,
            body=schemas.PolicyBody,
            answers={200: schemas.PolicyView, 201: schemas.PolicyView},
            guarded=True,
            yaml=True,
            description="It is in force for every firing and call that begins after this answer.",
            example={"rules": [_RULE]},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a policy",
            tag="policies",
            permission="policies:write",
            handler=delete,
            answers={200: schemas.PolicyDeleted},
            errors=(404,),
            guarded=True,
        ),
        Operation(
            method="GET",
            path=ONE + "/versions",
            summary="The forms that a policy has had, newest first",
            tag="policies",
            permission="policies:read",
            handler=versions,
            answers={200: schemas.PolicyVersions},
            errors=(404,),
        ),
        Operation(
            method="GET",
            path=ONE + "/schedules",
            summary="The schedules that a policy is about, with its verdict on each",
            tag="policies",
            permission="policies:read",
            handler=where_used,
            query=PageQuery,
            answers={200: schemas.UseList},
            errors=(400, 404),
            description="Those that the caller may see. A page may be short and still have a next one.",
        ),
        Operation(
            method="POST",
            path=ONE + ":dry-run",
            summary="Which schedules and firings a policy would deny",
            tag="policies",
            permission="policies:write",
            handler=dry_run,
            harmless=True,
            body=schemas.DryRunBody,
            query=TokenQuery,
            answers={200: schemas.DryRunView},
            errors=(404,),
            guarded=True,
            description=f"In its form of now, or in the one that is proposed. {bounded}",
            example={"policy": {"rules": [_RULE]}},
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":dry-run",
            summary="Which schedules and firings all policies would deny",
            tag="policies",
            permission="policies:write",
            handler=dry_run_all,
            harmless=True,
            query=TokenQuery,
            answers={200: schemas.DryRunView},
            errors=(400,),
            description=bounded,
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":evaluate",
            summary="What all policies say of a schedule or a lease, and why",
            tag="policies",
            permission="policies:write",
            handler=evaluate,
            harmless=True,
            body=schemas.EvaluateBody,
            answers={200: schemas.EvaluationView},
            description="The subject need not exist; what it leaves out has its default.",
            example={"subject": {"name": "beat", "type": "RATE", "expr": "rate:5s"}, "action": "schedules:create"},
        ),
        Operation(
            method="GET",
            path="/api/v1/schedules/{schedule_id}/policies",
            summary="What each policy says of a schedule's next firing",
            tag="policies",
            permission="policies:read",
            handler=of_schedule,
            answers={200: schemas.EvaluationView},
            errors=(404,),
        ),
    ]
