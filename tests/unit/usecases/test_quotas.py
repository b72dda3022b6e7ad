from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.quotas import MemoryQuotaStore
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.quotas.limits import ASK_TRIES
from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.core.security.caller import Caller, caller_of
from chalicelib.ports.services import Config, Services
from chalicelib.ports.stores.quotas import StoredBucket
from chalicelib.usecases.quotas import charge
from tests.kit.machine import MovableClock
from tests.kit.services import make_services, with_stores
from tests.kit.threads import run_together

ANNA = caller_of("default", "anna", ["user"], {}, credential="jwt", expires_at_ms=None)
LIMITED = Config(reads_per_s=100, writes_per_s=10)


class Counting(MemoryQuotaStore):
    """Counts what it is asked, and fails or is always overtaken on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.error: Exception | None = None
        self.overtaken = False

    def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.overtaken:
            return StoredBucket(SharedBucket(), expected_rev + 1)
        return super().swap(key, bucket, expected_rev, now_s)


def limited(store: MemoryQuotaStore | None = None, config: Config = LIMITED) -> Services:
    return with_stores(make_services(config=config), quotas=store or Counting())


def clock_of(s: Services) -> MovableClock:
    assert isinstance(s.clock, MovableClock)
    return s.clock


def allowed(s: Services, caller: Caller, quota: str, count: int) -> int:
    """How many of so many calls pass at this moment."""
    return sum(charge(s, caller, quota).allowed for _ in range(count))  # type: ignore[arg-type, union-attr]


def test_without_a_limit_nothing_is_counted_or_written() -> None:
    store = Counting()
    assert charge(limited(store, Config()), ANNA, "reads") is None
    assert store.asked == 0


def test_reads_and_writes_are_apart_and_so_are_principals() -> None:
    s = limited()
    assert allowed(s, ANNA, "reads", 200) == 50
    assert allowed(s, ANNA, "writes", 200) == 5
    assert allowed(s, caller_of("default", "bert", [], {}, credential="jwt", expires_at_ms=None), "reads", 200) == 50
    assert allowed(s, caller_of("other", "anna", [], {}, credential="jwt", expires_at_ms=None), "reads", 200) == 50


def test_a_refused_call_passes_after_its_wait_and_not_before() -> None:
    s = limited()
    allowed(s, ANNA, "writes", 20)
    refused = charge(s, ANNA, "writes")
    assert refused is not None
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert 0 < refused.wait_ms <= 1000
    clock_of(s).advance(refused.wait_ms)
    assert allowed(s, ANNA, "writes", 1) == 1


def test_processes_share_one_quota() -> None:
    store = Counting()
    processes = [limited(store) for _ in range(4)]
    clocks = [clock_of(s) for s in processes]
    passed = 0
    for _ in range(1_000):
        passed += sum(allowed(s, ANNA, "reads", 3) for s in processes)
        for clock in clocks:
            clock.advance(10)
    assert 900 <= passed <= 1_100


@pytest.mark.parametrize("error", [Unavailable("away"), OutcomeUnknown("no answer")])
def test_while_the_store_is_away_calls_pass_and_it_is_left_alone(error: Exception) -> None:
    store = Counting()
    store.error = error
    s = limited(store)
    assert allowed(s, ANNA, "reads", 200) == 50
    assert store.asked == 1
    clock_of(s).advance(999)
    assert allowed(s, ANNA, "reads", 200) == 50
    assert store.asked == 1
    clock_of(s).advance(1)
    store.error = None
    assert allowed(s, ANNA, "reads", 1) == 1
    assert store.asked == 2


def test_one_that_is_always_overtaken_goes_on_alone() -> None:
    store = Counting()
    store.overtaken = True
    s = limited(store)
    assert allowed(s, ANNA, "reads", 20) == 20
    assert store.asked == ASK_TRIES


def test_threads_of_a_process_ask_once_together() -> None:
    store = Counting()
    s = limited(store, replace(LIMITED, reads_per_s=10_000))
    passed: list[int] = []
    run_together([lambda: passed.append(allowed(s, ANNA, "reads", 1))] * 8)
    assert sum(passed) == 8
    assert store.asked == 1


def test_what_remains_is_what_may_follow() -> None:
    s = limited()
    first = charge(s, ANNA, "reads")
    assert first is not None
    assert first.remaining == 49
    assert allowed(s, ANNA, "reads", 100) == 49
