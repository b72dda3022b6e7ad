"""Every sentence of ``PolicyStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.policies import KeptPolicy, PolicyStore, epoch_key
from tests.kit.records import schedule
from tests.kit.threads import run_together


@pytest.fixture
def store(stores: Stores) -> PolicyStore:
    return stores.policies


def names(found: list[KeptPolicy]) -> list[str]:
    return [kept.name for kept in found]


def test_none_of_a_tenant_that_never_made_one(store: PolicyStore, stores: Stores, tenant: str) -> None:
    assert store.load(tenant, "p") is None
    assert store.page(tenant, 10, None) == ([], None)
    assert store.versions(tenant, "p", 10) == []
    assert stores.schedules.epochs([epoch_key(tenant)]) == {}


def test_saves_under_its_revision(store: PolicyStore, tenant: str) -> None:
    first, second = KeptPolicy("p", '{"ä":1}', 7), KeptPolicy("p", "{}", 9)
    assert store.save(tenant, first, 0)
    assert store.load(tenant, "p") == first
    assert store.save(tenant, second, 7)
    assert store.load(tenant, "p") == second


@pytest.mark.parametrize("wrong", [0, 6])
def test_a_moved_revision_writes_nothing(store: PolicyStore, stores: Stores, tenant: str, wrong: int) -> None:
    first = KeptPolicy("p", "first", 7)
    store.save(tenant, first, 0)
    epochs = stores.schedules.epochs([epoch_key(tenant)])
    assert not store.save(tenant, KeptPolicy("p", "second", 9), wrong)
    assert not store.delete(tenant, "p", wrong)
    assert store.load(tenant, "p") == first
    assert store.versions(tenant, "p", 10) == [first]
    assert stores.schedules.epochs([epoch_key(tenant)]) == epochs


def test_one_that_is_missing_is_neither_made_under_a_revision_nor_deleted(store: PolicyStore, tenant: str) -> None:
    assert not store.save(tenant, KeptPolicy("p", "d", 3), 2)
    assert not store.delete(tenant, "p", 2)
    assert store.load(tenant, "p") is None


def test_lists_by_name_and_by_page(store: PolicyStore, tenant: str) -> None:
    for name in ("b", "a", "d", "c"):
        store.save(tenant, KeptPolicy(name, name, 1), 0)
    found, after = store.page(tenant, 3, None)
    assert names(found) == ["a", "b", "c"]
    rest, end = store.page(tenant, 3, after)
    assert (names(rest), end) == (["d"], None)


def test_keeps_its_versions_also_when_it_is_deleted(store: PolicyStore, tenant: str) -> None:
    forms = [KeptPolicy("p", str(rev), rev) for rev in (1, 2, 12)]
    for before, form in zip([0, 1, 2], forms, strict=True):
        store.save(tenant, form, before)
    assert store.delete(tenant, "p", 12)
    assert store.load(tenant, "p") is None
    assert store.versions(tenant, "p", 2) == [forms[2], forms[1]]


def test_every_change_raises_the_epoch_beside_those_of_schedules(
    store: PolicyStore, stores: Stores, tenant: str, key: Key
) -> None:
    stores.schedules.create(schedule(key))
    seen = []
    for change in (
        lambda: store.save(tenant, KeptPolicy("p", "d", 1), 0),
        lambda: store.save(tenant, KeptPolicy("q", "d", 1), 0),
        lambda: store.save(tenant, KeptPolicy("p", "e", 2), 1),
        lambda: store.delete(tenant, "p", 2),
    ):
        assert change()
        found = stores.schedules.epochs([key, epoch_key(tenant)])
        assert found[key] == 1
        seen.append(found[epoch_key(tenant)])
    assert seen == sorted(set(seen))


def test_belong_to_their_tenant(store: PolicyStore, stores: Stores, tenant: str) -> None:
    store.save(tenant, KeptPolicy("p", "mine", 1), 0)
    other = tenant + "#"
    assert store.load(other, "p") is None
    assert store.page(other, 10, None) == ([], None)
    assert store.versions(other, "p", 10) == []
    assert stores.schedules.epochs([epoch_key(other)]) == {}


def test_of_many_first_savers_one_wins(store: PolicyStore, tenant: str) -> None:
    won: list[str] = []

    def save(document: str) -> None:
        if store.save(tenant, KeptPolicy("p", document, 1), 0):
            won.append(document)

    run_together([lambda d=str(n): save(d) for n in range(8)])
    assert [kept.document for kept in store.versions(tenant, "p", 10)] == won
