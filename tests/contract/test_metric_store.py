"""Every sentence of ``MetricStore``, on every adapter; and a census of schedules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.metrics import MetricStore
from tests.kit.records import schedule
from tests.kit.threads import run_together


@pytest.fixture
def metrics(stores: Stores) -> MetricStore:
    return stores.metrics


def test_none_until_one_is_written(metrics: MetricStore, tenant: str) -> None:
    assert metrics.load(tenant) is None


def test_saves_whole_documents_under_their_revision(metrics: MetricStore, tenant: str) -> None:
    assert metrics.save(tenant, '{"ä":1}', 1, 0)
    assert metrics.load(tenant) == ('{"ä":1}', 1)
    assert metrics.save(tenant, "{}", 2, 1)
    assert metrics.load(tenant) == ("{}", 2)
    assert metrics.load(tenant + "2") is None


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_moved_revision_writes_nothing(metrics: MetricStore, tenant: str, wrong: int) -> None:
    metrics.save(tenant, "first", 1, 0)
    assert not metrics.save(tenant, "second", wrong + 1, wrong)
    assert metrics.load(tenant) == ("first", 1)


def test_of_many_first_savers_one_wins(metrics: MetricStore, tenant: str) -> None:
    won: list[str] = []

    def save(document: str) -> None:
        if metrics.save(tenant, document, 1, 0):
            won.append(document)

    run_together([lambda d=str(n): save(d) for n in range(8)])
    assert [metrics.load(tenant)] == [(d, 1) for d in won]


def test_a_census_counts_each_schedule_of_the_tenant_once_however_it_is_cut(
    stores: Stores, tenant: str, new_key: Callable[[], Key]
) -> None:
    wanted = [("RATE", "rate:5s", True)] * 3 + [("RATE", "rate:5s", False)] * 2 + [("DELAY", "delay:5s", True)]
    for kind, expr, active in wanted:
        made = schedule(new_key(), type=kind, expr=expr)
        stores.schedules.create(replace(made, definition=replace(made.definition, active=active)))
    for limit in (1, 2, 6, 100):
        found, after = Counter[tuple[str, bool]](), None
        while True:
            page = stores.schedules.census(tenant, limit, after)
            found.update(page.counts)
            after = page.after
            if after is None:
                break
        assert found == {("RATE", True): 3, ("RATE", False): 2, ("DELAY", True): 1}
    assert stores.schedules.census(tenant + "x", 10, None) == ({}, None)
