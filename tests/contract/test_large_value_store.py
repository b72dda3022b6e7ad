"""Every sentence of ``LargeValueStore``, on every adapter; and what only the bucket can get wrong."""

from __future__ import annotations

import os
import uuid

import pytest

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.aws.large_values import S3LargeValueStore
from chalicelib.adapters.dynamodb.large_values import TableLargeValueStore
from chalicelib.core.errors import Unavailable
from chalicelib.core.workflows.limits import OUTPUT_MAX_BYTES
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.large_values import LargeValueStore
from infra.create import create_bucket
from tests.kit.emulator import REGION

BUCKET = f"chronowatch-test-{uuid.uuid4().hex[:12]}-values"


@pytest.fixture(scope="module")
def bucket(clients: Clients) -> S3LargeValueStore:
    for _ in range(2):  # it may be repeated
        create_bucket(clients.get("s3"), BUCKET, REGION)
    return S3LargeValueStore(clients.factory("s3"), BUCKET, "st-1")


@pytest.fixture
def values(stores: Stores) -> LargeValueStore:
    return stores.large_values


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 + 1, OUTPUT_MAX_BYTES])
def test_values_come_back_as_they_were_kept(values: LargeValueStore, tenant: str, size: int) -> None:
    content = os.urandom(size)
    assert values.get(tenant, "r", "n") is None
    values.put(tenant, "r", "n", content)
    values.put(tenant, "r", "n", content)
    assert values.get(tenant, "r", "n") == content
    assert values.get(tenant, "r", "other") is None


def test_no_tenant_and_no_run_sees_values_of_another(values: LargeValueStore, tenant: str) -> None:
    values.put(tenant, "a/b", "n", b"1")
    for other, run in (("elsewhere", "a/b"), (tenant, "a"), (f"{tenant}/a", "b"), (tenant, "a%2Fb"), (tenant, "A/b")):
        assert values.get(other, run, "n") is None


def test_an_id_of_any_length_is_a_run_of_its_own(values: LargeValueStore, tenant: str) -> None:
    """As the items of items of items have."""
    run = "~".join(f"{'n' * 64}~{index}" for index in range(11))
    assert len(run) > 700
    values.put(tenant, run, "n" * 64, b"1")
    assert values.get(tenant, run, "n" * 64) == b"1"
    assert values.get(tenant, run[:-1], "n" * 64) is None


def test_a_purge_takes_all_of_a_run_and_nothing_else(values: LargeValueStore, tenant: str, stores: Stores) -> None:
    for run, count in (("r", 5), ("r2", 1)):
        for number in range(count):
            values.put(tenant, run, f"n{number}", b"x")
    values.put("elsewhere", "r", "n0", b"x")
    assert any(values.purge(tenant, "r") and stores.runs.purge(tenant, "r") for _ in range(5))
    assert [values.get(tenant, "r", f"n{number}") for number in range(5)] == [None] * 5
    assert values.get(tenant, "r2", "n0") == values.get("elsewhere", "r", "n0") == b"x"
    assert values.purge(tenant, "r"), "again it is gone already"


@pytest.mark.emulator
def test_more_objects_than_one_call_deletes_are_deleted_in_several(bucket: S3LargeValueStore, clients: Clients) -> None:
    few_at_once = S3LargeValueStore(clients.factory("s3"), BUCKET, "st-1", purge_at_once=2)
    for number in range(5):
        few_at_once.put("t", "many", f"n{number}", b"x")
    assert [few_at_once.purge("t", "many") for _ in range(4)] == [False, False, False, True]
    assert bucket.get("t", "many", "n4") is None


@pytest.mark.emulator
def test_stages_share_a_bucket_and_see_nothing_of_each_other(bucket: S3LargeValueStore, clients: Clients) -> None:
    other = S3LargeValueStore(clients.factory("s3"), BUCKET, "st-2")
    bucket.put("t", "shared", "n", b"1")
    assert other.get("t", "shared", "n") is None
    assert other.purge("t", "shared")
    assert bucket.get("t", "shared", "n") == b"1"


@pytest.mark.emulator
def test_a_bucket_that_is_not_there_is_an_outage_and_not_a_value_that_is_gone(clients: Clients) -> None:
    nowhere = S3LargeValueStore(clients.factory("s3"), "chronowatch-there-is-none", "s")
    for act in (
        lambda: nowhere.put("t", "r", "n", b"x"),
        lambda: nowhere.get("t", "r", "n"),
        lambda: nowhere.purge("t", "r"),
    ):
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            act()


def test_the_table_leaves_its_values_to_the_purge_of_the_run(stores: Stores, tenant: str) -> None:
    table = TableLargeValueStore(stores.runs)
    table.put(tenant, "r", "n", b"x" * 100_000)
    assert table.get(tenant, "r", "n") == b"x" * 100_000
    assert table.purge(tenant, "r")
    assert any(stores.runs.purge(tenant, "r") for _ in range(5))
    assert table.get(tenant, "r", "n") is None
