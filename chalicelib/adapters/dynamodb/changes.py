"""``ChangeStore`` in DynamoDB: an item for each tenant's head, and one a segment, compressed; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.dynamodb import change_documents, documents
from chalicelib.adapters.dynamodb.database import Database, Item, Value, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.core.changes.change_log import LogHead, Segment, position_text
from chalicelib.core.changes.limits import CHANGES_RETENTION_S

_HEAD: Final = "head"
_AFTER_HEADS: Final = ":"  # sorts after every digit, and before the head


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
        return change_documents.read_head(tenant, item["doc"]["S"], int(item["rev"]["N"]))

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
        doc = change_documents.write_head(head)
        item = {**key(_log(head.tenant), _HEAD), "doc": text(doc), "rev": number(head.rev)}
        return {"TableName": self._table, "Item": item, **condition}

    def _put_segment(self, segment: Segment) -> dict[str, Any]:
        packed = change_documents.pack(segment, self._db.sealing.seal)
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
        changes = change_documents.unpack(tenant, packed, self._db.sealing.unseal)
        return Segment(tenant, int(item["first"]["N"]), int(item["written"]["N"]), changes)


def _log(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#changes"
