"""Callers as tests know them, and an authenticator that takes everybody for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.core.errors import Unauthorized
from chalicelib.core.security.caller import Caller, caller_of
from chalicelib.core.security.permissions import Permission, Role
from chalicelib.ports.identity import Credentials
from tests.kit.house import Answer, House


def who(
    subject: str,
    *roles: str,
    tenant: str = "default",
    permissions: tuple[Permission, ...] = (),
    custom_roles: Mapping[str, Role] | None = None,
    expires_at_ms: int | None = None,
) -> Caller:
    """A caller with these roles."""
    return caller_of(
        tenant,
        subject,
        roles,
        custom_roles or {},
        credential="jwt",
        expires_at_ms=expires_at_ms,
        permissions=permissions,
    )


class Everybody:
    """Takes everybody for ``caller``; ``good`` says whether the credential still holds."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.good = True

    def authenticate(self, _credentials: Credentials) -> Caller:
        return self.caller

    def is_open(self) -> bool:
        return True

    def still_holds(self, _caller: Caller) -> bool:
        return self.good


class Nobody(Everybody):
    """Takes nobody: every call comes without credentials."""

    def authenticate(self, _credentials: Credentials) -> Caller:
        raise Unauthorized("no credentials")


def by(house: House, caller: Caller | None, method: str, path: str, body: Any = None) -> Answer:
    """A call of ``caller``; None: of one without credentials."""
    house.authenticator = Nobody(who("nobody")) if caller is None else Everybody(caller)
    return house.call(method, path, body)
