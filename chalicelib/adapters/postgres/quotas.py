"""``QuotaStore`` in PostgreSQL. A request waits for it: it is asked once, and not again."""

from __future__ import annotations

import hashlib
from typing import Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.core.quotas.limits import QUOTA_RETENTION_S
from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.ports.stores.quotas import StoredBucket

_KIND: Final = "quota"
NAME_MAX_BYTES: Final = 900  # of what an index takes: longer names are kept by their hash
_ONCE_S: Final = 0.0
SWAP_NEW: Final = """
WITH standing AS (SELECT doc, rev FROM documents WHERE kind = %(kind)s AND tenant = %(tenant)s AND name = %(name)s),
saved AS (
    INSERT INTO documents (kind, tenant, name, rev, doc, expires_s)
    VALUES (%(kind)s, %(tenant)s, %(name)s, 1, %(doc)s, %(expires)s) ON CONFLICT DO NOTHING RETURNING 1)
SELECT EXISTS (SELECT FROM saved), (SELECT doc FROM standing), (SELECT rev FROM standing)"""
SWAP: Final = """
WITH standing AS (SELECT doc, rev FROM documents WHERE kind = %(kind)s AND tenant = %(tenant)s AND name = %(name)s),
saved AS (
    UPDATE documents SET rev = rev + 1, doc = %(doc)s, expires_s = %(expires)s
    WHERE kind = %(kind)s AND tenant = %(tenant)s AND name = %(name)s AND rev = %(expected)s RETURNING 1)
SELECT EXISTS (SELECT FROM saved), (SELECT doc FROM standing), (SELECT rev FROM standing)"""


class PostgresQuotaStore:
    """``QuotaStore``: a document a bucket."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
        """Write the bucket under the next rev if its stored rev still is the given one (0: there is none)."""
        values = {
            "kind": _KIND,
            "tenant": _name(key.tenant),
            "name": f"{key.quota}#{_name(key.subject)}",
            "doc": documents.encode_values({"f": bucket.full_at_us, "l": bucket.leased}),
            "expires": now_s + QUOTA_RETENTION_S,
            "expected": expected_rev,
        }
        saved, doc, rev = self._db.write(SWAP if expected_rev else SWAP_NEW, values, tries_s=_ONCE_S)[0]
        if saved:
            return None
        if doc is None:  # it expired since it was seen, or was written this moment: the next call sees it
            return StoredBucket(SharedBucket(), 0)
        found = documents.decode_values(doc)
        return StoredBucket(SharedBucket(found["f"], found["l"]), int(rev))


def _name(name: str) -> str:
    text = name.encode()
    return name if len(text) <= NAME_MAX_BYTES else f"sha256:{hashlib.sha256(text).hexdigest()}"
