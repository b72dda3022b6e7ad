"""All stores of a deployment in one PostgreSQL database."""

from __future__ import annotations

from chalicelib.adapters.postgres.alerts import PostgresAlertStore
from chalicelib.adapters.postgres.audit import PostgresAuditStore
from chalicelib.adapters.postgres.bulk_jobs import PostgresBulkJobStore
from chalicelib.adapters.postgres.changes import PostgresChangeStore
from chalicelib.adapters.postgres.cursors import PostgresCursorStore
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.executions import PostgresExecutionStore
from chalicelib.adapters.postgres.idempotency import PostgresIdempotencyStore
from chalicelib.adapters.postgres.keys import PostgresKeyStore
from chalicelib.adapters.postgres.large_values import PostgresLargeValueStore
from chalicelib.adapters.postgres.leases import PostgresLeaseStore
from chalicelib.adapters.postgres.logs import PostgresLogStore
from chalicelib.adapters.postgres.metrics import PostgresMetricStore
from chalicelib.adapters.postgres.policies import PostgresPolicyStore
from chalicelib.adapters.postgres.queues import PostgresQueueStore
from chalicelib.adapters.postgres.quotas import PostgresQuotaStore
from chalicelib.adapters.postgres.roles import PostgresRoleStore
from chalicelib.adapters.postgres.runs import PostgresRunStore
from chalicelib.adapters.postgres.schedules import PostgresScheduleStore
from chalicelib.adapters.postgres.ticks import PostgresTickStore
from chalicelib.adapters.postgres.triggers import PostgresTriggerStore
from chalicelib.adapters.postgres.workflows import PostgresWorkflowStore
from chalicelib.core.changes.limits import CHANGES_RETENTION_S
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.ports.services import Stores


def open_stores(
    database: PostgresDatabase,
    retention_s: int = HISTORY_RETENTION_S,
    changes_retention_s: int = CHANGES_RETENTION_S,
) -> Stores:
    """The stores over one database. Opens nothing: it connects when the first store is used.

    ``retention_s``: how long finished executions, versions of schedules and ticks are kept; ``changes_retention_s``
    the log of changes.
    """
    return Stores(
        schedules=PostgresScheduleStore(database, retention_s),
        executions=PostgresExecutionStore(database, retention_s),
        cursors=PostgresCursorStore(database),
        leases=PostgresLeaseStore(database),
        metrics=PostgresMetricStore(database),
        idempotency=PostgresIdempotencyStore(database),
        logs=PostgresLogStore(database, retention_s),
        ticks=PostgresTickStore(database, retention_s),
        keys=PostgresKeyStore(database),
        roles=PostgresRoleStore(database),
        quotas=PostgresQuotaStore(database),
        policies=PostgresPolicyStore(database),
        queues=PostgresQueueStore(database),
        changes=PostgresChangeStore(database, changes_retention_s),
        bulk_jobs=PostgresBulkJobStore(database),
        audit=PostgresAuditStore(database),
        workflows=PostgresWorkflowStore(database),
        runs=PostgresRunStore(database),
        large_values=PostgresLargeValueStore(database),
        alerts=PostgresAlertStore(database),
        triggers=PostgresTriggerStore(database, retention_s),
    )
