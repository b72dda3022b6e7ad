"""Cursors, leases and idempotency records in DynamoDB: small items of the registry table; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.adapters.aws.clients import write_idempotent
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, key, number, text
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import HISTORY_RETENTION_S, IDEMPOTENCY_RETENTION_S
from chalicelib.ports.stores.cursors import Cursor
from chalicelib.ports.stores.idempotency import Remembered
from chalicelib.ports.stores.logs import LogLine

_ABSENT: Final = "attribute_not_exists(pk)"


class _Registry:
    """Single items of the registry table."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.registry

    def _load(self, pk: str, sk: str) -> Item | None:
        answer = self._db.read("get_item", TableName=self._table, Key=key(pk, sk), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def _save(self, pk: str, sk: str, doc: str, rev: int, expected_rev: int) -> bool:
        """Replace the item if its rev still is ``expected_rev`` (0: if there is none)."""
        arguments: dict[str, Any] = {"ConditionExpression": _ABSENT}
        if expected_rev:
            values = {":r": number(expected_rev)}
            arguments = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {**key(pk, sk), "doc": text(doc), "rev": number(rev)}
        return self._db.write("put_item", TableName=self._table, Item=item, **arguments)


class DynamoCursorStore(_Registry):
    """``CursorStore``: one item a cursor."""

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        item = self._load(f"#cursor#{name}", "cursor")
        if item is None:
            return Cursor(0, {})
        return Cursor(int(item["rev"]["N"]), documents.decode_values(item["doc"]["S"]))

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor under the next rev if its stored rev still is the given one."""
        doc = documents.encode_values(dict(values))
        return self._save(f"#cursor#{name}", "cursor", doc, expected_rev + 1, expected_rev)


class DynamoLeaseStore(_Registry):
    """``LeaseStore``: all leases of a tenant in one partition, so that they can be listed by name."""

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        item = self._load(_leases(tenant), name)
        return None if item is None else (item["doc"]["S"], int(item["rev"]["N"]))

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self._save(_leases(tenant), name, document, rev, expected_rev)

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        values = {":p": text(_leases(tenant))}
        condition = "pk = :p"
        if after is not None:
            values[":a"] = text(after)
            condition += " AND sk > :a"
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            Limit=limit + 1,
        )
        items = answer["Items"][:limit]
        more = len(answer["Items"]) > limit or "LastEvaluatedKey" in answer
        return [i["doc"]["S"] for i in items], items[-1]["sk"]["S"] if more and items else None


class DynamoIdempotencyStore(_Registry):
    """``IdempotencyStore``: one item a key, forgotten a day after the first call."""

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none: None when written, otherwise the record that stands.

        DynamoDB removes expired items late, so one that has expired by the time of ``record`` counts as none.
        """
        client = self._db.client()
        arguments = {
            "TableName": self._table,
            "Item": {**self._key(tenant, key), **_attributes(record), "ttl": number(_expiry(record))},
            "ConditionExpression": f"{_ABSENT} OR #t <= :now",
            "ExpressionAttributeNames": {"#t": "ttl"},
            "ExpressionAttributeValues": {":now": number(record.started_ms // 1000)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            write_idempotent(lambda: client.put_item(**arguments))
        except client.exceptions.ConditionalCheckFailedException as lost:
            standing = _remembered(lost.response["Item"])
            # A repeat of this very call after a lost answer finds its own first try, which is as good as this one.
            return None if standing == record else standing
        return None

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``); its expiry stays."""
        return self._db.write(
            "update_item",
            TableName=self._table,
            Key=self._key(tenant, key),
            UpdateExpression="SET body_hash = :b, seed = :s, started = :n",
            ConditionExpression="attribute_not_exists(answer) AND started = :old",
            ExpressionAttributeValues={
                ":b": text(record.body_hash),
                ":s": text(record.seed),
                ":n": number(record.started_ms),
                ":old": number(stale.started_ms),
            },
        )

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer. Where an answer stands already, the first one stays."""
        assert record.answer is not None, "a finished call has an answer"
        self._db.write(
            "update_item",
            TableName=self._table,
            Key=self._key(tenant, key),
            UpdateExpression="SET body_hash = :b, seed = :s, started = :n, answer = :a, #t = if_not_exists(#t, :t)",
            ConditionExpression="attribute_not_exists(answer)",
            ExpressionAttributeNames={"#t": "ttl"},
            ExpressionAttributeValues={
                ":b": text(record.body_hash),
                ":s": text(record.seed),
                ":n": number(record.started_ms),
                ":a": text(record.answer),
                ":t": number(_expiry(record)),
            },
        )

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing; an answer that another call gave stays."""
        self._db.write(
            "delete_item",
            TableName=self._table,
            Key=self._key(tenant, key),
            ConditionExpression="attribute_not_exists(answer)",
        )

    def _key(self, tenant: str, key_text: str) -> dict[str, Any]:
        return key(f"{documents.escaped(tenant)}#idempotency#{key_text}", "idempotency")


class DynamoLogStore(_Registry):
    """``LogStore``: one item a line, kept as long as a record that ended when the line was written."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        super().__init__(database)
        self._retention_s = retention_s

    def append(self, execution: ExecutionKey, line: LogLine) -> bool:
        """Write a line unless its number is taken."""
        item = {
            **key(_log(execution), f"{line.number:06d}"),
            "doc": text(documents.encode_line(line)),
            "ttl": number(line.at_ms // 1000 + self._retention_s),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, ConditionExpression=_ABSENT)

    def last(self, execution: ExecutionKey) -> int:
        """The highest number; 0 when there is no line."""
        answer = self._query(execution, 0, ScanIndexForward=False, Limit=1)
        return int(answer["Items"][0]["sk"]["S"]) if answer["Items"] else 0

    def page(self, execution: ExecutionKey, limit: int, after: int) -> tuple[list[LogLine], int | None]:
        """Lines in order, after a number."""
        answer = self._query(execution, after, Limit=limit + 1)
        items = answer["Items"][:limit]
        lines = [documents.decode_line(i["doc"]["S"]) for i in items]
        more = len(answer["Items"]) > limit or "LastEvaluatedKey" in answer
        return lines, lines[-1].number if more and lines else None

    def _query(self, execution: ExecutionKey, after: int, **how: Any) -> dict[str, Any]:
        return self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk > :a",
            ExpressionAttributeValues={":p": text(_log(execution)), ":a": text(f"{after:06d}")},
            ConsistentRead=True,
            **how,
        )


def _log(execution: ExecutionKey) -> str:
    return f"{documents.escaped(execution.tenant)}#log#{execution.id}"


def _leases(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#lease"


def _expiry(record: Remembered) -> int:
    return record.started_ms // 1000 + IDEMPOTENCY_RETENTION_S


def _attributes(record: Remembered) -> dict[str, Any]:
    attributes = {
        "body_hash": text(record.body_hash),
        "seed": text(record.seed),
        "started": number(record.started_ms),
    }
    return attributes if record.answer is None else {**attributes, "answer": text(record.answer)}


def _remembered(item: Item) -> Remembered:
    record = Remembered(item["body_hash"]["S"], item["seed"]["S"], int(item["started"]["N"]))
    return record if "answer" not in item else replace(record, answer=item["answer"]["S"])
