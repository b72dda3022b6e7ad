"""``AlertStore`` in PostgreSQL: a row a document."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST
from chalicelib.ports.stores.alerts import AlertKind, AlertRecord, WokenAlert

_COLUMNS: Final = "tenant, kind, id, doc, rev, wake_ms, expires_s"
LOAD: Final = f"SELECT {_COLUMNS} FROM alerts WHERE tenant = %s AND kind = %s AND id = %s"
INSERT: Final = f"""
INSERT INTO alerts ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"""
REPLACE: Final = """
UPDATE alerts SET doc = %s, rev = %s, wake_ms = %s, expires_s = %s
WHERE tenant = %s AND kind = %s AND id = %s AND rev = %s RETURNING 1"""
DELETE: Final = "DELETE FROM alerts WHERE tenant = %s AND kind = %s AND id = %s AND rev = %s RETURNING 1"
PAGE: Final = f"""
SELECT {_COLUMNS} FROM alerts WHERE tenant = %s AND kind = %s AND id < %s ORDER BY id DESC LIMIT %s"""
WOKEN: Final = "SELECT tenant, kind, id, wake_ms FROM alerts WHERE wake_ms <= %s ORDER BY wake_ms, tenant, id LIMIT %s"


class PostgresAlertStore:
    """``AlertStore``: no list lags."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def load(self, tenant: str, kind: AlertKind, record_id: str) -> AlertRecord | None:
        """One document."""
        rows = self._db.read(LOAD, (tenant, kind, record_id))
        return AlertRecord(*rows[0]) if rows else None

    def save(self, record: AlertRecord, expected_rev: int) -> bool:
        """Write a document if its stored rev still is ``expected_rev`` (0: if there is none)."""
        place = (record.tenant, record.kind, record.id)
        content = (record.document, record.rev, record.wake_ms, record.expires_s)
        if expected_rev:
            return bool(self._db.write(REPLACE, (*content, *place, expected_rev)))
        return bool(self._db.write(INSERT, (*place, *content)))

    def delete(self, tenant: str, kind: AlertKind, record_id: str, expected_rev: int) -> bool:
        """Delete a document if its stored rev still is ``expected_rev``."""
        return bool(self._db.write(DELETE, (tenant, kind, record_id, expected_rev)))

    def page(self, tenant: str, kind: AlertKind, limit: int, after: str | None) -> tuple[list[AlertRecord], str | None]:
        """A tenant's documents of a kind, the greatest id first, and where to go on (None: the end)."""
        rows = self._db.read(PAGE, (tenant, kind, LAST if after is None else after, limit + 1))
        found = [AlertRecord(*row) for row in rows[:limit]]
        return found, found[-1].id if len(rows) > limit and found else None

    def woken(self, until_ms: int, limit: int) -> list[WokenAlert]:
        """Documents to check by an instant, of all tenants, the earliest first."""
        return [WokenAlert(*row) for row in self._db.read(WOKEN, (until_ms, limit))]
