"""Every sentence of ``CursorStore``, on every adapter."""

from __future__ import annotations

import pytest

from chalicelib.ports.services import Stores
from chalicelib.ports.stores.cursors import CursorStore
from tests.kit.threads import run_together


@pytest.fixture
def cursors(stores: Stores) -> CursorStore:
    return stores.cursors


def test_is_rev_0_and_empty_when_there_is_none(cursors: CursorStore, tenant: str) -> None:
    assert cursors.load(tenant) == (0, {})


def test_counts_revisions(cursors: CursorStore, tenant: str) -> None:
    assert cursors.save(tenant, {"a": 1, "b": -(1 << 60)}, 0)
    assert cursors.load(tenant) == (1, {"a": 1, "b": -(1 << 60)})
    assert cursors.save(tenant, {"c": 2}, 1)
    assert cursors.load(tenant) == (2, {"c": 2})


@pytest.mark.parametrize("wrong", [0, 2, 7])
def test_a_moved_revision_writes_nothing(cursors: CursorStore, tenant: str, wrong: int) -> None:
    cursors.save(tenant, {"a": 1}, 0)
    assert not cursors.save(tenant, {"a": 9}, wrong)
    assert cursors.load(tenant) == (1, {"a": 1})


def test_one_that_is_missing_is_not_made_under_a_revision(cursors: CursorStore, tenant: str) -> None:
    assert not cursors.save(tenant, {"a": 1}, 3)
    assert cursors.load(tenant) == (0, {})


def test_what_was_loaded_does_not_change(cursors: CursorStore, tenant: str) -> None:
    values = {"a": 1}
    cursors.save(tenant, values, 0)
    values["a"] = 5
    assert cursors.load(tenant).values == {"a": 1}


def test_no_update_is_lost_between_threads(cursors: CursorStore, tenant: str) -> None:
    won: list[int] = []

    def work() -> None:
        for _ in range(20):
            cursor = cursors.load(tenant)
            if cursors.save(tenant, {"n": cursor.values.get("n", 0) + 1}, cursor.rev):
                won.append(cursor.rev)

    run_together([work] * 5)
    assert cursors.load(tenant) == (len(won), {"n": len(won)})
    assert sorted(won) == list(range(len(won)))
