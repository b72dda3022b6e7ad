"""Whether a caller may do something: one pure decision, made by each use case before it changes or shows anything."""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.errors import Forbidden, NotFound
from chalicelib.core.security.caller import DEFAULT_TENANT, Caller
from chalicelib.core.security.permissions import Permission


class Resource(NamedTuple):
    """Something that has an owner. ``called`` is how errors name it: ``schedule 01KB…``."""

    tenant: str
    owner: str
    called: str


def authorize(caller: Caller, permission: Permission, resource: Resource | None = None) -> None:
    """Refuse what a caller may not do. Without a resource: to a list, a new thing, or what no single owner has.

    Raises Forbidden when the caller lacks the permission, or lacks it for this owner's things. Raises NotFound, in the
    words for a missing one, when the caller may not even see the resource.
    """
    if permission not in caller.permissions:
        raise Forbidden(f"the caller's roles do not permit {permission}")
    if resource is None:
        return
    if resource.tenant != caller.tenant:
        raise missing(resource.called)
    if resource.owner == caller.subject or permission in caller.on_every_owner:
        return
    if _read_of(permission) not in caller.on_every_owner:
        raise missing(resource.called)
    raise Forbidden(f"the caller's roles do not permit {permission} of another owner's things")


def authorize_deployment(caller: Caller, permission: Permission) -> None:
    """Refuse what is of the deployment and not of one tenant: nodes, the switches of ticks. They are for the
    default tenant, whose administrators run it. Raises Forbidden."""
    authorize(caller, permission)
    if caller.tenant != DEFAULT_TENANT:
        raise Forbidden(f"{permission} is about the whole deployment, which the tenant {DEFAULT_TENANT} runs")


def authorize_owner(caller: Caller, owner: str, owner_now: str | None = None) -> None:
    """Refuse to give something to another owner (``owner_now``: whose it is, None: it is new). Raises Forbidden."""
    unchanged = owner == (caller.subject if owner_now is None else owner_now)
    if not unchanged and not caller.is_admin:
        raise Forbidden("only an admin may set another owner")


def only_owner(caller: Caller, permission: Permission) -> str | None:
    """The one owner whose things a caller meets under ``permission``, as in lists; None: every owner's."""
    return None if permission in caller.on_every_owner else caller.subject


def missing(called: str) -> NotFound:
    """The one answer for what is not there, and for what the caller may not see."""
    return NotFound(f"there is no {called}")


def _read_of(permission: Permission) -> str:
    """The permission to see what ``permission`` is about."""
    return permission.partition(":")[0] + ":read"
