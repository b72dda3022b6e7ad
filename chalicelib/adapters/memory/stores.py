"""All stores in memory, as ``ports.services`` wants them: for examples, tests and the simulation.

Every method is atomic, batches item by item; everything is gone with the process. No list lags here, and nothing
fails: who wants that wraps these stores. Safe to share between threads.
"""

from __future__ import annotations

from chalicelib.adapters.memory.alerts import MemoryAlertStore
from chalicelib.adapters.memory.audit import MemoryAuditStore
from chalicelib.adapters.memory.bulk_jobs import MemoryBulkJobStore
from chalicelib.adapters.memory.changes import MemoryChangeStore
from chalicelib.adapters.memory.cursors import MemoryCursorStore
from chalicelib.adapters.memory.executions import MemoryExecutionStore
from chalicelib.adapters.memory.idempotency import MemoryIdempotencyStore
from chalicelib.adapters.memory.keys import MemoryKeyStore
from chalicelib.adapters.memory.large_values import MemoryLargeValueStore
from chalicelib.adapters.memory.leases import MemoryLeaseStore
from chalicelib.adapters.memory.logs import MemoryLogStore
from chalicelib.adapters.memory.metrics import MemoryMetricStore
from chalicelib.adapters.memory.policies import MemoryPolicyStore
from chalicelib.adapters.memory.queues import MemoryQueueStore
from chalicelib.adapters.memory.quotas import MemoryQuotaStore
from chalicelib.adapters.memory.roles import MemoryRoleStore
from chalicelib.adapters.memory.runs import MemoryRunStore
from chalicelib.adapters.memory.schedules import MemoryScheduleStore
from chalicelib.adapters.memory.ticks import MemoryTickStore
from chalicelib.adapters.memory.triggers import MemoryTriggerStore
from chalicelib.adapters.memory.workflows import MemoryWorkflowStore
from chalicelib.ports.services import Stores


def open_stores() -> Stores:
    """Empty stores."""
    policy_epochs: dict[str, int] = {}
    return Stores(
        schedules=MemoryScheduleStore(policy_epochs),
        executions=MemoryExecutionStore(),
        cursors=MemoryCursorStore(),
        leases=MemoryLeaseStore(),
        metrics=MemoryMetricStore(),
        idempotency=MemoryIdempotencyStore(),
        logs=MemoryLogStore(),
        ticks=MemoryTickStore(),
        keys=MemoryKeyStore(),
        roles=MemoryRoleStore(),
        quotas=MemoryQuotaStore(),
        policies=MemoryPolicyStore(policy_epochs),
        queues=MemoryQueueStore(policy_epochs),
        changes=MemoryChangeStore(),
        bulk_jobs=MemoryBulkJobStore(),
        audit=MemoryAuditStore(),
        workflows=MemoryWorkflowStore(),
        runs=MemoryRunStore(),
        large_values=MemoryLargeValueStore(),
        alerts=MemoryAlertStore(),
        triggers=MemoryTriggerStore(),
    )
