"""``AlertStore`` in DynamoDB: in the table of workflows, whose index of instants it shares; see docs/storage.md."""

from __future__ import annotations

import zlib
from typing import Any, Final, cast

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, key, number, text
from chalicelib.adapters.dynamodb.workflows import at_rev
from chalicelib.ports.stores.alerts import EVERYBODY, AlertKind, AlertRecord, WokenAlert

ALERT_WAKE_SHARDS: Final = 4


class DynamoAlertStore:
    """``AlertStore``: an item a document, in one partition a tenant and kind."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.workflows

    def load(self, tenant: str, kind: AlertKind, record_id: str) -> AlertRecord | None:
        """One document."""
        place = key(_pk(tenant, kind, record_id), record_id)
        item = self._db.read("get_item", TableName=self._table, Key=place, ConsistentRead=True).get("Item")
        return None if item is None else _record(tenant, kind, item)

    def save(self, record: AlertRecord, expected_rev: int) -> bool:
        """Write a document if its stored rev still is ``expected_rev`` (0: if there is none)."""
        item: dict[str, Any] = {
            **key(_pk(record.tenant, record.kind, record.id), record.id),
            "doc": text(record.document),
            "rev": number(record.rev),
        }
        if record.wake_ms is not None:
            shard = zlib.crc32(record.id.encode()) % ALERT_WAKE_SHARDS
            item |= {"wake_in": text(f"alert#{shard}"), "wake_ms": number(record.wake_ms)}
        if record.expires_s is not None:
            item["ttl"] = number(record.expires_s)
        return self._db.write("put_item", TableName=self._table, Item=item, **at_rev(expected_rev))

    def delete(self, tenant: str, kind: AlertKind, record_id: str, expected_rev: int) -> bool:
        """Delete a document if its stored rev still is ``expected_rev``."""
        place = key(_pk(tenant, kind, record_id), record_id)
        return expected_rev > 0 and self._db.write(
            "delete_item", TableName=self._table, Key=place, **at_rev(expected_rev)
        )

    def page(self, tenant: str, kind: AlertKind, limit: int, after: str | None) -> tuple[list[AlertRecord], str | None]:
        """A tenant's documents of a kind, the greatest id first, and where to go on (None: the end)."""
        condition, values = "pk = :p", {":p": text(_pk(tenant, kind, ""))}
        if after is not None:
            condition, values = condition + " AND sk < :a", values | {":a": text(after)}
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit,
        )
        found = [_record(tenant, kind, item) for item in answer["Items"]]
        return found, found[-1].id if found and "LastEvaluatedKey" in answer else None

    def woken(self, until_ms: int, limit: int) -> list[WokenAlert]:
        """Documents to check by an instant, of all tenants, the earliest first. May lag."""
        found: list[WokenAlert] = []
        for shard in range(ALERT_WAKE_SHARDS):
            answer = self._db.read(
                "query",
                TableName=self._table,
                IndexName="wake",
                KeyConditionExpression="wake_in = :s AND wake_ms <= :u",
                ExpressionAttributeValues={":s": text(f"alert#{shard}"), ":u": number(until_ms)},
                Limit=limit,
            )
            for item in answer["Items"]:
                tenant, _, kind = item["pk"]["S"].partition("#alerts#")
                place = documents.unescaped(tenant), cast(AlertKind, kind), item["sk"]["S"]
                found.append(WokenAlert(*place, int(item["wake_ms"]["N"])))
        return sorted(found, key=lambda w: (w.wake_ms, w.tenant, w.id))[:limit]


def _record(tenant: str, kind: AlertKind, item: Item) -> AlertRecord:
    wake, ttl = item.get("wake_ms"), item.get("ttl")
    return AlertRecord(
        tenant,
        kind,
        item["sk"]["S"],
        item["doc"]["S"],
        int(item["rev"]["N"]),
        None if wake is None else int(wake["N"]),
        None if ttl is None else int(ttl["N"]),
    )


def _pk(tenant: str, kind: AlertKind, record_id: str) -> str:
    """Tokens belong to no tenant, and are spread by their first letters."""
    if tenant == EVERYBODY:
        return f"#alerts#{kind}#{record_id[:2]}"
    return f"{documents.escaped(tenant)}#alerts#{kind}"
