"""``PolicyStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Item, key, number, text
from chalicelib.adapters.dynamodb.epochs import EpochItems, at_rev
from chalicelib.ports.stores.policies import KeptPolicy

_REV_DIGITS: Final = 15


class DynamoPolicyStore(EpochItems):
    """``PolicyStore``: an item a policy and one a version."""

    def load(self, tenant: str, name: str) -> KeptPolicy | None:
        """One policy."""
        item = self.load_item(_policies(tenant), name)
        return None if item is None else _kept(name, item)

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[KeptPolicy], str | None]:
        """A tenant's policies by name, after a name, and the name to go on after (None: the end)."""
        condition, values = "pk = :p", {":p": text(_policies(tenant))}
        if after is not None:
            condition, values = condition + " AND sk > :a", values | {":a": text(after)}
        answer = self._query(condition, values, Limit=limit)
        found = [_kept(item["sk"]["S"], item) for item in answer["Items"]]
        return found, found[-1].name if found and "LastEvaluatedKey" in answer else None

    def save(self, tenant: str, policy: KeptPolicy, expected_rev: int) -> bool:
        """Write a policy if its stored rev still is ``expected_rev`` (0: if there is none)."""
        doc = {"doc": text(policy.document), "rev": number(policy.rev)}
        stored = {**key(_policies(tenant), policy.name), **doc}
        version = {**key(_versions(tenant, policy.name), f"{policy.rev:0{_REV_DIGITS}d}"), **doc}
        return self.write_raising(
            tenant,
            [
                {"Put": {"TableName": self._table, "Item": stored, **at_rev(expected_rev)}},
                {"Put": {"TableName": self._table, "Item": version}},
            ],
        )

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a policy if its stored rev still is ``expected_rev``."""
        if not expected_rev:
            return False
        gone = {"TableName": self._table, "Key": key(_policies(tenant), name), **at_rev(expected_rev)}
        return self.write_raising(tenant, [{"Delete": gone}])

    def versions(self, tenant: str, name: str, limit: int) -> list[KeptPolicy]:
        """The newest versions of a policy, newest first."""
        values = {":p": text(_versions(tenant, name))}
        answer = self._query("pk = :p", values, Limit=limit, ScanIndexForward=False)
        return [_kept(name, item) for item in answer["Items"]]

    def _query(self, condition: str, values: dict[str, Any], **how: Any) -> dict[str, Any]:
        return self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            **how,
        )


def _kept(name: str, item: Item) -> KeptPolicy:
    return KeptPolicy(name, item["doc"]["S"], int(item["rev"]["N"]))


def _policies(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#policies"


def _versions(tenant: str, name: str) -> str:
    return f"{documents.escaped(tenant)}#policy#{documents.escaped(name)}"
