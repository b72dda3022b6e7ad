"""The roles that a tenant makes for itself, and how they are stored: one document for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import Forbidden, InvalidField
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import ROLES, Role, is_permission

ROLES_MAX_COUNT: Final = 50
ROLE_DESCRIPTION_MAX_CHARS: Final = 256
ROLE_NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
ROLES_MEMORY_MS: Final = 30_000  # how long a process may go by what it has read

_NAME: Final = re.compile(ROLE_NAME_PATTERN, re.ASCII)


class TenantRole(Struct, frozen=True, omit_defaults=True):
    """A role as stored. ``rev`` is the document's when the role was last written."""

    permissions: tuple[str, ...]
    every_owner: bool
    description: str = ""
    rev: int = 0

    def role(self) -> Role:
        """What it grants. Permissions that this release does not know, as after a way back, grant nothing."""
        return Role(frozenset(p for p in self.permissions if is_permission(p)), self.every_owner)


class RoleBook(Struct, frozen=True):
    """All roles of a tenant by name; ``rev`` 0: none was ever made."""

    roles: Mapping[str, TenantRole]
    rev: int


def read(document: str, rev: int) -> RoleBook:
    """The book of a document that ``write`` made."""
    return RoleBook(decoder_of(dict[str, TenantRole]).decode(document), rev)


def write(book: RoleBook) -> str:
    """The document of a book."""
    return msgspec.json.encode(book.roles, order="sorted").decode()


def check_name(name: str) -> None:
    """Refuse what can be no role of a tenant's own. Raises InvalidField."""
    if _NAME.fullmatch(name) is None:
        raise InvalidField.of("name", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
    if name in ROLES:
        raise InvalidField.of("name", f"{name} is a built-in role")


def check_grant(caller: Caller, permissions: frozenset[str], every_owner: bool) -> None:
    """Refuse to grant more than one has: else who may write roles could make themselves an administrator.

    Raises Forbidden.
    """
    has = caller.on_every_owner if every_owner else caller.permissions
    beyond = sorted(permissions - has)
    if beyond:
        raise Forbidden(f"the caller may not grant {beyond[0]}, which they do not have themselves")
