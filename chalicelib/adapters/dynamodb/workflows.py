"""``WorkflowStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT
from chalicelib.core.decoders import decoder_of
from chalicelib.ports.stores.workflows import WorkflowHead

_read: Final = decoder_of(WorkflowHead).decode


class DynamoWorkflowStore:
    """``WorkflowStore``: an item a workflow, in one partition a tenant, and an item a version."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.workflows

    def load(self, tenant: str, name: str) -> WorkflowHead | None:
        """A workflow."""
        answer = self._db.read("get_item", TableName=self._table, Key=key(_heads(tenant), name), ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else _read(item["doc"]["S"])

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[WorkflowHead], str | None]:
        """A tenant's workflows by name, after a name, and the name to go on after (None: the end)."""
        condition, values = "pk = :p", {":p": text(_heads(tenant))}
        if after is not None:
            condition, values = condition + " AND sk > :a", values | {":a": text(after)}
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            Limit=limit,
        )
        found = [_read(item["doc"]["S"]) for item in answer["Items"]]
        return found, found[-1].name if found and "LastEvaluatedKey" in answer else None

    def save(self, head: WorkflowHead, expected_rev: int) -> bool:
        """Write a workflow if its stored rev still is ``expected_rev`` (0: if there is none)."""
        doc = text(msgspec.json.encode(head).decode())
        item = {**key(_heads(head.tenant), head.name), "doc": doc, "rev": number(head.rev)}
        return self._db.write("put_item", TableName=self._table, Item=item, **at_rev(expected_rev))

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a workflow if its stored rev still is ``expected_rev``."""
        if not expected_rev:
            return False
        gone = key(_heads(tenant), name)
        return self._db.write("delete_item", TableName=self._table, Key=gone, **at_rev(expected_rev))

    def save_version(self, tenant: str, name: str, version: str, document: str) -> None:
        """Keep the document of a version."""
        packed = {"B": zlib.compress(document.encode())}
        item = {**key(_versions(tenant, name), version), "packed": packed}
        self._db.write("put_item", TableName=self._table, Item=item)

    def load_version(self, tenant: str, name: str, version: str) -> str | None:
        """The document of a version."""
        found = key(_versions(tenant, name), version)
        item = self._db.read("get_item", TableName=self._table, Key=found, ConsistentRead=True).get("Item")
        return None if item is None else zlib.decompress(bytes(item["packed"]["B"])).decode()


def at_rev(rev: int) -> dict[str, Any]:
    """The condition that the stored rev is this one (0: that there is no item)."""
    if not rev:
        return {"ConditionExpression": ABSENT}
    return {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": {":r": number(rev)}}


def _heads(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#workflows"


def _versions(tenant: str, name: str) -> str:
    return f"{documents.escaped(tenant)}#workflow#{documents.escaped(name)}"
