"""All calls of the API, noun by noun."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.api import bulk, cluster, docs, executions, files, health, jobs, leases, schedules, ticks, time
from chalicelib.api.operations import Operation, Table


def table() -> Table:
    """A new table, with its own clock watch and health record."""
    operations: list[Operation] = []

    def everything() -> Sequence[Operation]:
        return operations

    operations += schedules.operations()
    operations += bulk.operations()
    operations += files.operations()
    operations += jobs.operations()
    operations += executions.operations()
    operations += leases.operations()
    operations += ticks.operations()
    operations += time.operations()
    operations += health.operations()
    operations += cluster.operations()
    operations += docs.operations(everything)
    return Table(operations)
