"""Roles that tenants make for themselves. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol


class RoleStore(Protocol):
    """One document a tenant: serialised by core.security.tenant_roles, replaced whole under its rev."""

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant never made a role."""
        ...

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        ...
