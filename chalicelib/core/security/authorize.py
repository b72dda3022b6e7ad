"""Whether a caller may do something: one pure decision, made by each use case before it changes or shows anything."""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.errors import Forbidden, NotFound
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import EVERY_OWNER, GRANTED, Permission


class Resource(NamedTuple):
    """Something that has an owner. ``called`` is how errors name it: ``schedule 01KB…``."""

    tenant: str
    owner: str
    called: str


def authorize(caller: Caller, permission: Permission, resource: Resource | None = None) -> None:
    """Refuse what a caller may not do. Without a resource: to a list, a new thing, or what no single owner has.

    Raises Forbidden when no role of the caller has the permission, or none has it for this owner's things. Raises
    NotFound, in the words for a missing one, when the caller may not even see the resource.
    """
    granting = [role for role in caller.roles if permission in GRANTED.get(role, ())]
    if not granting:
        raise Forbidden(f"the caller's roles do not permit {permission}")
    if resource is None:
        return
    if resource.tenant != caller.tenant:
        raise missing(resource.called)
    if resource.owner == caller.subject or any(role in EVERY_OWNER for role in granting):
        return
    if only_owner(caller) is not None:
        raise missing(resource.called)
    raise Forbidden(f"the caller's roles do not permit {permission} of another owner's things")


def authorize_owner(caller: Caller, owner: str, owner_now: str | None = None) -> None:
    """Refuse to give something to another owner (``owner_now``: whose it is, None: it is new). Raises Forbidden."""
    unchanged = owner == (caller.subject if owner_now is None else owner_now)
    if not unchanged and "admin" not in caller.roles:
        raise Forbidden("only an admin may set another owner")


def only_owner(caller: Caller) -> str | None:
    """The one owner whose things a caller sees in lists; None: every owner's."""
    return None if any(role in EVERY_OWNER for role in caller.roles) else caller.subject


def missing(called: str) -> NotFound:
    """The one answer for what is not there, and for what the caller may not see."""
    return NotFound(f"there is no {called}")
