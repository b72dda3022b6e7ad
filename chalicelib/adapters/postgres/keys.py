"""``KeyStore`` in PostgreSQL: a document a key, and one a tenant for its ring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase, StatementRefused
from chalicelib.adapters.postgres.document_rows import DocumentRows
from chalicelib.core.keys import api_key, key_ring
from chalicelib.core.keys.key_ring import KeyRing, RingChange
from chalicelib.ports.stores.keys import KeptKey

_KEY: Final = "key"
_RING: Final = "key ring"
_USED: Final = "key use"
_REFUSED: Final = "CW004"
_RING_NEW: Final = """
WITH ring AS (
    INSERT INTO documents (kind, tenant, name, rev, doc) VALUES (%s, %s, '', %s, %s)
    ON CONFLICT DO NOTHING RETURNING 1)"""
_RING_AGAIN: Final = """
WITH ring AS (
    UPDATE documents SET rev = %s, doc = %s WHERE kind = %s AND tenant = %s AND name = '' AND rev = %s RETURNING 1)"""
# A key and its last use are two documents: so neither is written over by the other.
_KEYS: Final = """,
made AS (
    INSERT INTO documents (kind, tenant, name, rev, doc)
    SELECT 'key', '', g.name, 1, g.doc FROM unnest(%s::text[], %s::text[]) AS g(name, doc)
    ON CONFLICT DO NOTHING RETURNING 1),
edited AS (
    UPDATE documents d SET doc = g.doc FROM unnest(%s::text[], %s::text[]) AS g(name, doc)
    WHERE d.kind = 'key' AND d.tenant = '' AND d.name = g.name RETURNING 1),
removed AS (
    DELETE FROM documents WHERE kind IN ('key', 'key use') AND tenant = '' AND name = ANY(%s::text[]))
SELECT CASE WHEN (SELECT count(*) FROM ring) <> 1 OR (SELECT count(*) FROM made) <> %s
    OR (SELECT count(*) FROM edited) <> %s THEN refuse('CW004') ELSE true END"""
LOAD_MANY: Final = """
SELECT k.doc, u.rev FROM documents k
LEFT JOIN documents u ON u.kind = 'key use' AND u.tenant = '' AND u.name = k.name
WHERE k.kind = 'key' AND k.tenant = '' AND k.name = ANY(%s::text[])"""
MARK_USED: Final = """
INSERT INTO documents AS d (kind, tenant, name, rev, doc)
SELECT 'key use', '', name, %s, '' FROM documents WHERE kind = 'key' AND tenant = '' AND name = %s
ON CONFLICT (kind, tenant, name) DO UPDATE SET rev = excluded.rev WHERE d.rev <= %s RETURNING 1"""


class PostgresKeyStore:
    """``KeyStore``: a caller with a key names no tenant, so keys are found by their id alone."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database
        self._rings = DocumentRows(database, _RING)

    def load(self, key_id: str) -> KeptKey | None:
        """The key of an id, whatever its tenant."""
        return self.load_many([key_id]).get(key_id)

    def load_many(self, key_ids: Sequence[str]) -> dict[str, KeptKey]:
        """Those of these keys that there are, by id."""
        rows = self._db.read(LOAD_MANY, (list(key_ids),)) if key_ids else []
        kept = [KeptKey(api_key.read(doc), None if used is None else int(used)) for doc, used in rows]
        return {each.key.id: each for each in kept}

    def ring(self, tenant: str) -> KeyRing:
        """A tenant's ring; an empty one at rev 0 when there is none."""
        found = self._rings.load(tenant, "")
        return KeyRing(tenant) if found is None else key_ring.read(found[0])

    def change(self, change: RingChange) -> bool:
        """Write the ring if its stored rev is still the one before, and all keys of the change, or nothing."""
        ring, doc = change.ring, key_ring.write(change.ring)
        part, values = _RING_NEW, (_RING, ring.tenant, ring.rev, doc)
        if ring.rev > 1:
            part, values = _RING_AGAIN, (ring.rev, doc, _RING, ring.tenant, ring.rev - 1)  # type: ignore[assignment]
        keys = (
            [key.id for key in change.made],
            [api_key.write(key) for key in change.made],
            [key.id for key in change.edited],
            [api_key.write(key) for key in change.edited],
            list(change.removed),
            len(change.made),
            len(change.edited),
        )
        try:
            self._db.write(part + _KEYS, (*values, *keys))
        except StatementRefused:
            return False
        return True

    def mark_used(self, key_id: str, now_ms: int, unless_since_ms: int) -> bool:
        """Note a use, unless a later one than ``unless_since_ms`` is noted, or there is no such key: then False."""
        return bool(self._db.write(MARK_USED, (now_ms, key_id, unless_since_ms)))
