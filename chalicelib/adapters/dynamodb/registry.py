"""Single items of the registry table, which holds what is small; see docs/storage.md."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.adapters.dynamodb.database import Database, Item, key, number, text

ABSENT: Final = "attribute_not_exists(pk)"


class RegistryItems:
    """Single items of the registry table."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.registry

    def load_item(self, pk: str, sk: str) -> Item | None:
        answer = self._db.read("get_item", TableName=self._table, Key=key(pk, sk), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def save_item(self, pk: str, sk: str, doc: str, rev: int, expected_rev: int) -> bool:
        """Replace the item if its rev still is ``expected_rev`` (0: if there is none)."""
        arguments: dict[str, Any] = {"ConditionExpression": ABSENT}
        if expected_rev:
            values = {":r": number(expected_rev)}
            arguments = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {**key(pk, sk), "doc": text(doc), "rev": number(rev)}
        return self._db.write("put_item", TableName=self._table, Item=item, **arguments)
