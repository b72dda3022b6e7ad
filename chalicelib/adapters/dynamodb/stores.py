"""All stores of a deployment over one DynamoDB client."""

from __future__ import annotations

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.dynamodb.cursors import DynamoCursorStore
from chalicelib.adapters.dynamodb.database import Database, Names
from chalicelib.adapters.dynamodb.executions import DynamoExecutionStore
from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.leases import DynamoLeaseStore
from chalicelib.adapters.dynamodb.logs import DynamoLogStore
from chalicelib.adapters.dynamodb.quotas import DynamoQuotaStore
from chalicelib.adapters.dynamodb.roles import DynamoRoleStore
from chalicelib.adapters.dynamodb.schedules import DynamoScheduleStore
from chalicelib.adapters.dynamodb.ticks import DynamoTickStore
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.ports.sealing import UNSEALED, Sealing
from chalicelib.ports.services import Stores


def open_stores(
    client: ClientFactory,
    stage: str,
    retention_s: int = HISTORY_RETENTION_S,
    sealing: Sealing = UNSEALED,
    hasty_client: ClientFactory | None = None,
) -> Stores:
    """The stores of ``stage``. Opens nothing: ``client`` is called when the first store is used.

    ``retention_s``: how long finished executions, versions of schedules and ticks are kept. ``sealing``: how payloads
    are stored. ``hasty_client`` gives up sooner than ``client``: for what stands in the way of every request.
    """
    names = Names.of_stage(stage)
    database = Database(client, names, sealing)
    return Stores(
        schedules=DynamoScheduleStore(database, retention_s),
        executions=DynamoExecutionStore(database, retention_s),
        cursors=DynamoCursorStore(database),
        leases=DynamoLeaseStore(database),
        idempotency=DynamoIdempotencyStore(database),
        logs=DynamoLogStore(database, retention_s),
        ticks=DynamoTickStore(database, retention_s),
        roles=DynamoRoleStore(database),
        quotas=DynamoQuotaStore(hasty_client or client, names),
    )
