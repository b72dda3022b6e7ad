"""``QueueStore`` in PostgreSQL."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres import epochs
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows

_KIND: Final = "queue"


class PostgresQueueStore:
    """``QueueStore``: a document a tenant."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._rows = DocumentRows(database, _KIND)

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant's queue was never paused."""
        return self._rows.load(tenant, "")

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        part, values = epochs.saving(_KIND, tenant, "", rev, document, expected_rev)
        return bool(self._rows.db.write(part + epochs.RAISED, (*values, tenant))[0][0])
