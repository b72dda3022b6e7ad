"""Jobs over many executions. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chalicelib.core.executions.bulk_job import BulkJob


class BulkJobStore(Protocol):
    """One record a job; a job is forgotten BULK_RETENTION_S after it was made."""

    def load(self, tenant: str, job_id: str) -> BulkJob | None:
        """A tenant's job of this id."""
        ...

    def save(self, job: BulkJob, expected_rev: int) -> bool:
        """Write a job if its stored rev still is the given one (0: if there is none)."""
        ...

    def newest(self, limit: int) -> Sequence[BulkJob]:
        """The newest jobs of all tenants, whatever their state."""
        ...
