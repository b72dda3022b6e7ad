"""All stores of a deployment over one DynamoDB client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.dynamodb.cursors import DynamoCursorStore
from chalicelib.adapters.dynamodb.database import Database, Names
from chalicelib.adapters.dynamodb.executions import DynamoExecutionStore
from chalicelib.adapters.dynamodb.schedules import DynamoScheduleStore
from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.core.changes.limits import CHANGES_RETENTION_S
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.ports.sealing import UNSEALED, Sealing
from chalicelib.ports.services import Stores

if TYPE_CHECKING:
    from chalicelib.ports.stores.large_values import LargeValueStore


def open_stores(
    client: ClientFactory,
    stage: str,
    retention_s: int = HISTORY_RETENTION_S,
    sealing: Sealing = UNSEALED,
    hasty_client: ClientFactory | None = None,
    changes_retention_s: int = CHANGES_RETENTION_S,
    large_values: LargeValueStore | None = None,
) -> Stores:
    """The stores of ``stage``. Opens nothing: ``client`` is called when the first store is used.

    ``retention_s``: how long finished executions, versions of schedules and ticks are kept; ``changes_retention_s``
    the log of changes. ``sealing``: how payloads
    are stored. ``hasty_client`` gives up sooner than ``client``: for what stands in the way of every request.
    ``large_values`` keeps what is large in runs (None: the table does).
    """
    names = Names.of_stage(stage)
    database = Database(client, names, sealing)
    lazy_leases: Any = Lazy(partial(_leases, database))
    lazy_metrics: Any = Lazy(partial(_metrics, database))
    lazy_idempotency: Any = Lazy(partial(_idempotency, database))
    lazy_logs: Any = Lazy(partial(_logs, database, retention_s))
    lazy_ticks: Any = Lazy(partial(_ticks, database, retention_s))
    lazy_roles: Any = Lazy(partial(_roles, database))
    lazy_policies: Any = Lazy(partial(_policies, database))
    lazy_queues: Any = Lazy(partial(_queues, database))
    lazy_quotas: Any = Lazy(partial(_quotas, hasty_client or client, names))
    lazy_keys: Any = Lazy(partial(_keys, database))
    lazy_bulk_jobs: Any = Lazy(partial(_bulk_jobs, database))
    lazy_changes: Any = Lazy(partial(_changes, database, changes_retention_s))
    lazy_audit: Any = Lazy(partial(_audit, database))
    lazy_workflows: Any = Lazy(partial(_workflows, database))
    lazy_runs: Any = Lazy(partial(_runs, database))
    lazy_large: Any = large_values or Lazy(partial(_large_values, lazy_runs))
    lazy_alerts: Any = Lazy(partial(_alerts, database))
    lazy_triggers: Any = Lazy(partial(_triggers, database, retention_s))
    # What each firing needs is made now, all else at its first use.
    return Stores(
        schedules=DynamoScheduleStore(database, retention_s),
        executions=DynamoExecutionStore(database, retention_s),
        cursors=DynamoCursorStore(database),
        leases=lazy_leases,
        metrics=lazy_metrics,
        idempotency=lazy_idempotency,
        logs=lazy_logs,
        ticks=lazy_ticks,
        keys=lazy_keys,
        roles=lazy_roles,
        quotas=lazy_quotas,
        policies=lazy_policies,
        queues=lazy_queues,
        changes=lazy_changes,
        bulk_jobs=lazy_bulk_jobs,
        audit=lazy_audit,
        workflows=lazy_workflows,
        runs=lazy_runs,
        large_values=lazy_large,
        alerts=lazy_alerts,
        triggers=lazy_triggers,
    )


def _audit(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.audit import DynamoAuditStore

    return DynamoAuditStore(database)


def _workflows(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.workflows import DynamoWorkflowStore

    return DynamoWorkflowStore(database)


def _runs(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.runs import DynamoRunStore

    return DynamoRunStore(database)


def _large_values(runs: Any) -> Any:
    from chalicelib.adapters.dynamodb.large_values import TableLargeValueStore

    return TableLargeValueStore(runs)


def _alerts(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.alerts import DynamoAlertStore

    return DynamoAlertStore(database)


def _triggers(database: Database, retention_s: int) -> Any:
    from chalicelib.adapters.dynamodb.triggers import DynamoTriggerStore

    return DynamoTriggerStore(database, retention_s)


def _keys(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.keys import DynamoKeyStore

    return DynamoKeyStore(database)


def _bulk_jobs(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.bulk_jobs import DynamoBulkJobStore

    return DynamoBulkJobStore(database)


def _changes(database: Database, retention_s: int) -> Any:
    from chalicelib.adapters.dynamodb.changes import DynamoChangeStore

    return DynamoChangeStore(database, retention_s)


def _leases(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.leases import DynamoLeaseStore

    return DynamoLeaseStore(database)


def _metrics(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.metrics import DynamoMetricStore

    return DynamoMetricStore(database)


def _idempotency(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore

    return DynamoIdempotencyStore(database)


def _logs(database: Database, retention_s: int) -> Any:
    from chalicelib.adapters.dynamodb.logs import DynamoLogStore

    return DynamoLogStore(database, retention_s)


def _ticks(database: Database, retention_s: int) -> Any:
    from chalicelib.adapters.dynamodb.ticks import DynamoTickStore

    return DynamoTickStore(database, retention_s)


def _roles(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.roles import DynamoRoleStore

    return DynamoRoleStore(database)


def _policies(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.policies import DynamoPolicyStore

    return DynamoPolicyStore(database)


def _queues(database: Database) -> Any:
    from chalicelib.adapters.dynamodb.queues import DynamoQueueStore

    return DynamoQueueStore(database)


def _quotas(client: ClientFactory, names: Names) -> Any:
    from chalicelib.adapters.dynamodb.quotas import DynamoQuotaStore

    return DynamoQuotaStore(client, names)
