"""``BulkJobStore`` in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST, DocumentRows
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.bulk_job import BULK_RETENTION_S, BulkJob

_read = decoder_of(BulkJob).decode


class PostgresBulkJobStore:
    """``BulkJobStore``: a document a job, by their ids and so by time."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._rows = DocumentRows(database, "bulk job")

    def load(self, tenant: str, job_id: str) -> BulkJob | None:
        """A tenant's job of this id."""
        found = self._rows.load("", job_id)
        job = None if found is None else _read(found[0])
        return job if job is not None and job.tenant == tenant else None

    def save(self, job: BulkJob, expected_rev: int) -> bool:
        """Write a job if its stored rev still is the given one (0: if there is none)."""
        doc = msgspec.json.encode(job).decode()
        return self._rows.save("", job.id, doc, job.rev, expected_rev, job.created_ms // 1000 + BULK_RETENTION_S)

    def newest(self, limit: int) -> Sequence[BulkJob]:
        """The newest jobs of all tenants."""
        return [_read(kept.doc) for kept in self._rows.between("", "", LAST, limit, newest_first=True)]
