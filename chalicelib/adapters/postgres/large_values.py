"""``LargeValueStore`` in PostgreSQL: rows of ``run_contents``, whose bytes lie apart from the table (TOAST)."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.runs import CONTENTS, PUT

PURGE: Final = "DELETE FROM run_contents WHERE tenant = %s AND run_id = %s AND name LIKE 'large/%%'"


class PostgresLargeValueStore:
    """``LargeValueStore``: a row a value."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        """Keep a value."""
        self._db.write(PUT, (tenant, run_id, _named(name), bytes(content), None))

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        """A value that was kept; None: there is none."""
        rows = self._db.read(CONTENTS, (tenant, run_id, [_named(name)]))
        return bytes(rows[0][1]) if rows else None

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete all that is kept of a run."""
        self._db.write(PURGE, (tenant, run_id))
        return True


def _named(name: str) -> str:
    return f"large/{name}"
