"""``KeyStore`` in DynamoDB: an item a key, and one a tenant for its ring; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Item, Value, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.adapters.machine.system import token
from chalicelib.core.keys import api_key, key_ring
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_ring import KeyRing, RingChange
from chalicelib.ports.stores.keys import KeptKey

_SK: Final = "key"


class DynamoKeyStore(RegistryItems):
    """``KeyStore``: a caller with a key names no tenant, so keys are found by their id alone."""

    def load(self, key_id: str) -> KeptKey | None:
        """The key of an id, whatever its tenant."""
        item = self.load_item(_pk(key_id), _SK)
        return None if item is None else _kept(item)

    def load_many(self, key_ids: Sequence[str]) -> dict[str, KeptKey]:
        """Those of these keys that there are, by id."""
        items = self._db.get_many(self._table, [_key(key_id) for key_id in key_ids])
        return {kept.key.id: kept for kept in map(_kept, items)}

    def ring(self, tenant: str) -> KeyRing:
        """A tenant's ring; an empty one at rev 0 when there is none."""
        item = self.load_item(*_ring(tenant))
        return KeyRing(tenant) if item is None else key_ring.read(item["doc"]["S"])

    def change(self, change: RingChange) -> bool:
        """Write the ring if its stored rev is still the one before, and all keys of the change, or nothing."""
        items = [
            {"Put": self._put_ring(change.ring)},
            *({"Put": self._put(made)} for made in change.made),
            *({"Update": self._edit(edited)} for edited in change.edited),
            *({"Delete": {"TableName": self._table, "Key": _key(key_id)}} for key_id in change.removed),
        ]
        client, request = self._db.client(), token()
        try:
            clients.write_idempotent(
                lambda: client.transact_write_items(TransactItems=items, ClientRequestToken=request)
            )
        except Exception as error:
            if "ConditionalCheckFailed" in clients.reasons_of(error):
                return False
            raise
        return True

    def mark_used(self, key_id: str, now_ms: int, unless_since_ms: int) -> bool:
        """Note a use, unless a later one than ``unless_since_ms`` is noted, or there is no such key: then False."""
        return self._db.write(
            "update_item",
            TableName=self._table,
            Key=_key(key_id),
            UpdateExpression="SET used = :n",
            ConditionExpression="attribute_exists(pk) AND (attribute_not_exists(used) OR used <= :s)",
            ExpressionAttributeValues={":n": number(now_ms), ":s": number(unless_since_ms)},
        )

    def _put_ring(self, ring: KeyRing) -> dict[str, Any]:
        condition: dict[str, Any] = {"ConditionExpression": ABSENT}
        if ring.rev > 1:
            values = {":r": number(ring.rev - 1)}
            condition = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {**key(*_ring(ring.tenant)), "doc": text(key_ring.write(ring)), "rev": number(ring.rev)}
        return {"TableName": self._table, "Item": item, **condition}

    def _put(self, made: ApiKey) -> dict[str, Any]:
        item = {**_key(made.id), "doc": text(api_key.write(made))}
        return {"TableName": self._table, "Item": item, "ConditionExpression": ABSENT}

    def _edit(self, edited: ApiKey) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": _key(edited.id),
            "UpdateExpression": "SET doc = :d",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":d": text(api_key.write(edited))},
        }


def _pk(key_id: str) -> str:
    return f"#key#{key_id}"


def _key(key_id: str) -> dict[str, Value]:
    return key(_pk(key_id), _SK)


def _ring(tenant: str) -> tuple[str, str]:
    return f"{documents.escaped(tenant)}#keys", "ring"


def _kept(item: Item) -> KeptKey:
    return KeptKey(api_key.read(item["doc"]["S"]), int(item["used"]["N"]) if "used" in item else None)
