"""What there is to permit, and what each role may: docs/security.md has the same table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeGuard, get_args

from msgspec import Struct

Permission = Literal[
    "schedules:read",
    "schedules:write",
    "schedules:trigger",
    "executions:read",
    "executions:retry",
    "executions:cancel",
    "executions:report",
    "leases:read",
    "leases:acquire",
    "leases:break",
    "ticks:read",
    "ticks:write",
    "cluster:read",
    "cluster:write",
    "health:read",
    "time:read",
    "docs:read",
    "keys:read",
    "keys:write",
    "roles:read",
    "roles:write",
    "policies:read",
    "policies:write",
    "audit:read",
    "subjects:read",
    "subjects:write",
    "queue:pause",
    "workflows:read",
    "workflows:write",
    "workflows:start",
    "workflows:approve",
    "monitors:read",
    "monitors:write",
    "notifications:read",
    "notifications:write",
    "triggers:read",
    "triggers:write",
]
PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))
ADMIN: Final = "admin"


class Role(Struct, frozen=True):
    """What a role permits, and whether on every owner's things; else on what the caller owns."""

    permissions: frozenset[Permission]
    every_owner: bool


_ADMIN_ONLY: Final[frozenset[Permission]] = frozenset(
    {
        "leases:break",
        "ticks:write",
        "keys:read",
        "keys:write",
        "roles:read",
        "roles:write",
        "policies:write",
        "audit:read",
        "subjects:read",
        "subjects:write",
        "queue:pause",
    }
)
_OPERATOR: Final[frozenset[Permission]] = PERMISSIONS - _ADMIN_ONLY
_CLUSTER: Final[frozenset[Permission]] = frozenset({"cluster:read", "cluster:write"})

ROLES: Final[Mapping[str, Role]] = {
    ADMIN: Role(PERMISSIONS, every_owner=True),
    "operator": Role(_OPERATOR, every_owner=True),
    "user": Role(_OPERATOR - _CLUSTER, every_owner=False),
    "viewer": Role(frozenset(p for p in _OPERATOR if p.endswith(":read")), every_owner=True),
}


def is_permission(text: str) -> TypeGuard[Permission]:
    """Whether there is such a permission."""
    return text in PERMISSIONS


def granted(roles: Iterable[Role]) -> tuple[frozenset[Permission], frozenset[Permission]]:
    """What roles permit together, and which of that holds for every owner's things."""
    chosen = list(roles)
    everything = frozenset[Permission]().union(*(role.permissions for role in chosen))
    return everything, frozenset[Permission]().union(*(role.permissions for role in chosen if role.every_owner))
