"""``AuditStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Item, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.ports.stores.audit import AuditMark, StoredSegment

_DIGITS: Final = 12
_INTENTS: Final = "#audit-intents"
_OPEN: Final = "#audit-open"
_AFTER_ALL: Final = "9" * (_DIGITS + 1)


class DynamoAuditStore(RegistryItems):
    """``AuditStore``: a partition for each tenant's segments, and one for its pseudonyms. Intents and marks of all
    tenants have one partition each, so that one query finds what was left behind."""

    def append(self, tenant: str, segment: StoredSegment) -> bool:
        """Write the segment unless its number is taken."""
        return self._put(tenant, segment, ConditionExpression=ABSENT)

    def replace(self, tenant: str, segment: StoredSegment, expected_rev: int) -> bool:
        """Write the segment under its number if the stored rev still is ``expected_rev``."""
        values = {":r": number(expected_rev)}
        return self._put(tenant, segment, ConditionExpression="rev = :r", ExpressionAttributeValues=values)

    def newest(self, tenant: str, limit: int, before: int | None = None) -> list[StoredSegment]:
        """Segments with a number below ``before`` (None: any), the highest first."""
        bound = _AFTER_ALL if before is None else _digits(before)
        return [_segment(i) for i in self._query(_chain(tenant), "<", bound, limit, ScanIndexForward=False)]

    def oldest(self, tenant: str, limit: int, after: int = 0) -> list[StoredSegment]:
        """Segments with a number above ``after``, the lowest first."""
        return [_segment(i) for i in self._query(_chain(tenant), ">", _digits(after), limit)]

    def remove(self, tenant: str, number: int) -> None:
        """Delete a segment, if there is one."""
        self._delete(_chain(tenant), _digits(number))

    def note_intent(self, intent_id: str, document: str) -> bool:
        """Write an intent unless there is one with this id."""
        return self.save_item(_INTENTS, intent_id, document, 1, 0)

    def drop_intent(self, intent_id: str) -> None:
        """Delete an intent, if there is one."""
        self._delete(_INTENTS, intent_id)

    def intents(self, before_id: str, limit: int) -> list[tuple[str, str]]:
        """(id, document) of the intents of all tenants whose id is below ``before_id``, in order."""
        return [(i["sk"]["S"], i["doc"]["S"]) for i in self._query(_INTENTS, "<", before_id, limit)]

    def mark(self, mark: AuditMark) -> None:
        """Write the mark in the place of the tenant's earlier one."""
        item = {**key(_OPEN, mark.tenant), "rev": number(mark.at_ms)}
        self._db.write("put_item", TableName=self._table, Item=item)

    def marks(self, limit: int, after: str | None = None) -> list[AuditMark]:
        """Marks by tenant, after a tenant."""
        found = self._query(_OPEN, ">", after or "\x00", limit)
        return [AuditMark(i["sk"]["S"], int(i["rev"]["N"])) for i in found]

    def unmark(self, mark: AuditMark) -> bool:
        """Delete the mark if it still is this one."""
        values = {":r": number(mark.at_ms)}
        return self._delete(_OPEN, mark.tenant, ConditionExpression="rev = :r", ExpressionAttributeValues=values)

    def pseudonym(self, tenant: str, subject: str) -> str | None:
        """The pseudonym of a subject; None: it has none yet, or no longer."""
        item = self.load_item(_subjects(tenant), subject)
        return None if item is None else str(item["doc"]["S"])

    def give_pseudonym(self, tenant: str, subject: str, pseudonym: str) -> bool:
        """Write a subject's pseudonym unless it has one."""
        return self.save_item(_subjects(tenant), subject, pseudonym, 1, 0)

    def forget_subject(self, tenant: str, subject: str) -> None:
        """Delete a subject's pseudonym, if it has one."""
        self._delete(_subjects(tenant), subject)

    def _put(self, tenant: str, segment: StoredSegment, **condition: Any) -> bool:
        item = {
            **key(_chain(tenant), _digits(segment.number)),
            "doc": text(segment.document),
            "rev": number(segment.rev),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, **condition)

    def _delete(self, pk: str, sk: str, **condition: Any) -> bool:
        return self._db.write("delete_item", TableName=self._table, Key=key(pk, sk), **condition)

    def _query(self, pk: str, comparison: str, sk: str, limit: int, **how: Any) -> list[Item]:
        """Items of a partition by sort key; as many as ``limit`` where there are, whatever their size."""
        found: list[Item] = []
        for page in self._pages(pk, comparison, sk, {"Limit": limit, **how}):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    def _pages(self, pk: str, comparison: str, sk: str, how: dict[str, Any]) -> Iterator[list[Item]]:
        start: dict[str, Any] = {}
        while True:
            answer = self._db.read(
                "query",
                TableName=self._table,
                KeyConditionExpression=f"pk = :p AND sk {comparison} :s",
                ExpressionAttributeValues={":p": text(pk), ":s": text(sk)},
                ConsistentRead=True,
                **start,
                **how,
            )
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            start["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _segment(item: Item) -> StoredSegment:
    return StoredSegment(int(item["sk"]["S"]), item["doc"]["S"], int(item["rev"]["N"]))


def _digits(value: int) -> str:
    return f"{value:0{_DIGITS}d}"


def _chain(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#audit"


def _subjects(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#audit-subjects"
