"""Roles: the built-in ones, and those that a tenant makes for itself as lists of permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from chalicelib.core.errors import InvalidField, NotFound, PreconditionFailed, TooMany
from chalicelib.core.security import tenant_roles
from chalicelib.core.security.authorize import authorize, missing
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import PERMISSIONS, ROLES, Role
from chalicelib.core.security.tenant_roles import ROLES_MAX_COUNT, ROLES_MEMORY_MS, RoleBook, TenantRole
from chalicelib.ports.services import Services

CHANGE_ATTEMPTS = 16


class RoleWanted(Struct, frozen=True, kw_only=True):
    """What a role is to be."""

    permissions: tuple[str, ...]
    every_owner: bool = False
    description: str = ""


class NamedRole(NamedTuple):
    """A role under its name. ``version`` names its present form; None: it is built in and never changes."""

    name: str
    permissions: tuple[str, ...]
    every_owner: bool
    description: str
    version: str | None


def granted_by(s: Services, tenant: str) -> Mapping[str, Role]:
    """What a tenant's own roles grant, at most ROLES_MEMORY_MS old: identification asks it. Raises Unavailable."""
    now_ms = s.clock.now_ms()
    known = s.process.roles.find(tenant, now_ms, ROLES_MEMORY_MS)
    if known is not None:
        return known
    roles = {name: stored.role() for name, stored in _load(s, tenant).roles.items()}
    s.process.roles.keep(tenant, roles, now_ms)
    return roles


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[NamedRole], str | None]:
    """The tenant's roles and the built-in ones by name, and the name to go on after (None: the end)."""
    authorize(caller, "roles:read")
    own = _load(s, caller.tenant).roles
    every = {**{name: _own(name, role) for name, role in own.items()}, **{name: _built_in(name) for name in ROLES}}
    names = sorted(name for name in every if after is None or name > after)
    return [every[name] for name in names[:limit]], names[limit - 1] if len(names) > limit else None


def get(s: Services, caller: Caller, name: str) -> NamedRole:
    """One role. Raises NotFound."""
    authorize(caller, "roles:read")
    if name in ROLES:
        return _built_in(name)
    found = _load(s, caller.tenant).roles.get(name)
    if found is None:
        raise _missing(name)
    return _own(name, found)


def put(
    s: Services, caller: Caller, name: str, wanted: RoleWanted, versions: Sequence[str] | None = None
) -> tuple[NamedRole, bool]:
    """Make or replace a role; whether it is new. Other processes go by it within ROLES_MEMORY_MS.

    Raises InvalidField, Forbidden for more than the caller has, PreconditionFailed.
    """
    authorize(caller, "roles:write")
    tenant_roles.check_name(name)
    unknown = [n for n, permission in enumerate(wanted.permissions) if permission not in PERMISSIONS]
    if unknown:
        raise InvalidField.of(f"permissions.{unknown[0]}", "is no permission; docs/security.md lists them")
    permissions = tuple(sorted(set(wanted.permissions)))
    tenant_roles.check_grant(caller, frozenset(permissions), wanted.every_owner)
    new = False

    def changed(book: RoleBook) -> Mapping[str, TenantRole]:
        nonlocal new
        new = name not in book.roles
        _check_version(book, name, versions)
        if new and len(book.roles) >= ROLES_MAX_COUNT:
            raise InvalidField.of("name", f"a tenant may have at most {ROLES_MAX_COUNT} roles of its own")
        made = TenantRole(permissions, wanted.every_owner, wanted.description, book.rev + 1)
        return {**book.roles, name: made}

    return _own(name, _change(s, caller.tenant, changed)[name]), new


def delete(s: Services, caller: Caller, name: str, versions: Sequence[str] | None = None) -> None:
    """Delete a role: it grants nothing any more. Raises NotFound, InvalidField, PreconditionFailed."""
    authorize(caller, "roles:write")
    tenant_roles.check_name(name)

    def changed(book: RoleBook) -> Mapping[str, TenantRole]:
        if name not in book.roles:
            raise _missing(name)
        _check_version(book, name, versions)
        return {known: role for known, role in book.roles.items() if known != name}

    _change(s, caller.tenant, changed)


def _change(
    s: Services, tenant: str, changed: Callable[[RoleBook], Mapping[str, TenantRole]]
) -> Mapping[str, TenantRole]:
    for _ in range(CHANGE_ATTEMPTS):
        book = _load(s, tenant)
        after = RoleBook(changed(book), book.rev + 1)
        if s.stores.roles.save(tenant, tenant_roles.write(after), after.rev, book.rev):
            s.process.roles.forget(tenant)
            return after.roles
    raise TooMany("the tenant's roles are being changed by many callers at once", code="contended")


def _load(s: Services, tenant: str) -> RoleBook:
    stored = s.stores.roles.load(tenant)
    return RoleBook({}, 0) if stored is None else tenant_roles.read(*stored)


def _check_version(book: RoleBook, name: str, versions: Sequence[str] | None) -> None:
    known = book.roles.get(name)
    if versions is not None and (known is None or str(known.rev) not in versions):
        raise PreconditionFailed("the role has another version")


def _missing(name: str) -> NotFound:
    return missing(f"role {name}")


def _built_in(name: str) -> NamedRole:
    role = ROLES[name]
    return NamedRole(name, tuple(sorted(role.permissions)), role.every_owner, "", None)


def _own(name: str, stored: TenantRole) -> NamedRole:
    return NamedRole(name, stored.permissions, stored.every_owner, stored.description, str(stored.rev))
