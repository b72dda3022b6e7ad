"""Roles over HTTP."""

from __future__ import annotations

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query
from chalicelib.api.roles import schemas
from chalicelib.core.security.tenant_roles import ROLES_MAX_COUNT
from chalicelib.usecases import roles
from chalicelib.usecases.roles import NamedRole, RoleWanted

COLLECTION = "/api/v1/roles"
ONE = COLLECTION + "/{role}"
_TAGGED = {"ETag": "The version, for `If-Match`; built-in roles have none."}


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of roles."""
    found, after = roles.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([_view(role) for role in found], after)


def get(call: Call[Body, Query]) -> Reply:
    """One role."""
    return _shown(roles.get(call.services, call.caller, call.params["role"]), 200)


def put(call: Call[schemas.RoleBody, Query]) -> Reply:
    """Make or replace a role."""
    body = call.body
    wanted = RoleWanted(permissions=tuple(body.permissions), every_owner=body.every_owner, description=body.description)
    made, new = roles.put(call.services, call.caller, call.params["role"], wanted, call.versions)
    return _shown(made, 201 if new else 200)


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a role."""
    name = call.params["role"]
    roles.delete(call.services, call.caller, name, call.versions)
    return Reply(200, schemas.RoleDeleted(name))


def _shown(found: NamedRole, status: int) -> Reply:
    headers = {} if found.version is None else {"ETag": entity_tag(found.version)}
    return Reply(status, _view(found), headers)


def _view(found: NamedRole) -> schemas.RoleView:
    return schemas.RoleView(
        name=found.name,
        built_in=found.version is None,
        permissions=list(found.permissions),
        every_owner=found.every_owner,
        description=found.description,
    )


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List the built-in roles and the tenant's own, by name",
            tag="roles",
            permission="roles:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.RoleList},
            errors=(400,),
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One role",
            tag="roles",
            permission="roles:read",
            handler=get,
            answers={200: schemas.RoleView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PUT",
            path=ONE,
            summary="Make or replace a role of the tenant's own",
            tag="roles",
            permission="roles:write",
            handler=put,
            body=schemas.RoleBody,
            answers={200: schemas.RoleView, 201: schemas.RoleView},
            guarded=True,
            description=f"At most {ROLES_MAX_COUNT} a tenant. It holds everywhere within 30 s. A caller grants "
            "only what they have themselves.",
            example={"permissions": ["executions:read", "executions:retry"], "every_owner": True},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a role of the tenant's own",
            tag="roles",
            permission="roles:write",
            handler=delete,
            answers={200: schemas.RoleDeleted},
            errors=(404,),
            guarded=True,
            description="It grants nothing any more, everywhere within 30 s.",
        ),
    ]
