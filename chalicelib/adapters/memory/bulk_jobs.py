"""``BulkJobStore`` in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from chalicelib.core.executions.bulk_job import BulkJob


class MemoryBulkJobStore:
    """``BulkJobStore`` in memory: nothing is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, BulkJob] = {}

    def load(self, tenant: str, job_id: str) -> BulkJob | None:
        """A tenant's job of this id."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job if job is not None and job.tenant == tenant else None

    def save(self, job: BulkJob, expected_rev: int) -> bool:
        """Write a job if its stored rev still is the given one (0: if there is none)."""
        with self._lock:
            stored = self._jobs.get(job.id)
            if (0 if stored is None else stored.rev) != expected_rev:
                return False
            self._jobs[job.id] = job
            return True

    def newest(self, limit: int) -> Sequence[BulkJob]:
        """The newest jobs of all tenants."""
        with self._lock:
            return [self._jobs[job_id] for job_id in sorted(self._jobs, reverse=True)[:limit]]
