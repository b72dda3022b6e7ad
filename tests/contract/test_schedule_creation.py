"""Creations that end in their middle: nobody sees them, and ``collect`` takes back what they wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.core.schedules.capacity import Used, unlimited
from chalicelib.core.schedules.schedule import Key, Schedule, VersionRef
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import HalfMade, NameTaken, RevisionLost, ScheduleFilter
from tests.kit.records import START_MS, schedule

KeyMaker = Callable[[], Key]
LATER_MS = START_MS + 1
WRITES = 4  # counter, guard, definition, state
PLAIN_WRITES = 2  # definition, state


class Died(Exception):
    """Raised by a call that a process did not live to make."""


class Mortal:
    """A client whose process dies before its ``life``-th write; ``last_words`` are done then."""

    def __init__(self, client: Any, life: int, last_words: Callable[[], object] = lambda: None) -> None:
        self._client = client
        self._life = life
        self._last_words = last_words

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("put_item", "update_item", "delete_item"):
            return method

        def call(**arguments: Any) -> Any:
            self._life -= 1
            if self._life == -1:
                self._last_words()
            return method(**arguments)

        return call


def die() -> None:
    raise Died


def counting(stores: Stores, at: Key, version: str = "v1", **fields: Any) -> Schedule:
    made = schedule(at, version=version, **fields)
    versions = (VersionRef(version, START_MS, True),)
    return replace(made, state=replace(made.state, versions=versions, counted=1, weight_bytes=100))


def plain(stores: Stores, at: Key, version: str = "v1", **fields: Any) -> Schedule:
    """A one-shot that counts nowhere."""
    made = counting(stores, at, version, type="AT", expr="at:2100-01-01T00:00:05Z", **fields)
    return replace(made, state=unlimited(made.state))


def grown(stores: Stores, before: Used) -> Used:
    now = stores.schedules.used()
    return Used(now.jobs - before.jobs, now.weight_bytes - before.weight_bytes)


@pytest.mark.emulator
class TestCreation:
    @pytest.fixture
    def stores(self, clients: Clients, resources: Any) -> Stores:
        mine, _ = resources
        return open_stores(clients.factory("dynamodb"), mine.stage)

    @pytest.fixture
    def mortal(self, clients: Clients, resources: Any) -> Callable[..., Stores]:
        mine, _ = resources

        def stores_of(life: int, last_words: Callable[[], object] = die) -> Stores:
            client = Mortal(clients.get("dynamodb"), life, last_words)
            return open_stores(lambda: client, mine.stage)

        return stores_of

    @pytest.mark.parametrize("life", range(WRITES))
    def test_that_dies_is_seen_by_nobody_and_leaves_nothing(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key, tenant: str, life: int
    ) -> None:
        before = stores.schedules.used()
        with pytest.raises(Died):
            mortal(life).schedules.create(counting(stores, key, name="mine"))
        assert stores.schedules.get([key]) == {}
        assert stores.schedules.collect(START_MS, [key.tenant]) == 0, "it may be under way"
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == (life > 0)
        assert grown(stores, before) == Used(0, 0)
        assert stores.schedules.named(tenant, [("anonymous", "mine")]) == {}
        assert stores.schedules.list(tenant, ScheduleFilter(), 9, None).ids == []
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 0

    def test_that_stood_still_until_it_was_collected_does_not_come_true(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key
    ) -> None:
        before = stores.schedules.used()
        late = mortal(WRITES - 1, lambda: stores.schedules.collect(LATER_MS, [key.tenant]))
        with pytest.raises(RevisionLost):
            late.schedules.create(counting(stores, key, name="mine"))
        assert stores.schedules.get([key]) == {}
        assert grown(stores, before) == Used(0, 0)

    def test_that_was_taken_back_may_be_begun_anew(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key
    ) -> None:
        before = stores.schedules.used()
        with pytest.raises(Died):
            mortal(WRITES - 1).schedules.create(counting(stores, key, name="mine"))
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 1
        again = counting(stores, key, "v2", name="mine", created_at_ms=START_MS + 9_000)
        stores.schedules.create(again)
        assert stores.schedules.get([key]) == {key: again}
        assert grown(stores, before) == Used(1, 100)

    def test_that_died_may_be_gone_on_with(self, stores: Stores, mortal: Callable[..., Stores], key: Key) -> None:
        before = stores.schedules.used()
        first, second = counting(stores, key, name="mine"), counting(stores, key, "v2", name="mine")
        with pytest.raises(Died):
            mortal(WRITES - 1).schedules.create(first)
        with pytest.raises(HalfMade) as half:
            stores.schedules.create(second)
        assert half.value.definition == first.definition
        stores.schedules.create(first)
        assert stores.schedules.get([key]) == {key: first}
        assert grown(stores, before) == Used(1, 100)
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 0
        assert stores.schedules.get([key]) == {key: first}
        assert grown(stores, before) == Used(1, 100)

    def test_of_what_exists_or_was_deleted_changes_nothing(self, stores: Stores, key: Key, tenant: str) -> None:
        made = counting(stores, key, name="mine")
        stores.schedules.create(made)
        before = stores.schedules.used()
        for name in ("mine", "other"):
            with pytest.raises(RevisionLost):
                stores.schedules.create(counting(stores, key, "v2", name=name))
        assert stores.schedules.get([key]) == {key: made}
        assert stores.schedules.named(tenant, [("anonymous", "other")]) == {}
        assert grown(stores, before) == Used(0, 0)

    def test_under_a_taken_name_counts_nothing(self, stores: Stores, new_key: KeyMaker) -> None:
        first, second = (counting(stores, new_key(), name="mine") for _ in range(2))
        stores.schedules.create(first)
        before = stores.schedules.used()
        with pytest.raises(NameTaken):
            stores.schedules.create(second)
        assert stores.schedules.get([second.state.key]) == {}
        assert grown(stores, before) == Used(0, 0)
        assert stores.schedules.collect(LATER_MS, [first.state.tenant]) == 0

    def test_leaves_few_marks(self, stores: Stores, new_key: KeyMaker, tenant: str) -> None:
        before = stores.schedules.used()
        for _ in range(9):
            stores.schedules.create(counting(stores, new_key()))
        store: Any = stores.schedules
        assert len([move for move in store._counters.marked() if move.mark.tenant == tenant]) == 1
        assert grown(stores, before) == Used(9, 900)

    # -- a plain one-shot has neither counter nor mark: its id tells when it was begun

    @pytest.mark.parametrize("life", range(PLAIN_WRITES))
    def test_of_a_plain_one_shot_that_dies_leaves_nothing(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key, life: int
    ) -> None:
        before = stores.schedules.used()
        with pytest.raises(Died):
            mortal(life).schedules.create(plain(stores, key))
        assert stores.schedules.get([key]) == {}
        assert stores.schedules.collect(START_MS, [key.tenant]) == 0, "it may be under way"
        assert stores.schedules.collect(LATER_MS, ["another"]) == 0
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == (life > 0)
        assert stores.schedules.list(key.tenant, ScheduleFilter(), 9, None).ids == []
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 0
        assert grown(stores, before) == Used(0, 0)

    def test_of_a_plain_one_shot_takes_two_writes_and_moves_no_counter(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key
    ) -> None:
        before, made = stores.schedules.used(), plain(stores, key)
        mortal(PLAIN_WRITES).schedules.create(made)
        assert stores.schedules.get([key]) == {key: made}
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 0
        assert stores.schedules.get([key]) == {key: made}
        with pytest.raises(RevisionLost):
            stores.schedules.create(plain(stores, key, "v2"))
        assert stores.schedules.get([key]) == {key: made}
        assert grown(stores, before) == Used(0, 0)

    def test_of_a_plain_one_shot_that_stood_still_does_not_come_true(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key
    ) -> None:
        late = mortal(PLAIN_WRITES - 1, lambda: stores.schedules.collect(LATER_MS, [key.tenant]))
        with pytest.raises(RevisionLost):
            late.schedules.create(plain(stores, key))
        assert stores.schedules.get([key]) == {}

    def test_of_a_plain_one_shot_that_is_run_again_is_left_to_it(
        self, stores: Stores, mortal: Callable[..., Stores], key: Key
    ) -> None:
        again = plain(stores, key, "v2", created_at_ms=START_MS + 9_000)
        with pytest.raises(Died):
            mortal(PLAIN_WRITES - 1).schedules.create(again)
        assert stores.schedules.collect(LATER_MS, [key.tenant]) == 0, "its id is old, and it is not"
        with pytest.raises(HalfMade):
            stores.schedules.create(plain(stores, key, "v3"))
        stores.schedules.create(again)
        assert stores.schedules.get([key]) == {key: again}
