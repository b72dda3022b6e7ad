"""``LeaseStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import text
from chalicelib.adapters.dynamodb.registry import RegistryItems


class DynamoLeaseStore(RegistryItems):
    """``LeaseStore``: all leases of a tenant in one partition, so that they can be listed by name."""

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        item = self.load_item(_leases(tenant), name)
        return None if item is None else (item["doc"]["S"], int(item["rev"]["N"]))

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self.save_item(_leases(tenant), name, document, rev, expected_rev)

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


def _leases(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#lease"
