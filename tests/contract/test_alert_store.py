"""Every sentence of ``AlertStore``, on every adapter."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.alerts import EVERYBODY, AlertRecord, AlertStore
from tests.kit.records import START_MS


@pytest.fixture
def alerts(stores: Stores) -> AlertStore:
    return stores.alerts


def record(key: Key, **fields: object) -> AlertRecord:
    return replace(AlertRecord(key.tenant, "monitor", key.id, '{"é":1}', 1), **fields)


def test_a_document_comes_back_as_it_was_saved(alerts: AlertStore, key: Key) -> None:
    made = record(key, wake_ms=START_MS, expires_s=START_MS // 1000)
    assert alerts.load(key.tenant, "monitor", key.id) is None
    assert alerts.save(made, 0)
    assert alerts.load(key.tenant, "monitor", key.id) == made
    assert alerts.load(key.tenant, "rule", key.id) is None
    assert alerts.load(f"{key.tenant}x", "monitor", key.id) is None


def test_a_moved_revision_writes_and_deletes_nothing(alerts: AlertStore, key: Key) -> None:
    made = record(key)
    assert not alerts.save(made, 1)
    assert alerts.save(made, 0)
    assert not alerts.save(made, 0)
    newer = record(key, rev=2, document="{}")
    assert alerts.save(newer, 1)
    assert not alerts.delete(key.tenant, "monitor", key.id, 1)
    assert not alerts.delete(key.tenant, "monitor", key.id, 0)
    assert alerts.load(key.tenant, "monitor", key.id) == newer
    assert alerts.delete(key.tenant, "monitor", key.id, 2)
    assert not alerts.delete(key.tenant, "monitor", key.id, 2)
    assert alerts.load(key.tenant, "monitor", key.id) is None


def test_pages_go_from_the_greatest_id_down(alerts: AlertStore, key: Key) -> None:
    made = [record(key, id=f"{key.id}{n}", kind="sent") for n in range(5)]
    for one in made:
        assert alerts.save(one, 0)
    first, after = alerts.page(key.tenant, "sent", 3, None)
    assert first == [made[4], made[3], made[2]]
    rest, end = alerts.page(key.tenant, "sent", 3, after)
    assert (rest, end) == ([made[1], made[0]], None)
    assert alerts.page(key.tenant, "rule", 3, None) == ([], None)


def test_tokens_are_of_no_tenant(alerts: AlertStore, key: Key) -> None:
    token = record(key, tenant=EVERYBODY, kind="token")
    assert alerts.save(token, 0)
    assert alerts.load(EVERYBODY, "token", key.id) == token


def test_what_is_to_be_checked_comes_the_earliest_first(alerts: AlertStore, key: Key) -> None:
    made = [record(key, id=f"{key.id}{n}", kind="book", wake_ms=START_MS - n) for n in range(3)]
    for one in (*made, record(key, id=f"{key.id}z")):
        assert alerts.save(one, 0)

    def mine(until_ms: int) -> list[tuple[str, str, int]]:
        return [(w.kind, w.id, w.wake_ms) for w in alerts.woken(until_ms, 100) if w.tenant == key.tenant]

    assert mine(START_MS - 1) == [("book", made[n].id, START_MS - n) for n in (2, 1)]
    assert alerts.save(replace(made[2], rev=2, wake_ms=None), 1)
    assert mine(START_MS) == [("book", made[n].id, START_MS - n) for n in (1, 0)]
