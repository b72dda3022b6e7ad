"""Every sentence of ``QuotaStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.quotas import QuotaStore
from tests.kit.records import START_MS
from tests.kit.threads import run_together

NOW_S = START_MS // 1000
HALF = SharedBucket(START_MS * 1000 + 250_000, 25)


@pytest.fixture
def quotas(stores: Stores) -> QuotaStore:
    return stores.quotas


@pytest.fixture
def reads(tenant: str) -> QuotaKey:
    return QuotaKey(tenant, "someone", "reads")


def test_the_first_is_written_under_rev_0(quotas: QuotaStore, reads: QuotaKey) -> None:
    assert quotas.swap(reads, HALF, 0, NOW_S) is None
    assert quotas.swap(reads, SharedBucket(), 0, NOW_S) == (HALF, 1)


def test_each_write_moves_the_revision(quotas: QuotaStore, reads: QuotaKey) -> None:
    for rev in range(3):
        assert quotas.swap(reads, SharedBucket(rev, rev), rev, NOW_S) is None
    assert quotas.swap(reads, HALF, 1, NOW_S) == (SharedBucket(2, 2), 3)


def test_where_there_is_none_a_full_bucket_stands(quotas: QuotaStore, reads: QuotaKey) -> None:
    assert quotas.swap(reads, HALF, 7, NOW_S) == (SharedBucket(), 0)
    assert quotas.swap(reads, HALF, 0, NOW_S) is None


def test_principals_and_quotas_are_apart(quotas: QuotaStore, tenant: str, reads: QuotaKey) -> None:
    others = [
        QuotaKey(tenant, "someone", "writes"),
        QuotaKey(tenant, "someone#else", "reads"),
        QuotaKey(f"{tenant}#quota", "someone", "reads"),
        QuotaKey(tenant, "ä" * 2000, "reads"),
        QuotaKey(tenant, "ä" * 2001, "reads"),
        QuotaKey(tenant, "", "reads"),
    ]
    assert quotas.swap(reads, HALF, 0, NOW_S) is None
    for number, key in enumerate(others):
        assert quotas.swap(key, SharedBucket(number, number), 0, NOW_S) is None
    assert [quotas.swap(key, HALF, 0, NOW_S) for key in others] == [(SharedBucket(n, n), 1) for n in range(len(others))]


def test_of_several_at_once_one_wins(quotas: QuotaStore, reads: QuotaKey) -> None:
    won: list[int] = []

    def work() -> None:
        rev = 0
        for _ in range(20):
            standing = quotas.swap(reads, SharedBucket(rev, rev), rev, NOW_S)
            if standing is None:
                won.append(rev)
                rev += 1
            else:
                rev = standing.rev

    run_together([work] * 5)
    assert sorted(won) == list(range(len(won)))
    standing = quotas.swap(reads, HALF, 0, NOW_S)
    assert standing is not None
    assert standing.rev == len(won)
