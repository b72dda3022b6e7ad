"""``ChangeStore`` in DynamoDB: an item for each tenant's head, and one a segment, compressed; see docs/storage.md."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, Value, key, number, text
from chalicelib.adapters.dynamodb.execution_texts import with_texts
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.core.changes.change_log import Change, Changed, ChangeType, LogHead, Mark, Segment, position_text
from chalicelib.core.changes.limits import CHANGES_RETENTION_S
from chalicelib.core.executions.execution import Execution, parse_id
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.core.secrets import envelope
from chalicelib.core.workflows.run_state import SeenRun

_HEAD: Final = "head"
_AFTER_HEADS: Final = ":"  # sorts after every digit, and before the head
Sealer = Callable[[str, str, str], str]


class _ChangeDoc(msgspec.Struct, omit_defaults=True, array_like=True):
    """A change as stored. ``doc`` is the thing's document, ``more`` and ``payload`` what a schedule has beside it."""

    type: ChangeType
    id: str
    at_ms: int
    owner: str | None
    doc: str | None = None
    more: str = ""
    payload: str = ""


class _HeadDoc(msgspec.Struct):
    last: int
    marks: dict[str, tuple[str, int]]


_read_changes = msgspec.json.Decoder(list[_ChangeDoc]).decode
_read_run = msgspec.json.Decoder(SeenRun).decode
_read_head = msgspec.json.Decoder(_HeadDoc).decode


class DynamoChangeStore(RegistryItems):
    """``ChangeStore``: a segment expires ``retention_s`` after it was written."""

    def __init__(self, database: Database, retention_s: int = CHANGES_RETENTION_S) -> None:
        super().__init__(database)
        self._retention_s = retention_s

    def head(self, tenant: str) -> LogHead:
        """Where a tenant's log ends; an empty head at rev 0 when there is none."""
        item = self.load_item(_log(tenant), _HEAD)
        if item is None:
            return LogHead(tenant)
        doc = _read_head(item["doc"]["S"])
        marks = {shard: Mark(int(sequence), at_ms) for shard, (sequence, at_ms) in doc.marks.items()}
        return LogHead(tenant, int(item["rev"]["N"]), doc.last, marks)

    def append(self, head: LogHead, segment: Segment, expected_rev: int) -> bool:
        """Write head and segment in one transaction if the stored head's rev still is the given one."""
        items = [{"Put": self._put_head(head, expected_rev)}, {"Put": self._put_segment(segment)}]
        return self._db.write_together(items)

    def segments(self, tenant: str, after: int, limit: int) -> Sequence[Segment]:
        """At most ``limit`` segments that end after a position, ascending."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :z",
            ExpressionAttributeValues={
                ":p": text(_log(tenant)),
                ":a": text(position_text(after + 1)),
                ":z": text(_AFTER_HEADS),
            },
            ConsistentRead=True,
            Limit=limit,
        )
        return [self._segment(tenant, item) for item in answer["Items"]]

    def _put_head(self, head: LogHead, expected_rev: int) -> dict[str, Any]:
        condition: dict[str, Any] = {"ConditionExpression": ABSENT}
        if expected_rev:
            values = {":r": number(expected_rev)}
            condition = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        # A sequence number has more digits than a JSON number can be trusted with.
        marks = {shard: (str(mark.sequence), mark.at_ms) for shard, mark in head.marks.items()}
        doc = msgspec.json.encode(_HeadDoc(head.last, marks)).decode()
        item = {**key(_log(head.tenant), _HEAD), "doc": text(doc), "rev": number(head.rev)}
        return {"TableName": self._table, "Item": item, **condition}

    def _put_segment(self, segment: Segment) -> dict[str, Any]:
        seal = self._db.sealing.seal
        docs = [_written(segment.tenant, change, seal) for change in segment.changes]
        packed = zlib.compress(msgspec.json.encode(docs))
        item: dict[str, Value] = {
            **key(_log(segment.tenant), position_text(segment.last)),
            "packed": {"B": packed},
            "first": number(segment.first),
            "written": number(segment.written_ms),
            "ttl": number(segment.written_ms // 1000 + self._retention_s),
        }
        return {"TableName": self._table, "Item": item, "ConditionExpression": ABSENT}

    def _segment(self, tenant: str, item: Item) -> Segment:
        packed = item["packed"]["B"]
        found = _read_changes(zlib.decompress(packed))
        unseal = self._db.sealing.unseal
        changes = tuple(_change(tenant, doc, unseal) for doc in found)
        return Segment(tenant, int(item["first"]["N"]), int(item["written"]["N"]), changes)


def _log(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#changes"


def _written(tenant: str, change: Change, seal: Sealer) -> _ChangeDoc:
    doc = _ChangeDoc(change.type, change.id, change.at_ms, change.owner)
    if isinstance(change.now, Execution):
        doc.doc = documents.encode_execution(with_texts(change.now, seal))
    elif isinstance(change.now, Schedule):
        definition = change.now.definition
        doc.doc, doc.more = documents.encode_definition(definition), documents.encode_state(change.now.state)
        doc.payload = seal(tenant, envelope.schedule_place(definition.id), definition.payload)
    elif isinstance(change.now, LeaseItem):
        doc.doc = lease_document.write(change.now)
    elif isinstance(change.now, SeenRun):
        doc.doc = msgspec.json.encode(change.now).decode()
    return doc


def _change(tenant: str, doc: _ChangeDoc, unseal: Sealer) -> Change:
    now = None if doc.doc is None else _READERS[doc.type](tenant, doc, doc.doc, unseal)
    return Change(doc.type, doc.id, doc.at_ms, doc.owner, now)


def _execution(tenant: str, doc: _ChangeDoc, stored: str, unseal: Sealer) -> Changed:
    at = parse_id(tenant, doc.id)
    assert at is not None
    return with_texts(documents.decode_execution(at, stored), unseal)


def _schedule(tenant: str, doc: _ChangeDoc, stored: str, unseal: Sealer) -> Changed:
    at = Key(tenant, doc.id)
    payload = unseal(tenant, envelope.schedule_place(at.id), doc.payload)
    return Schedule(documents.decode_definition(at, stored, payload), documents.decode_state(at, doc.more))


def _lease(_tenant: str, _doc: _ChangeDoc, stored: str, _unseal: Sealer) -> Changed:
    return lease_document.read(stored)


def _run(_tenant: str, _doc: _ChangeDoc, stored: str, _unseal: Sealer) -> Changed:
    return _read_run(stored)


_READERS: Mapping[str, Callable[[str, _ChangeDoc, str, Sealer], Changed]] = {
    "execution": _execution,
    "schedule": _schedule,
    "lease": _lease,
    "workflow_run": _run,
}
