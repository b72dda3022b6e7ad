"""What was written, as the feed takes it: records in the shape of a table's stream, each under a sequence number.

Rows are read in the order of their transactions' ids, and only those that no running transaction can still come before.
All writes are conditional on a ``rev`` that was read before. So of two writes of one thing the later has the higher id.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.stream_records import (
    EXECUTIONS,
    LEASES_SUFFIX,
    REGISTRY,
    RUN_HEAD,
    SCHEDULES,
    WORKFLOWS,
)
from chalicelib.adapters.postgres.database import PostgresDatabase, Row
from chalicelib.adapters.postgres.execution_rows import key_of
from chalicelib.core.schedules.schedule import Key

BATCH_MAX: Final = 300
_SEQ_BITS: Final = 63
READ: Final = """
SELECT xid::text::int8, seq, source, tenant, id, firing_ms, manual, at_ms, before, after, more,
    packed_before, packed FROM written
WHERE (xid, seq) > (%s::text::xid8, %s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq LIMIT %s"""
FORGET: Final = "DELETE FROM written WHERE (xid, seq) > (%s::text::xid8, %s) AND (xid, seq) <= (%s::text::xid8, %s)"
# Of another cluster, or of a schema that was made anew, numbers say nothing about those before.
ERA: Final = "SELECT system_identifier::text || '-' || current_schema()::regnamespace::oid FROM pg_control_system()"


class Position(NamedTuple):
    """Where a reader stands: everything up to it was handled."""

    xid: int = 0
    seq: int = 0


class WrittenRows(NamedTuple):
    """Records by the table that they are of, each in order, and the position after them. ``is_full``: there may be
    more of them."""

    records: dict[str, list[dict[str, Any]]]
    last: Position
    is_full: bool


class WrittenReader:
    """Reads the rows of one deployment, and takes away those that were handled."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database
        self._era = ""

    def read(self, after: Position) -> WrittenRows | None:
        """The next rows; None when there are none. Raises Unavailable."""
        rows = self._db.read(READ, (str(after.xid), after.seq, BATCH_MAX))
        if not rows:
            return None
        self._era = self._era or str(self._db.read(ERA)[0][0])
        found: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            table = _TABLES[row[2]]
            found.setdefault(table, []).append({**_record(row), "eventSourceARN": self._arn(table)})
        return WrittenRows(found, Position(int(rows[-1][0]), int(rows[-1][1])), len(rows) == BATCH_MAX)

    def forget(self, after: Position, last: Position) -> None:
        """Take away what was handled."""
        self._db.write(FORGET, (str(after.xid), after.seq, str(last.xid), last.seq))

    def _arn(self, table: str) -> str:
        return f"postgres:table/chronowatch-{table}/stream/{self._era}"


_Image = dict[str, Any]
_TABLES: Final = {
    "executions": EXECUTIONS,
    "state": SCHEDULES,
    "definition": SCHEDULES,
    "lease": REGISTRY,
    "run": WORKFLOWS,
}


def _record(row: Row) -> dict[str, Any]:
    xid, seq, source, tenant, thing, firing_ms, manual, at_ms, before, after, more, packed_before, packed = row
    if source == "run":
        keys = _keys(f"{documents.escaped(tenant)}#run#{thing}", RUN_HEAD)
        old, new = _packed(packed_before), _packed(packed)
    else:
        keys, old, new = _images(source, tenant, thing, firing_ms, manual, before, after, more)
    change: dict[str, Any] = {
        "Keys": keys,
        "SequenceNumber": str((int(xid) << _SEQ_BITS) | int(seq)),
        "ApproximateCreationDateTime": int(at_ms) / 1000,
    }
    if old is not None:
        change["OldImage"] = {**keys, **old}
    if new is not None:
        change["NewImage"] = {**keys, **new}
    return {"dynamodb": change}


def _images(
    source: str,
    tenant: str,
    thing: str,
    firing_ms: int | None,
    manual: bool | None,
    before: str | None,
    after: str | None,
    more: str | None,
) -> tuple[_Image, _Image | None, _Image | None]:
    """Keys, what was there before, and what is there now."""
    if source == "executions":
        at = key_of(tenant, thing, int(firing_ms or 0), bool(manual))
        return _keys(documents.partition(tenant, at.schedule_id), documents.execution_sk(at)), _doc(before), _doc(after)
    if source == "lease":
        return _keys(f"{documents.escaped(tenant)}{LEASES_SUFFIX}", thing), None, _doc(after)
    pk = documents.partition(*Key(tenant, thing))
    if source == "definition":
        new = None if after is None else {"doc": {"S": after}, "payload": {"S": more}}
        return _keys(pk, documents.DEFINITION_SK), {"owner": {"S": before}}, new
    # What a state had before it went off the list of those that are due.
    old = None if before is None else {"doc": {"S": before}, "due_shard": {"S": ""}}
    return _keys(pk, documents.STATE_SK), old, _doc(after)


def _keys(pk: str, sk: str) -> _Image:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _doc(text: str | None) -> _Image | None:
    return None if text is None else {"doc": {"S": text}}


def _packed(content: bytes | None) -> _Image | None:
    return None if content is None else {"packed": {"B": bytes(content)}}
