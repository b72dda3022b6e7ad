"""``MetricStore`` in PostgreSQL."""

from __future__ import annotations

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows


class PostgresMetricStore:
    """``MetricStore``: a few documents."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._rows = DocumentRows(database, "metric")

    def load(self, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when there is none."""
        return self._rows.load("", name)

    def save(self, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self._rows.save("", name, document, rev, expected_rev)
