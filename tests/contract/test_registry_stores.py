"""Every sentence of ``CursorStore``, ``LeaseStore`` and ``IdempotencyStore``, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.cursors import CursorStore
from chalicelib.ports.stores.idempotency import IdempotencyStore, Remembered
from chalicelib.ports.stores.leases import LeaseStore
from tests.kit.records import START_MS
from tests.kit.threads import run_together

DAY_MS = IDEMPOTENCY_RETENTION_S * 1000


@pytest.fixture
def cursors(stores: Stores) -> CursorStore:
    return stores.cursors


@pytest.fixture
def leases(stores: Stores) -> LeaseStore:
    return stores.leases


@pytest.fixture
def idempotency(stores: Stores) -> IdempotencyStore:
    return stores.idempotency


class TestCursors:
    def test_is_rev_0_and_empty_when_there_is_none(self, cursors: CursorStore, tenant: str) -> None:
        assert cursors.load(tenant) == (0, {})

    def test_counts_revisions(self, cursors: CursorStore, tenant: str) -> None:
        assert cursors.save(tenant, {"a": 1, "b": -(1 << 60)}, 0)
        assert cursors.load(tenant) == (1, {"a": 1, "b": -(1 << 60)})
        assert cursors.save(tenant, {"c": 2}, 1)
        assert cursors.load(tenant) == (2, {"c": 2})

    @pytest.mark.parametrize("wrong", [0, 2, 7])
    def test_a_moved_revision_writes_nothing(self, cursors: CursorStore, tenant: str, wrong: int) -> None:
        cursors.save(tenant, {"a": 1}, 0)
        assert not cursors.save(tenant, {"a": 9}, wrong)
        assert cursors.load(tenant) == (1, {"a": 1})

    def test_one_that_is_missing_is_not_made_under_a_revision(self, cursors: CursorStore, tenant: str) -> None:
        assert not cursors.save(tenant, {"a": 1}, 3)
        assert cursors.load(tenant) == (0, {})

    def test_what_was_loaded_does_not_change(self, cursors: CursorStore, tenant: str) -> None:
        values = {"a": 1}
        cursors.save(tenant, values, 0)
        values["a"] = 5
        assert cursors.load(tenant).values == {"a": 1}

    def test_no_update_is_lost_between_threads(self, cursors: CursorStore, tenant: str) -> None:
        won: list[int] = []

        def work() -> None:
            for _ in range(20):
                cursor = cursors.load(tenant)
                if cursors.save(tenant, {"n": cursor.values.get("n", 0) + 1}, cursor.rev):
                    won.append(cursor.rev)

        run_together([work] * 5)
        assert cursors.load(tenant) == (len(won), {"n": len(won)})
        assert sorted(won) == list(range(len(won)))


class TestLeases:
    def test_none_that_was_never_asked_for(self, leases: LeaseStore, tenant: str) -> None:
        assert leases.load(tenant, "l") is None

    def test_saves_whole_documents_under_their_revision(self, leases: LeaseStore, tenant: str) -> None:
        assert leases.save(tenant, "a/b:c", '{"ä":1}', 1, 0)
        assert leases.load(tenant, "a/b:c") == ('{"ä":1}', 1)
        assert leases.save(tenant, "a/b:c", "{}", 2, 1)
        assert leases.load(tenant, "a/b:c") == ("{}", 2)

    @pytest.mark.parametrize("wrong", [0, 2])
    def test_a_moved_revision_writes_nothing(self, leases: LeaseStore, tenant: str, wrong: int) -> None:
        leases.save(tenant, "l", "first", 1, 0)
        assert not leases.save(tenant, "l", "second", wrong + 1, wrong)
        assert leases.load(tenant, "l") == ("first", 1)

    def test_one_that_is_missing_is_not_made_under_a_revision(self, leases: LeaseStore, tenant: str) -> None:
        assert not leases.save(tenant, "l", "d", 3, 2)
        assert leases.load(tenant, "l") is None

    def test_belong_to_their_tenant(self, leases: LeaseStore, tenant: str) -> None:
        leases.save(tenant, "l", "mine", 1, 0)
        assert leases.load(tenant + "#", "l") is None
        assert leases.list(tenant + "#", 9, None) == ([], None)

    def test_lists_by_name_in_pages(self, leases: LeaseStore, tenant: str) -> None:
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

    def test_large_documents(self, leases: LeaseStore, tenant: str) -> None:
        document = "x" * 300_000
        assert leases.save(tenant, "l", document, 1, 0)
        assert leases.load(tenant, "l") == (document, 1)

    def test_of_many_first_savers_one_wins(self, leases: LeaseStore, tenant: str) -> None:
        won: list[str] = []

        def save(document: str) -> None:
            if leases.save(tenant, "l", document, 1, 0):
                won.append(document)

        run_together([lambda d=str(n): save(d) for n in range(8)])
        assert [leases.load(tenant, "l")] == [(d, 1) for d in won]


class TestIdempotency:
    FIRST = Remembered("hash", "seed-1", START_MS)
    SECOND = Remembered("hash", "seed-2", START_MS + 1000)

    def test_the_first_call_begins_the_second_finds_it(self, idempotency: IdempotencyStore, tenant: str) -> None:
        assert idempotency.begin(tenant, "k", self.FIRST) is None
        assert idempotency.begin(tenant, "k", self.SECOND) == self.FIRST

    def test_keys_and_tenants_are_apart(self, idempotency: IdempotencyStore, tenant: str) -> None:
        for owner, key in ((tenant, "k"), (tenant, "k2"), (tenant + "#", "k"), (tenant + "x", "k"), (tenant, "#k")):
            assert idempotency.begin(owner, key, self.FIRST) is None

    def test_keeps_the_answer(self, idempotency: IdempotencyStore, tenant: str) -> None:
        answered = replace(self.FIRST, answer='{"status":201,"body":"…"}')
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.finish(tenant, "k", answered)
        assert idempotency.begin(tenant, "k", self.SECOND) == answered

    def test_keeps_the_answer_of_a_call_that_was_forgotten(self, idempotency: IdempotencyStore, tenant: str) -> None:
        answered = replace(self.FIRST, answer="a")
        idempotency.finish(tenant, "k", answered)
        assert idempotency.begin(tenant, "k", self.SECOND) == answered

    def test_the_first_answer_stays(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.finish(tenant, "k", replace(self.FIRST, answer="first"))
        idempotency.finish(tenant, "k", replace(self.SECOND, answer="second"))
        assert idempotency.begin(tenant, "k", self.SECOND) == replace(self.FIRST, answer="first")

    def test_takes_over_from_a_dead_call_once(self, idempotency: IdempotencyStore, tenant: str) -> None:
        taken = replace(self.SECOND, seed=self.FIRST.seed)
        idempotency.begin(tenant, "k", self.FIRST)
        assert idempotency.take_over(tenant, "k", self.FIRST, taken)
        assert not idempotency.take_over(tenant, "k", self.FIRST, replace(taken, started_ms=START_MS + 2000))
        assert idempotency.begin(tenant, "k", self.SECOND) == taken

    def test_takes_over_nothing_that_has_an_answer(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.finish(tenant, "k", replace(self.FIRST, answer="a"))
        assert not idempotency.take_over(tenant, "k", self.FIRST, self.SECOND)

    def test_takes_over_nothing_that_is_not_there(self, idempotency: IdempotencyStore, tenant: str) -> None:
        assert not idempotency.take_over(tenant, "k", self.FIRST, self.SECOND)
        assert idempotency.begin(tenant, "k", self.SECOND) is None

    def test_one_handed_back_keeps_its_seed(self, idempotency: IdempotencyStore, tenant: str) -> None:
        """A call that may have written gives its record the time 0, so that the next may take over at once."""
        handed_back = replace(self.FIRST, started_ms=0)
        idempotency.begin(tenant, "k", self.FIRST)
        assert idempotency.take_over(tenant, "k", self.FIRST, handed_back)
        assert idempotency.begin(tenant, "k", self.SECOND) == handed_back

    def test_of_many_that_take_over_one_wins(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        won: list[int] = []

        def take(started_ms: int) -> None:
            if idempotency.take_over(tenant, "k", self.FIRST, replace(self.FIRST, started_ms=started_ms)):
                won.append(started_ms)

        run_together([lambda n=n: take(START_MS + 5000 + n) for n in range(8)])
        assert len(won) == 1
        standing = idempotency.begin(tenant, "k", self.SECOND)
        assert standing is not None
        assert standing.started_ms == won[0]

    def test_of_many_that_begin_one_wins(self, idempotency: IdempotencyStore, tenant: str) -> None:
        answers: list[Remembered | None] = []
        calls: list[Callable[[], None]] = [
            lambda n=n: answers.append(idempotency.begin(tenant, "k", replace(self.FIRST, seed=f"s{n}")))
            for n in range(8)
        ]
        run_together(calls)
        assert answers.count(None) == 1
        assert len({a.seed for a in answers if a is not None}) == 1

    def test_forgets_a_refused_call(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.forget(tenant, "k")
        assert idempotency.begin(tenant, "k", self.SECOND) is None
        idempotency.forget(tenant, "never")

    def test_forgets_no_answer(self, idempotency: IdempotencyStore, tenant: str) -> None:
        answered = replace(self.FIRST, answer="a")
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.finish(tenant, "k", answered)
        idempotency.forget(tenant, "k")
        assert idempotency.begin(tenant, "k", self.SECOND) == answered

    def test_is_forgotten_after_its_retention(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        idempotency.finish(tenant, "k", replace(self.FIRST, answer="a"))
        almost = replace(self.SECOND, started_ms=START_MS + DAY_MS - 1000)
        assert idempotency.begin(tenant, "k", almost) == replace(self.FIRST, answer="a")
        later = replace(self.SECOND, started_ms=START_MS + DAY_MS)
        assert idempotency.begin(tenant, "k", later) is None
        assert idempotency.begin(tenant, "k", self.SECOND) == later

    def test_repeating_a_begin_whose_answer_was_lost(self, idempotency: IdempotencyStore, tenant: str) -> None:
        idempotency.begin(tenant, "k", self.FIRST)
        assert idempotency.begin(tenant, "k", self.FIRST) is None
