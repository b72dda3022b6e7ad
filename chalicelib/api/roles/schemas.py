"""Roles as callers give and see them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.api.http.requests import PLAIN_TEXT, Body
from chalicelib.core.json_schema import formed, states
from chalicelib.core.security.permissions import PERMISSIONS
from chalicelib.core.security.tenant_roles import ROLE_DESCRIPTION_MAX_CHARS, ROLE_NAME_PATTERN

RoleName = Annotated[str, formed(pattern=ROLE_NAME_PATTERN, examples=["retrier"])]
PermissionName = Annotated[str, Meta(max_length=64, examples=["executions:retry"]), states(enum=sorted(PERMISSIONS))]


class RoleBody(Body, kw_only=True):
    """What a role permits."""

    permissions: Annotated[list[PermissionName], Meta(max_length=len(PERMISSIONS), description="docs/security.md")]
    every_owner: Annotated[
        bool, Meta(description="Whether it reaches every owner's things; else only the caller's own.")
    ] = False
    description: Annotated[str, Meta(max_length=ROLE_DESCRIPTION_MAX_CHARS), PLAIN_TEXT] = ""


class RoleView(msgspec.Struct, kw_only=True):
    """A role."""

    name: str
    built_in: bool
    permissions: list[str]
    every_owner: bool
    description: str


class RoleList(msgspec.Struct):
    """A page of roles."""

    items: list[RoleView]
    next_page_token: str | None


class RoleDeleted(msgspec.Struct):
    """What is gone."""

    name: str
