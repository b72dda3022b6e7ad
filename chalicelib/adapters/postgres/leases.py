"""``LeaseStore`` in PostgreSQL; see docs/postgres.md."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase

LOAD: Final = "SELECT doc, rev FROM leases WHERE tenant = %s AND name = %s"
INSERT: Final = "INSERT INTO leases (tenant, name, rev, doc) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"
REPLACE: Final = "UPDATE leases SET rev = %s, doc = %s WHERE tenant = %s AND name = %s AND rev = %s RETURNING 1"
PAGE: Final = "SELECT name, doc FROM leases WHERE tenant = %s AND name > %s ORDER BY name LIMIT %s"


class PostgresLeaseStore:
    """``LeaseStore``: one row a lease, in the order of their names."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        rows = self._db.read(LOAD, (tenant, name))
        return (rows[0][0], int(rows[0][1])) if rows else None

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        if expected_rev:
            return bool(self._db.write(REPLACE, (rev, document, tenant, name, expected_rev)))
        return bool(self._db.write(INSERT, (tenant, name, rev, document)))

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        rows = self._db.read(PAGE, (tenant, after or "", limit + 1))
        return [row[1] for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None
