"""What there is to permit, and what each role may: docs/security.md has the same table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

Permission = Literal[
    "schedules.read",
    "schedules.write",
    "executions.read",
    "executions.write",
    "leases.read",
    "leases.use",
    "leases.break",
    "ticks.read",
    "ticks.admin",
    "cluster.read",
    "cluster.join",
    "health.read",
    "time.read",
    "docs.read",
]
PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))

_EVERYBODY: Final[frozenset[Permission]] = frozenset(
    {"schedules.read", "executions.read", "leases.read", "ticks.read", "health.read", "time.read", "docs.read"}
)
_VIEWER: Final[frozenset[Permission]] = _EVERYBODY | {"cluster.read"}
_WORK: Final[frozenset[Permission]] = frozenset({"schedules.write", "executions.write", "leases.use"})

GRANTED: Final[Mapping[str, frozenset[Permission]]] = {
    "admin": PERMISSIONS,
    "operator": _VIEWER | _WORK | {"cluster.join"},
    "user": _EVERYBODY | _WORK,
    "viewer": _VIEWER,
}
EVERY_OWNER: Final = frozenset({"admin", "operator", "viewer"})  # the others: what their subject owns
