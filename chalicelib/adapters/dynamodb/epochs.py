"""Changes of what a tenant's firings are judged by: written together with the epoch that they raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, key, number
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.adapters.machine.system import token
from chalicelib.ports.stores.policies import epoch_key

EPOCH_SK: Final = "policies"


class EpochItems(RegistryItems):
    """Items whose changes raise the tenant's epoch. That lies in the table of schedules, so that the read that a firing
    makes anyway brings it along."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._schedules = database.names.schedules

    def write_raising(self, tenant: str, changes: Sequence[dict[str, Any]]) -> bool:
        """Make the changes and raise the epoch, or nothing. False when a condition failed."""
        epoch = {
            "TableName": self._schedules,
            "Key": key(documents.partition(*epoch_key(tenant)), EPOCH_SK),
            "UpdateExpression": "ADD epoch :one",
            "ExpressionAttributeValues": {":one": number(1)},
        }
        client, request = self._db.client(), token()
        try:
            clients.write_idempotent(
                lambda: client.transact_write_items(
                    TransactItems=[*changes, {"Update": epoch}], ClientRequestToken=request
                )
            )
        except Exception as error:
            if "ConditionalCheckFailed" in clients.reasons_of(error):
                return False
            raise
        return True


def at_rev(rev: int) -> dict[str, Any]:
    """The condition that an item has this rev still (0: that there is none)."""
    if not rev:
        return {"ConditionExpression": ABSENT}
    return {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": {":r": number(rev)}}
