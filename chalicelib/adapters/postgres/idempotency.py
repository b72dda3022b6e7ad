"""``IdempotencyStore`` in PostgreSQL: a document each. Its rev is when the first call began."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.ports.stores.idempotency import Remembered

_KIND: Final = "answer"
_RUNS: Final = "runs"  # of a call that has no answer yet
_DONE: Final = "done"
# A document begins with whether there is an answer.
BEGIN: Final = """
WITH standing AS (
    SELECT doc, expires_s FROM documents WHERE kind = %(kind)s AND tenant = %(tenant)s AND name = %(name)s),
written AS (
    INSERT INTO documents AS d (kind, tenant, name, rev, doc, expires_s)
    VALUES (%(kind)s, %(tenant)s, %(name)s, %(started)s, %(doc)s, %(expires)s)
    ON CONFLICT (kind, tenant, name) DO UPDATE
    SET rev = excluded.rev, doc = excluded.doc, expires_s = excluded.expires_s WHERE d.expires_s <= %(now)s
    RETURNING 1)
SELECT (SELECT doc FROM standing), EXISTS (SELECT FROM written)"""
LOAD: Final = "SELECT doc FROM documents WHERE kind = %s AND tenant = %s AND name = %s"
TAKE_OVER: Final = """
UPDATE documents SET rev = %s, doc = %s
WHERE kind = %s AND tenant = %s AND name = %s AND rev = %s AND doc NOT LIKE %s RETURNING 1"""
FINISH: Final = """
INSERT INTO documents AS d (kind, tenant, name, rev, doc, expires_s) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (kind, tenant, name) DO UPDATE SET rev = excluded.rev, doc = excluded.doc WHERE d.doc NOT LIKE %s"""
FORGET: Final = "DELETE FROM documents WHERE kind = %s AND tenant = %s AND name = %s AND doc NOT LIKE %s"
_ANSWERED: Final = f'["{_DONE}",%'
_read = decoder_of(tuple[str, str, str, int, str | None]).decode


class PostgresIdempotencyStore:
    """``IdempotencyStore``: forgotten a day after the first call."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none (or an expired one): None when written, otherwise the one that stands."""
        values = {
            "kind": _KIND,
            "tenant": tenant,
            "name": key,
            "started": record.started_ms,
            "doc": self._doc(tenant, key, record),
            "expires": _expiry_s(record),
            "now": record.started_ms // 1000,
        }
        doc, written = self._db.write(BEGIN, values)[0]
        if written:
            return None
        if doc is None:  # it was written while this statement ran
            rows = self._db.read(LOAD, (_KIND, tenant, key))
            if not rows:
                return self.begin(tenant, key, record)
            doc = rows[0][0]
        standing = self._record(tenant, key, doc)
        # A repeat of this very call after a lost answer finds its own first try, which is as good as this one.
        return None if standing == record else standing

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``); its expiry stays."""
        doc = self._doc(tenant, key, replace(record, answer=None))
        values = (record.started_ms, doc, _KIND, tenant, key, stale.started_ms, _ANSWERED)
        return bool(self._db.write(TAKE_OVER, values))

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer. Where an answer stands already, the first one stays."""
        assert record.answer is not None, "a finished call has an answer"
        doc = self._doc(tenant, key, record)
        self._db.write(FINISH, (_KIND, tenant, key, record.started_ms, doc, _expiry_s(record), _ANSWERED))

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing; an answer that another call gave stays."""
        self._db.write(FORGET, (_KIND, tenant, key, _ANSWERED))

    def _doc(self, tenant: str, key: str, record: Remembered) -> str:
        answer = record.answer if record.answer is None else self._db.sealing.seal(tenant, _place(key), record.answer)
        state = _RUNS if answer is None else _DONE
        return msgspec.json.encode((state, record.body_hash, record.seed, record.started_ms, answer)).decode()

    def _record(self, tenant: str, key: str, doc: str) -> Remembered:
        _, body_hash, seed, started_ms, answer = _read(doc)
        if answer is not None:
            answer = self._db.sealing.unseal(tenant, _place(key), answer)
        return Remembered(body_hash, seed, started_ms, answer)


def _place(key: str) -> str:
    """Where an answer belongs, for sealing: it may hold a payload."""
    return f"answer {key}"


def _expiry_s(record: Remembered) -> int:
    return record.started_ms // 1000 + IDEMPOTENCY_RETENTION_S
