"""Every sentence of ``QueueStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.ports.services import Stores
from chalicelib.ports.stores.policies import epoch_key
from chalicelib.ports.stores.queues import QueueStore
from tests.kit.threads import run_together


@pytest.fixture
def queues(stores: Stores) -> QueueStore:
    return stores.queues


def epoch(stores: Stores, tenant: str) -> int:
    return stores.schedules.epochs([epoch_key(tenant)]).get(epoch_key(tenant), 0)


def test_none_of_a_tenant_whose_queue_was_never_paused(queues: QueueStore, tenant: str) -> None:
    assert queues.load(tenant) is None


def test_saves_whole_documents_under_their_revision(queues: QueueStore, tenant: str) -> None:
    assert queues.save(tenant, '{"ä":1}', 1, 0)
    assert queues.load(tenant) == ('{"ä":1}', 1)
    assert queues.save(tenant, "{}", 2, 1)
    assert queues.load(tenant) == ("{}", 2)


def test_each_change_raises_the_epoch_that_firings_read(stores: Stores, tenant: str) -> None:
    before = epoch(stores, tenant)
    stores.queues.save(tenant, "{}", 1, 0)
    first = epoch(stores, tenant)
    stores.queues.save(tenant, "{}", 2, 1)
    assert before < first < epoch(stores, tenant)
    assert epoch(stores, tenant + "#") == 0


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_moved_revision_writes_nothing(stores: Stores, tenant: str, wrong: int) -> None:
    stores.queues.save(tenant, "first", 1, 0)
    before = epoch(stores, tenant)
    assert not stores.queues.save(tenant, "second", wrong + 1, wrong)
    assert stores.queues.load(tenant) == ("first", 1)
    assert epoch(stores, tenant) == before


def test_of_many_first_savers_one_wins(queues: QueueStore, tenant: str) -> None:
    won: list[str] = []

    def save(document: str) -> None:
        if queues.save(tenant, document, 1, 0):
            won.append(document)

    run_together([lambda d=str(n): save(d) for n in range(4)])
    assert [queues.load(tenant)] == [(d, 1) for d in won]
