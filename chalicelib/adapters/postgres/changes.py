"""``ChangeStore`` in PostgreSQL: a row for each tenant's head, and one a segment, compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.adapters.dynamodb import change_documents
from chalicelib.adapters.postgres.database import PostgresDatabase, StatementRefused
from chalicelib.core.changes.change_log import LogHead, Segment
from chalicelib.core.changes.limits import CHANGES_RETENTION_S

_SEGMENT: Final = """,
segment AS (
    INSERT INTO change_segments (tenant, last, first, written_ms, packed, expires_s)
    SELECT %s, %s, %s, %s, %s, %s FROM head ON CONFLICT DO NOTHING RETURNING 1)
SELECT CASE WHEN NOT EXISTS (SELECT FROM head) OR NOT EXISTS (SELECT FROM segment) THEN refuse('CW005') ELSE true END"""
APPEND_NEW: Final = (
    "WITH head AS (INSERT INTO change_heads (tenant, rev, doc) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1)"
    + _SEGMENT
)
APPEND: Final = (
    "WITH head AS (UPDATE change_heads SET rev = %s, doc = %s WHERE tenant = %s AND rev = %s RETURNING 1)" + _SEGMENT
)


class PostgresChangeStore:
    """``ChangeStore``: a segment expires ``retention_s`` after it was written."""

    def __init__(self, database: PostgresDatabase, retention_s: int = CHANGES_RETENTION_S) -> None:
        self._db = database
        self._retention_s = retention_s

    def head(self, tenant: str) -> LogHead:
        """Where a tenant's log ends; an empty head at rev 0 when there is none."""
        rows = self._db.read("SELECT doc, rev FROM change_heads WHERE tenant = %s", (tenant,))
        return change_documents.read_head(tenant, rows[0][0], int(rows[0][1])) if rows else LogHead(tenant)

    def append(self, head: LogHead, segment: Segment, expected_rev: int) -> bool:
        """Write head and segment if the stored head's rev still is the given one (0: if there is none)."""
        doc = change_documents.write_head(head)
        first = (head.rev, doc, head.tenant, expected_rev) if expected_rev else (head.tenant, head.rev, doc)
        packed = change_documents.pack(segment, self._db.sealing.seal)
        expires_s = segment.written_ms // 1000 + self._retention_s
        rest = (segment.tenant, segment.last, segment.first, segment.written_ms, packed, expires_s)
        try:
            self._db.write(APPEND if expected_rev else APPEND_NEW, (*first, *rest))
        except StatementRefused:
            return False
        return True

    def segments(self, tenant: str, after: int, limit: int) -> Sequence[Segment]:
        """At most ``limit`` segments that end after a position, ascending."""
        rows = self._db.read(
            "SELECT first, written_ms, packed FROM change_segments WHERE tenant = %s AND last > %s "
            "ORDER BY last LIMIT %s",
            (tenant, after, limit),
        )
        unseal = self._db.sealing.unseal
        return [
            Segment(tenant, int(first), int(written_ms), change_documents.unpack(tenant, bytes(packed), unseal))
            for first, written_ms, packed in rows
        ]
