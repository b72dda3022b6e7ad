"""Every sentence of ``IdempotencyStore``, on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.idempotency import IdempotencyStore, Remembered
from tests.kit.records import START_MS
from tests.kit.threads import run_together

DAY_MS = IDEMPOTENCY_RETENTION_S * 1000


@pytest.fixture
def idempotency(stores: Stores) -> IdempotencyStore:
    return stores.idempotency


FIRST = Remembered("hash", "seed-1", START_MS)
SECOND = Remembered("hash", "seed-2", START_MS + 1000)


def test_the_first_call_begins_the_second_finds_it(idempotency: IdempotencyStore, tenant: str) -> None:
    assert idempotency.begin(tenant, "k", FIRST) is None
    assert idempotency.begin(tenant, "k", SECOND) == FIRST


def test_keys_and_tenants_are_apart(idempotency: IdempotencyStore, tenant: str) -> None:
    for owner, key in ((tenant, "k"), (tenant, "k2"), (tenant + "#", "k"), (tenant + "x", "k"), (tenant, "#k")):
        assert idempotency.begin(owner, key, FIRST) is None


def test_keeps_the_answer(idempotency: IdempotencyStore, tenant: str) -> None:
    answered = replace(FIRST, answer='{"status":201,"body":"…"}')
    idempotency.begin(tenant, "k", FIRST)
    idempotency.finish(tenant, "k", answered)
    assert idempotency.begin(tenant, "k", SECOND) == answered


def test_keeps_the_answer_of_a_call_that_was_forgotten(idempotency: IdempotencyStore, tenant: str) -> None:
    answered = replace(FIRST, answer="a")
    idempotency.finish(tenant, "k", answered)
    assert idempotency.begin(tenant, "k", SECOND) == answered


def test_the_first_answer_stays(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    idempotency.finish(tenant, "k", replace(FIRST, answer="first"))
    idempotency.finish(tenant, "k", replace(SECOND, answer="second"))
    assert idempotency.begin(tenant, "k", SECOND) == replace(FIRST, answer="first")


def test_takes_over_from_a_dead_call_once(idempotency: IdempotencyStore, tenant: str) -> None:
    taken = replace(SECOND, seed=FIRST.seed)
    idempotency.begin(tenant, "k", FIRST)
    assert idempotency.take_over(tenant, "k", FIRST, taken)
    assert not idempotency.take_over(tenant, "k", FIRST, replace(taken, started_ms=START_MS + 2000))
    assert idempotency.begin(tenant, "k", SECOND) == taken


def test_takes_over_nothing_that_has_an_answer(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    idempotency.finish(tenant, "k", replace(FIRST, answer="a"))
    assert not idempotency.take_over(tenant, "k", FIRST, SECOND)


def test_takes_over_nothing_that_is_not_there(idempotency: IdempotencyStore, tenant: str) -> None:
    assert not idempotency.take_over(tenant, "k", FIRST, SECOND)
    assert idempotency.begin(tenant, "k", SECOND) is None


def test_one_handed_back_keeps_its_seed(idempotency: IdempotencyStore, tenant: str) -> None:
    """A call that may have written gives its record the time 0, so that the next may take over at once."""
    handed_back = replace(FIRST, started_ms=0)
    idempotency.begin(tenant, "k", FIRST)
    assert idempotency.take_over(tenant, "k", FIRST, handed_back)
    assert idempotency.begin(tenant, "k", SECOND) == handed_back


def test_of_many_that_take_over_one_wins(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    won: list[int] = []

    def take(started_ms: int) -> None:
        if idempotency.take_over(tenant, "k", FIRST, replace(FIRST, started_ms=started_ms)):
            won.append(started_ms)

    run_together([lambda n=n: take(START_MS + 5000 + n) for n in range(8)])
    assert len(won) == 1
    standing = idempotency.begin(tenant, "k", SECOND)
    assert standing is not None
    assert standing.started_ms == won[0]


def test_of_many_that_begin_one_wins(idempotency: IdempotencyStore, tenant: str) -> None:
    answers: list[Remembered | None] = []
    calls: list[Callable[[], None]] = [
        lambda n=n: answers.append(idempotency.begin(tenant, "k", replace(FIRST, seed=f"s{n}"))) for n in range(8)
    ]
    run_together(calls)
    assert answers.count(None) == 1
    assert len({a.seed for a in answers if a is not None}) == 1


def test_forgets_a_refused_call(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    idempotency.forget(tenant, "k")
    assert idempotency.begin(tenant, "k", SECOND) is None
    idempotency.forget(tenant, "never")


def test_forgets_no_answer(idempotency: IdempotencyStore, tenant: str) -> None:
    answered = replace(FIRST, answer="a")
    idempotency.begin(tenant, "k", FIRST)
    idempotency.finish(tenant, "k", answered)
    idempotency.forget(tenant, "k")
    assert idempotency.begin(tenant, "k", SECOND) == answered


def test_is_forgotten_after_its_retention(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    idempotency.finish(tenant, "k", replace(FIRST, answer="a"))
    almost = replace(SECOND, started_ms=START_MS + DAY_MS - 1000)
    assert idempotency.begin(tenant, "k", almost) == replace(FIRST, answer="a")
    later = replace(SECOND, started_ms=START_MS + DAY_MS)
    assert idempotency.begin(tenant, "k", later) is None
    assert idempotency.begin(tenant, "k", SECOND) == later


def test_repeating_a_begin_whose_answer_was_lost(idempotency: IdempotencyStore, tenant: str) -> None:
    idempotency.begin(tenant, "k", FIRST)
    assert idempotency.begin(tenant, "k", FIRST) is None
