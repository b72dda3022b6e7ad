"""``CursorStore`` in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows
from chalicelib.ports.stores.cursors import Cursor


class PostgresCursorStore:
    """``CursorStore``: a document each."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._rows = DocumentRows(database, "cursor")

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        found = self._rows.load("", name)
        return Cursor(0, {}) if found is None else Cursor(found[1], documents.decode_values(found[0]))

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor under the next rev if its stored rev still is the given one."""
        return self._rows.save("", name, documents.encode_values(dict(values)), expected_rev + 1, expected_rev)
