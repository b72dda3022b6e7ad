"""Every sentence of ``LeaseStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.ports.services import Stores
from chalicelib.ports.stores.leases import LeaseStore
from tests.kit.threads import run_together


@pytest.fixture
def leases(stores: Stores) -> LeaseStore:
    return stores.leases


def test_none_that_was_never_asked_for(leases: LeaseStore, tenant: str) -> None:
    assert leases.load(tenant, "l") is None


def test_saves_whole_documents_under_their_revision(leases: LeaseStore, tenant: str) -> None:
    assert leases.save(tenant, "a/b:c", '{"ä":1}', 1, 0)
    assert leases.load(tenant, "a/b:c") == ('{"ä":1}', 1)
    assert leases.save(tenant, "a/b:c", "{}", 2, 1)
    assert leases.load(tenant, "a/b:c") == ("{}", 2)


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_moved_revision_writes_nothing(leases: LeaseStore, tenant: str, wrong: int) -> None:
    leases.save(tenant, "l", "first", 1, 0)
    assert not leases.save(tenant, "l", "second", wrong + 1, wrong)
    assert leases.load(tenant, "l") == ("first", 1)


def test_one_that_is_missing_is_not_made_under_a_revision(leases: LeaseStore, tenant: str) -> None:
    assert not leases.save(tenant, "l", "d", 3, 2)
    assert leases.load(tenant, "l") is None


def test_belong_to_their_tenant(leases: LeaseStore, tenant: str) -> None:
    leases.save(tenant, "l", "mine", 1, 0)
    assert leases.load(tenant + "#", "l") is None
    assert leases.list(tenant + "#", 9, None) == ([], None)


def test_lists_by_name_in_pages(leases: LeaseStore, tenant: str) -> None:
    names = ["a", "a.b", "a/b", "a:b", "b", "Z", "_"]
    for name in names:
        leases.save(tenant, name, f"<{name}>", 1, 0)
    expected = [f"<{name}>" for name in sorted(names)]
    assert leases.list(tenant, 7, None) == (expected, None)
    found: list[str] = []
    after = None
    for _ in range(3):
        page, after = leases.list(tenant, 3, after)
        found += page
    assert after is None
    assert found == expected


def test_large_documents(leases: LeaseStore, tenant: str) -> None:
    document = "x" * 300_000
    assert leases.save(tenant, "l", document, 1, 0)
    assert leases.load(tenant, "l") == (document, 1)


def test_of_many_first_savers_one_wins(leases: LeaseStore, tenant: str) -> None:
    won: list[str] = []

    def save(document: str) -> None:
        if leases.save(tenant, "l", document, 1, 0):
            won.append(document)

    run_together([lambda d=str(n): save(d) for n in range(8)])
    assert [leases.load(tenant, "l")] == [(d, 1) for d in won]
