"""``QueueStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import key, number, text
from chalicelib.adapters.dynamodb.epochs import EpochItems, at_rev

_SK: Final = "queue"


class DynamoQueueStore(EpochItems):
    """``QueueStore``: one item a tenant."""

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant's queue was never paused."""
        item = self.load_item(_queue(tenant), _SK)
        return None if item is None else (item["doc"]["S"], int(item["rev"]["N"]))

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        item = {**key(_queue(tenant), _SK), "doc": text(document), "rev": number(rev)}
        return self.write_raising(tenant, [{"Put": {"TableName": self._table, "Item": item, **at_rev(expected_rev)}}])


def _queue(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#queue"
