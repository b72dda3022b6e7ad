"""Who asks. Every use case takes a ``Caller``; it has no defaults, so that no right is granted by omission."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

DEFAULT_TENANT: Final = "default"
SERVICE_SUBJECT: Final = "chronowatch"  # the service itself; also the holder of its own leases


class Caller(Struct, frozen=True):
    """``roles`` are names of ``core.security.permissions``; a name that is not known there grants nothing. ``depth``
    counts the webhooks of this service that led to the call: what the caller makes lies as deep."""

    tenant: str
    subject: str
    roles: frozenset[str]
    depth: int = 0


# Who every caller is while authentication is off: api.http.app decides that, and nothing else does.
ANONYMOUS_ADMIN: Final = Caller(DEFAULT_TENANT, "anonymous", frozenset({"admin"}))

# Who calls what is public. No role: nothing of a tenant opens to it.
ANYONE: Final = Caller("", "anyone", frozenset())


def system_caller(tenant: str) -> Caller:
    """The service itself, where a worker calls a use case for a tenant."""
    return Caller(tenant, SERVICE_SUBJECT, frozenset({"admin"}))
