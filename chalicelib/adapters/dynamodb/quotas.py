"""``QuotaStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from chalicelib.adapters.aws.clients import ClientFactory, cause_of, code_of, translate
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Item, Names, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT
from chalicelib.core.quotas.limits import QUOTA_RETENTION_S
from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.ports.stores.quotas import StoredBucket

NAME_MAX_BYTES: Final = 900  # of a key's 2,048: longer names are kept by their hash


class DynamoQuotaStore:
    """``QuotaStore``: one item a bucket. ``client`` should give up soon: a request waits for it."""

    def __init__(self, client: ClientFactory, names: Names) -> None:
        self._client = client
        self._table = names.registry

    def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
        """Write the bucket under the next rev if its stored rev still is the given one (0: there is none)."""
        arguments: dict[str, Any] = {"ConditionExpression": ABSENT}
        if expected_rev:
            values = {":r": number(expected_rev)}
            arguments = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {
            **_key(key),
            "doc": text(documents.encode_values({"f": bucket.full_at_us, "l": bucket.leased})),
            "rev": number(expected_rev + 1),
            "ttl": number(now_s + QUOTA_RETENTION_S),
        }
        try:
            self._client().put_item(
                TableName=self._table, Item=item, ReturnValuesOnConditionCheckFailure="ALL_OLD", **arguments
            )
        except Exception as raised:
            error = cause_of(raised)
            if code_of(error) == "ConditionalCheckFailedException":
                return _stored(getattr(error, "response", {}).get("Item"))
            raise translate(error) from raised
        return None


def _key(of: QuotaKey) -> dict[str, Any]:
    return key(f"{_name(of.tenant)}#quota#{_name(of.subject)}", of.quota)


def _name(name: str) -> str:
    escaped = documents.escaped(name)
    if len(escaped.encode()) <= NAME_MAX_BYTES:
        return escaped
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def _stored(item: Item | None) -> StoredBucket:
    if item is None:  # it expired since it was seen
        return StoredBucket(SharedBucket(), 0)
    values = documents.decode_values(item["doc"]["S"])
    return StoredBucket(SharedBucket(values["f"], values["l"]), int(item["rev"]["N"]))
