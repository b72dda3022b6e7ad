"""``IdempotencyStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.aws.clients import write_idempotent
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Item, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.ports.stores.idempotency import Remembered


class DynamoIdempotencyStore(RegistryItems):
    """``IdempotencyStore``: one item a key, forgotten a day after the first call."""

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none: None when written, otherwise the record that stands.

        DynamoDB removes expired items late, so one that has expired by the time of ``record`` counts as none.
        """
        client = self._db.client()
        arguments = {
            "TableName": self._table,
            "Item": {**self._key(tenant, key), **_attributes(record), "ttl": number(_expiry(record))},
            "ConditionExpression": f"{ABSENT} OR #t <= :now",
            "ExpressionAttributeNames": {"#t": "ttl"},
            "ExpressionAttributeValues": {":now": number(record.started_ms // 1000)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            write_idempotent(lambda: client.put_item(**arguments))
        except client.exceptions.ConditionalCheckFailedException as lost:
            standing = self._opened(tenant, key, _remembered(lost.response["Item"]))
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
        answer = self._db.sealing.seal(tenant, _place(key), record.answer)
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
                ":a": text(answer),
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

    def _opened(self, tenant: str, key: str, record: Remembered) -> Remembered:
        if record.answer is None:
            return record
        return replace(record, answer=self._db.sealing.unseal(tenant, _place(key), record.answer))

    def _key(self, tenant: str, key_text: str) -> dict[str, Any]:
        return key(f"{documents.escaped(tenant)}#idempotency#{key_text}", "idempotency")


def _place(key_text: str) -> str:
    """Where an answer belongs, for sealing: it may hold a payload."""
    return f"answer {key_text}"


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
