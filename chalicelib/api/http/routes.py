"""All calls of the API, noun by noun."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.api.agents.operations import operations as agent_operations
from chalicelib.api.audit.operations import operations as audit_operations
from chalicelib.api.changes.operations import operations as change_operations
from chalicelib.api.clock.operations import operations as clock_operations
from chalicelib.api.cluster.operations import operations as cluster_operations
from chalicelib.api.console.operations import operations as console_operations
from chalicelib.api.executions import bulk_jobs
from chalicelib.api.executions.operations import operations as execution_operations
from chalicelib.api.health.operations import operations as health_operations
from chalicelib.api.heartbeats.operations import operations as heartbeat_operations
from chalicelib.api.http import docs
from chalicelib.api.http.operations import Operation, Table
from chalicelib.api.jobs.operations import operations as job_operations
from chalicelib.api.keys.operations import operations as key_operations
from chalicelib.api.leases.operations import operations as lease_operations
from chalicelib.api.metrics.operations import operations as metric_operations
from chalicelib.api.notices.operations import operations as notice_operations
from chalicelib.api.policies.operations import operations as policy_operations
from chalicelib.api.queues.operations import operations as queue_operations
from chalicelib.api.roles.operations import operations as role_operations
from chalicelib.api.runs.operations import operations as run_operations
from chalicelib.api.schedules import bulk, explain, files, outlook, words
from chalicelib.api.schedules.operations import operations as schedule_operations
from chalicelib.api.sessions.operations import operations as session_operations
from chalicelib.api.subjects.operations import operations as subject_operations
from chalicelib.api.tasks.operations import operations as task_operations
from chalicelib.api.ticks.operations import operations as tick_operations
from chalicelib.api.travel.operations import operations as travel_operations
from chalicelib.api.triggers.operations import operations as trigger_operations
from chalicelib.api.webhooks.operations import operations as webhook_operations
from chalicelib.api.workflows.operations import operations as workflow_operations


def table() -> Table:
    """A new table, with its own clock watch and health record."""
    operations: list[Operation] = []

    def everything() -> Sequence[Operation]:
        return operations

    operations += schedule_operations()
    operations += bulk.operations()
    operations += files.operations()
    operations += explain.operations()
    operations += outlook.operations()
    operations += words.operations()
    operations += job_operations()
    operations += execution_operations()
    operations += bulk_jobs.operations()
    operations += lease_operations()
    operations += key_operations()
    operations += tick_operations()
    operations += change_operations()
    operations += task_operations()
    operations += clock_operations()
    operations += health_operations()
    operations += cluster_operations()
    operations += metric_operations()
    operations += role_operations()
    operations += queue_operations()
    operations += session_operations()
    operations += policy_operations()
    operations += audit_operations()
    operations += subject_operations()
    operations += webhook_operations()
    operations += console_operations()
    operations += workflow_operations()
    operations += run_operations()
    operations += heartbeat_operations()
    operations += notice_operations()
    operations += travel_operations()
    operations += trigger_operations()
    operations += agent_operations(everything)
    operations += docs.operations(everything)
    return Table(operations)
