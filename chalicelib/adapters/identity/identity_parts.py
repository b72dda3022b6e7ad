"""What the schemes of authentication are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.permissions import Role
from chalicelib.ports.identity import KeyNotes
from chalicelib.ports.services import Stores


class IdentityParts(Struct, frozen=True):
    """Made by bootstrap. ``custom_roles`` gives a tenant's own roles, from memory where they are fresh. ``jwt`` is None
    where CHRONO_AUTH does not name it. ``key_notes`` is what the process remembers of API keys.

    Each scheme has a module in this package with ``make(parts)``, loaded when a token of its kind first arrives.
    """

    stores: Stores
    key_notes: KeyNotes
    now_ms: Callable[[], int]
    monotonic_s: Callable[[], float]
    jwt: JwtSettings | None
    custom_roles: Callable[[str], Mapping[str, Role]]
