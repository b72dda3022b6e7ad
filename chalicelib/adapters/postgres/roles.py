"""``RoleStore`` in PostgreSQL."""

from __future__ import annotations

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows


class PostgresRoleStore:
    """``RoleStore``: a document a tenant."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._rows = DocumentRows(database, "roles")

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant never made a role."""
        return self._rows.load(tenant, "")

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self._rows.save(tenant, "", document, rev, expected_rev)
