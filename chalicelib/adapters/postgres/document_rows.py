"""What is small, and is loaded and replaced as a whole under its rev: rows of one table, by kind, tenant and name."""

from __future__ import annotations

from typing import Final, NamedTuple

from chalicelib.adapters.postgres.database import PostgresDatabase

LOAD: Final = "SELECT doc, rev FROM documents WHERE kind = %s AND tenant = %s AND name = %s"
INSERT: Final = """
INSERT INTO documents (kind, tenant, name, rev, doc, expires_s) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING 1"""
REPLACE: Final = """
UPDATE documents SET rev = %s, doc = %s, expires_s = %s
WHERE kind = %s AND tenant = %s AND name = %s AND rev = %s RETURNING 1"""
PUT: Final = """
INSERT INTO documents (kind, tenant, name, rev, doc, expires_s) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (kind, tenant, name) DO UPDATE SET rev = excluded.rev, doc = excluded.doc, expires_s = excluded.expires_s"""
DELETE: Final = "DELETE FROM documents WHERE kind = %s AND tenant = %s AND name = %s RETURNING 1"
DELETE_AT: Final = "DELETE FROM documents WHERE kind = %s AND tenant = %s AND name = %s AND rev = %s RETURNING 1"
ASCENDING: Final = """
SELECT name, doc, rev FROM documents WHERE kind = %s AND tenant = %s AND name > %s AND name < %s
ORDER BY name LIMIT %s"""
DESCENDING: Final = """
SELECT name, doc, rev FROM documents WHERE kind = %s AND tenant = %s AND name > %s AND name < %s
ORDER BY name DESC LIMIT %s"""
LAST: Final = "\U0010ffff"  # sorts after every name


class Kept(NamedTuple):
    """A document under its name and rev."""

    name: str
    doc: str
    rev: int


class DocumentRows:
    """The documents of one kind."""

    def __init__(self, database: PostgresDatabase, kind: str) -> None:
        self.db = database
        self._kind = kind

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when there is none."""
        rows = self.db.read(LOAD, (self._kind, tenant, name))
        return (rows[0][0], int(rows[0][1])) if rows else None

    def save(self, tenant: str, name: str, doc: str, rev: int, expected_rev: int, expires_s: int | None = None) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        if expected_rev:
            return bool(self.db.write(REPLACE, (rev, doc, expires_s, self._kind, tenant, name, expected_rev)))
        return bool(self.db.write(INSERT, (self._kind, tenant, name, rev, doc, expires_s)))

    def put(self, tenant: str, name: str, doc: str, rev: int = 1, expires_s: int | None = None) -> None:
        """Write the document, whatever was there."""
        self.db.write(PUT, (self._kind, tenant, name, rev, doc, expires_s))

    def delete(self, tenant: str, name: str, rev: int | None = None) -> bool:
        """Delete the document; with ``rev`` only if it still has that."""
        if rev is None:
            return bool(self.db.write(DELETE, (self._kind, tenant, name)))
        return bool(self.db.write(DELETE_AT, (self._kind, tenant, name, rev)))

    def between(self, tenant: str, above: str, below: str, limit: int, newest_first: bool = False) -> list[Kept]:
        """Documents with names strictly between two, in the order of their names."""
        sql = DESCENDING if newest_first else ASCENDING
        return [Kept(*row) for row in self.db.read(sql, (self._kind, tenant, above, below, limit))]

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[Kept], str | None]:
        """Documents by name, after a name, and the name to go on after (None: the end)."""
        found = self.between(tenant, after or "", LAST, limit + 1)
        return found[:limit], found[limit - 1].name if len(found) > limit else None
