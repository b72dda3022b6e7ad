"""Every sentence of ``RoleStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.ports.services import Stores
from chalicelib.ports.stores.roles import RoleStore
from tests.kit.threads import run_together


@pytest.fixture
def roles(stores: Stores) -> RoleStore:
    return stores.roles


def test_none_of_a_tenant_that_never_made_one(roles: RoleStore, tenant: str) -> None:
    assert roles.load(tenant) is None


def test_saves_whole_documents_under_their_revision(roles: RoleStore, tenant: str) -> None:
    assert roles.save(tenant, '{"ä":1}', 1, 0)
    assert roles.load(tenant) == ('{"ä":1}', 1)
    assert roles.save(tenant, "{}", 2, 1)
    assert roles.load(tenant) == ("{}", 2)


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_moved_revision_writes_nothing(roles: RoleStore, tenant: str, wrong: int) -> None:
    roles.save(tenant, "first", 1, 0)
    assert not roles.save(tenant, "second", wrong + 1, wrong)
    assert roles.load(tenant) == ("first", 1)


def test_one_that_is_missing_is_not_made_under_a_revision(roles: RoleStore, tenant: str) -> None:
    assert not roles.save(tenant, "d", 3, 2)
    assert roles.load(tenant) is None


def test_belong_to_their_tenant(roles: RoleStore, tenant: str) -> None:
    roles.save(tenant, "mine", 1, 0)
    assert roles.load(tenant + "#") is None


def test_of_many_first_savers_one_wins(roles: RoleStore, tenant: str) -> None:
    won: list[str] = []

    def save(document: str) -> None:
        if roles.save(tenant, document, 1, 0):
            won.append(document)

    run_together([lambda d=str(n): save(d) for n in range(8)])
    assert [roles.load(tenant)] == [(d, 1) for d in won]
