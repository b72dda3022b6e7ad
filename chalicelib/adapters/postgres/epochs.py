"""Changes of what a tenant's firings are judged by: a statement that also raises the epoch, if it wrote anything."""

from __future__ import annotations

from typing import Final

RAISED: Final = """,
raised AS (
    INSERT INTO epochs AS e (tenant, epoch) SELECT %s, 1 FROM changed
    ON CONFLICT (tenant) DO UPDATE SET epoch = e.epoch + 1)
SELECT count(*) FROM changed"""
SAVED_NEW: Final = """
WITH changed AS (
    INSERT INTO documents (kind, tenant, name, rev, doc) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING RETURNING 1)"""
SAVED_AGAIN: Final = """
WITH changed AS (
    UPDATE documents SET rev = %s, doc = %s
    WHERE kind = %s AND tenant = %s AND name = %s AND rev = %s RETURNING 1)"""
DELETED: Final = """
WITH changed AS (
    DELETE FROM documents WHERE kind = %s AND tenant = %s AND name = %s AND rev = %s RETURNING 1)"""


def saving(kind: str, tenant: str, name: str, rev: int, doc: str, expected_rev: int) -> tuple[str, tuple[object, ...]]:
    """The part that writes a document if its stored rev still is ``expected_rev`` (0: if there is none)."""
    if expected_rev:
        return SAVED_AGAIN, (rev, doc, kind, tenant, name, expected_rev)
    return SAVED_NEW, (kind, tenant, name, rev, doc)
