"""Who asks. Every use case takes a ``Caller``; it has no defaults, so that no right is granted by omission."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.security.permissions import ADMIN, ROLES, Permission, Role, granted

DEFAULT_TENANT: Final = "default"
SERVICE_SUBJECT: Final = "chronowatch"  # the service itself; also the holder of its own leases


class Caller(Struct, frozen=True):
    """Who asks, and what they may: resolved once, when they were identified. Made by ``caller_of``.

    ``permissions`` is what the caller may do at all, ``on_every_owner`` those of them that reach every owner's things.
    They are two sets, since who is a viewer and a user may read every owner's and change only their own.
    ``credential`` says how they proved who they are: ``off``, ``none``, ``system``, ``jwt`` or ``key:<id>``. What one
    keeps open ends at ``expires_at_ms`` (None: never). ``depth`` counts the webhooks of this service that led to the
    call: what the caller makes lies as deep. ``traceparent`` and ``tracestate`` are the call's own. ``source_ip`` is
    where the call came from (None: not known).
    """

    tenant: str
    subject: str
    roles: frozenset[str]
    permissions: frozenset[Permission]
    on_every_owner: frozenset[Permission]
    credential: str
    expires_at_ms: int | None
    depth: int = 0
    traceparent: str = ""
    tracestate: str = ""
    source_ip: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the built-in role ``admin`` is among the roles; a role of a tenant's own can never be."""
        return ADMIN in self.roles

    def has_all_of(self, other: Caller) -> bool:
        """Whether this one may do all that another may."""
        return other.permissions <= self.permissions and other.on_every_owner <= self.on_every_owner

    @property
    def principal(self) -> tuple[str, str] | None:
        """Whose share of scarce places a call takes: a tenant and a subject. None while all callers are one."""
        return None if self.credential == "off" else (self.tenant, self.subject)


def caller_of(
    tenant: str,
    subject: str,
    roles: Iterable[str],
    custom_roles: Mapping[str, Role],
    *,
    credential: str,
    expires_at_ms: int | None,
    permissions: Iterable[Permission] = (),
) -> Caller:
    """A caller with what the named roles grant. A built-in name wins over the tenant's own; an unknown one grants
    nothing. ``permissions``, of a key that lists them, come on top and reach the caller's own things only."""
    names = frozenset(roles)
    known = {**custom_roles, **ROLES}
    direct = Role(frozenset(permissions), every_owner=False)
    everything, on_every_owner = granted([*(known[name] for name in names if name in known), direct])
    return Caller(tenant, subject, names, everything, on_every_owner, credential, expires_at_ms)


# Who every caller is while authentication is off: adapters.identity.chain decides that, and nothing else does.
ANONYMOUS_ADMIN: Final = caller_of(DEFAULT_TENANT, "anonymous", [ADMIN], {}, credential="off", expires_at_ms=None)


def guest(permissions: Iterable[Permission]) -> Caller:
    """A caller without credentials, where a call is open to them: they may do this, and nothing else."""
    return caller_of(
        DEFAULT_TENANT, "anonymous", [], {}, credential="none", expires_at_ms=None, permissions=permissions
    )


def system_caller(tenant: str) -> Caller:
    """The service itself, where a worker calls a use case for a tenant."""
    return caller_of(tenant, SERVICE_SUBJECT, [ADMIN], {}, credential="system", expires_at_ms=None)
