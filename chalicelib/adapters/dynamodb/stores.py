"""All stores of a deployment over one DynamoDB client."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.dynamodb.database import Database, Names
from chalicelib.adapters.dynamodb.executions import DynamoExecutionStore
from chalicelib.adapters.dynamodb.registry import (
    DynamoCursorStore,
    DynamoIdempotencyStore,
    DynamoLeaseStore,
    DynamoLogStore,
)
from chalicelib.adapters.dynamodb.schedules import DynamoScheduleStore
from chalicelib.adapters.dynamodb.ticks import DynamoTickStore
from chalicelib.core import limits

__all__ = [
    "DynamoCursorStore",
    "DynamoExecutionStore",
    "DynamoIdempotencyStore",
    "DynamoLeaseStore",
    "DynamoLogStore",
    "DynamoScheduleStore",
    "DynamoTickStore",
    "Stores",
    "open_stores",
]


class Stores(Struct, frozen=True):
    """One of each, over the same tables."""

    schedules: DynamoScheduleStore
    executions: DynamoExecutionStore
    cursors: DynamoCursorStore
    leases: DynamoLeaseStore
    idempotency: DynamoIdempotencyStore
    logs: DynamoLogStore
    ticks: DynamoTickStore


def open_stores(client: ClientFactory, stage: str, retention_s: int = limits.HISTORY_RETENTION_S) -> Stores:
    """The stores of ``stage``. Opens nothing: ``client`` is called when the first store is used.

    ``retention_s``: how long finished executions, versions of schedules and ticks are kept.
    """
    database = Database(client, Names.of_stage(stage))
    return Stores(
        schedules=DynamoScheduleStore(database, retention_s),
        executions=DynamoExecutionStore(database, retention_s),
        cursors=DynamoCursorStore(database),
        leases=DynamoLeaseStore(database),
        idempotency=DynamoIdempotencyStore(database),
        logs=DynamoLogStore(database, retention_s),
        ticks=DynamoTickStore(database, retention_s),
    )
