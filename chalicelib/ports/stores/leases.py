"""Lease items. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol


class LeaseStore(Protocol):
    """Lease items: serialised by core.leases.lease, replaced whole under their rev."""

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        ...

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        ...

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        ...
