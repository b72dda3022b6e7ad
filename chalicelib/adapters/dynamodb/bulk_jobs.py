"""``BulkJobStore`` in DynamoDB: all jobs in one partition, by their ids and so by time; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chalicelib.adapters.dynamodb.database import key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.bulk_job import BULK_RETENTION_S, BulkJob

_PK: Final = "#bulk"
_read = decoder_of(BulkJob).decode


class DynamoBulkJobStore(RegistryItems):
    """``BulkJobStore``: jobs are few and small, and reconcile looks for those that run."""

    def load(self, tenant: str, job_id: str) -> BulkJob | None:
        """A tenant's job of this id."""
        item = self.load_item(_PK, job_id)
        job = None if item is None else _read(item["doc"]["S"])
        return job if job is not None and job.tenant == tenant else None

    def save(self, job: BulkJob, expected_rev: int) -> bool:
        """Write a job if its stored rev still is the given one (0: if there is none)."""
        condition: dict[str, Any] = {"ConditionExpression": ABSENT}
        if expected_rev:
            values = {":r": number(expected_rev)}
            condition = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {
            **key(_PK, job.id),
            "doc": text(msgspec.json.encode(job).decode()),
            "rev": number(job.rev),
            "ttl": number(job.created_ms // 1000 + BULK_RETENTION_S),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, **condition)

    def newest(self, limit: int) -> Sequence[BulkJob]:
        """The newest jobs of all tenants."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": text(_PK)},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit,
        )
        return [_read(item["doc"]["S"]) for item in answer["Items"]]
