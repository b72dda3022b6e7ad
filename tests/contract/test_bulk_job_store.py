"""Every sentence of ``BulkJobStore``, on every adapter."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.bulk_job import BulkJob
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.bulk_jobs import BulkJobStore
from tests.kit.records import START_MS


@pytest.fixture
def jobs(stores: Stores) -> BulkJobStore:
    return stores.bulk_jobs


def job(key: Key, **fields: object) -> BulkJob:
    made = BulkJob(
        tenant=key.tenant,
        id=key.id,
        action="retry",
        subject="änn",
        owner_only=None,
        state_wanted="failed",
        to_ms=START_MS,
        matched=3,
        created_ms=START_MS,
    )
    return replace(made, **fields)


def test_a_job_comes_back_as_it_was_saved(jobs: BulkJobStore, key: Key) -> None:
    made = job(key, position="é#1", owner_only="bob", schedule_id="s", owner="o", from_ms=5, done=1, failed=2)
    assert jobs.load(*key) is None
    assert jobs.save(made, 0)
    assert jobs.load(*key) == made
    assert jobs.load("elsewhere", key.id) is None


def test_a_moved_revision_writes_nothing(jobs: BulkJobStore, key: Key) -> None:
    made = job(key)
    assert not jobs.save(made, 1)
    assert jobs.save(made, 0)
    assert not jobs.save(made.cancelled(), 0)
    assert not jobs.save(made.cancelled(), 2)
    assert jobs.load(*key) == made
    assert jobs.save(made.cancelled(), 1)
    assert jobs.load(*key) == made.cancelled()


def test_the_newest_come_first(jobs: BulkJobStore, key: Key) -> None:
    made = [job(Key(key.tenant, f"Z{key.id[1:-1]}{n}")) for n in range(3)]
    for one in made:
        assert jobs.save(one, 0)
    assert list(jobs.newest(2)) == [made[2], made[1]]
