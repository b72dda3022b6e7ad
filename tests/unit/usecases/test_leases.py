"""Leases as use cases: what they cost, what they remember, whom they wake, how they stand lost answers and races."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import ManualClock, ManualSignals
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import Conflict, InvalidField, NotFound, OutcomeUnknown, TooMany
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease import Granted, Waiting
from chalicelib.core.leases.limits import LEASE_POLL_MS
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Config, Services
from chalicelib.ports.stores.leases import LeaseStore
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import leases
from chalicelib.usecases.leases import AcquireLease, ReleaseLease, RenewLease
from tests.kit.callers import who
from tests.kit.machine import manual_machine
from tests.kit.services import make_services

NOW_MS = 1_795_252_800_000
CALLER = ANONYMOUS_ADMIN
TTL = 10_000
MARGIN = 20


class CountingLeases:
    """The store, with a count of its calls and something to go wrong before or after the next write."""

    def __init__(self, inner: LeaseStore) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.before_save: Callable[[], None] | None = None
        self.lose_answer = False

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        self.calls.append("load")
        return self._inner.load(tenant, name)

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        self.calls.append("save")
        if self.before_save is not None:
            intruder, self.before_save = self.before_save, None
            intruder()
        saved = self._inner.save(tenant, name, document, rev, expected_rev)
        if self.lose_answer:
            self.lose_answer = False
            raise OutcomeUnknown("no answer")
        return saved

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        self.calls.append("list")
        return self._inner.list(tenant, limit, after)

    def took(self) -> list[str]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


class Ringer(ManualSignals):
    """Signals that also note where they rang."""

    def __init__(self, clock: ManualClock, address: str = "") -> None:
        super().__init__(clock)
        self.address = address
        self.rung: list[str] = []

    def ring(self, name: str, at: str = "") -> None:
        self.rung.append(at)
        super().ring(name, at)


class Deployment:
    """Instances over the same tables and one clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW_MS)
        stores = open_stores()
        self.store = CountingLeases(stores.leases)
        machine = manual_machine(self.clock, Ringer(self.clock))
        config = Config(max_drift_ms=MARGIN, origin="here")
        stores = replace(stores, leases=self.store)
        self.first = make_services(machine, stores, config)
        self.second = replace(self.first, process=ProcessMemory(), signals=Ringer(self.clock))

    def later(self, ms: int, what: Callable[[], object]) -> None:
        self.first.tasks.at(self.clock.now_ms() + ms, lambda: (what(), None)[1])


@pytest.fixture
def d() -> Deployment:
    return Deployment()


def acquire(s: Services, who: str = "a", **fields: Any) -> Any:
    return leases.acquire(s, CALLER, AcquireLease(**{"name": "n", "holder_id": who, "ttl_ms": TTL} | fields))


def release(s: Services, who: str, token: int) -> object:
    return leases.release(s, CALLER, ReleaseLease(name="n", holder_id=who, fencing_token=token))


def renew(s: Services, who: str, token: int) -> Granted:
    return leases.renew(s, CALLER, RenewLease(name="n", holder_id=who, fencing_token=token))


def test_an_uncontended_cycle_takes_two_calls(d: Deployment) -> None:
    release(d.first, "a", acquire(d.first).fencing_token)
    d.store.took()
    for _ in range(3):
        release(d.first, "a", acquire(d.first).fencing_token)
        assert d.store.took() == ["save", "save"]


def test_an_instance_that_knows_nothing_reads_first(d: Deployment) -> None:
    acquire(d.first)
    d.clock.advance(1)
    d.store.took()
    renew(d.second, "a", 1)
    assert d.store.took() == ["load", "save"]


def test_a_stale_memory_costs_a_read_and_misleads_nobody(d: Deployment) -> None:
    acquire(d.first)
    release(d.second, "a", 1)
    assert acquire(d.second, "b") == Granted(2, NOW_MS + TTL)
    # To the first instance the lease is still a's.
    with pytest.raises(Conflict):
        renew(d.first, "a", 1)
    assert acquire(d.first, "c") == Waiting(1, "b", NOW_MS + TTL)
    assert acquire(d.first, "b").fencing_token == 2


def test_what_changes_nothing_is_never_answered_from_memory(d: Deployment) -> None:
    acquire(d.first)
    release(d.second, "a", 1)
    # By the memory of the first instance this is a repeat at the same instant that writes nothing.
    assert acquire(d.first).fencing_token == 2


def test_a_full_queue_in_memory_is_looked_up(d: Deployment) -> None:
    acquire(d.first)
    for number in range(256):
        acquire(d.first, f"w{number}")
    with pytest.raises(TooMany):
        acquire(d.first, "x")
    d.clock.advance(2 * TTL)
    assert acquire(d.second, "y").fencing_token == 2
    assert acquire(d.first, "x").queue_position == 1


def test_a_lost_race_is_decided_again(d: Deployment) -> None:
    d.store.before_save = lambda: acquire(d.second, "b")
    assert acquire(d.first, "a") == Waiting(1, "b", NOW_MS + TTL)


def test_repeating_a_call_whose_answer_was_lost(d: Deployment) -> None:
    d.store.lose_answer = True
    with pytest.raises(OutcomeUnknown):
        acquire(d.first)
    assert acquire(d.first).fencing_token == 1
    d.clock.advance(1)
    d.store.lose_answer = True
    with pytest.raises(OutcomeUnknown):
        renew(d.first, "a", 1)
    assert renew(d.first, "a", 1) == Granted(1, NOW_MS + 1 + TTL)
    d.store.lose_answer = True
    with pytest.raises(OutcomeUnknown):
        release(d.first, "a", 1)
    release(d.first, "a", 1)
    with pytest.raises(Conflict):
        renew(d.first, "a", 1)
    assert acquire(d.first).fencing_token == 2


def test_the_release_wakes_the_waiter_where_its_call_is_held(d: Deployment) -> None:
    here, there = Ringer(d.clock), Ringer(d.clock, address="127.0.0.1:7")
    first = replace(d.first, signals=here)
    second = replace(d.second, signals=there)
    acquire(first)
    d.later(LEASE_POLL_MS // 2, lambda: release(first, "a", 1))
    assert acquire(second, "b", wait_ms=5000).fencing_token == 2
    assert here.rung == ["127.0.0.1:7"]


def test_a_waiter_that_nobody_can_wake_looks_now_and_then(d: Deployment) -> None:
    acquire(d.first)
    d.later(1001, lambda: release(d.first, "a", 1))
    assert acquire(d.second, "b", wait_ms=5000).fencing_token == 2
    assert d.clock.now_ms() - NOW_MS <= 1001 + LEASE_POLL_MS


def test_the_release_wakes_the_first_who_still_asks(d: Deployment) -> None:
    ringer = Ringer(d.clock)
    first = replace(d.first, signals=ringer)
    acquire(first, ttl_ms=60_000)
    acquire(first, "gone", ttl_ms=100)
    d.later(3000, lambda: release(first, "a", 1))
    assert acquire(first, "b", wait_ms=5000).fencing_token == 2
    assert d.clock.now_ms() - NOW_MS == 3000


def test_when_the_first_waiter_is_gone_the_second_goes_on_at_once(d: Deployment) -> None:
    acquire(d.first, ttl_ms=60_000)
    acquire(d.first, "gone", ttl_ms=1000)  # its place lasts for a quarter more, and the margin
    d.later(500, lambda: release(d.first, "a", 1))
    assert acquire(d.second, "b", wait_ms=5000).fencing_token == 2
    assert d.clock.now_ms() - NOW_MS == 1250 + MARGIN


def test_a_held_call_moves_its_place_on_rarely(d: Deployment) -> None:
    acquire(d.first, ttl_ms=60_000)
    d.store.took()
    acquire(d.first, "b", wait_ms=20_000)
    # Into the queue, then whenever half of its ttl is used up, and at the end for the caller.
    assert d.store.took().count("save") == 5


def test_every_write_is_stamped(d: Deployment) -> None:
    stamps = []
    for holder, token in (("a", 1), ("b", 2)):
        acquire(d.first, holder)
        stamps.append(leases.get(d.first, CALLER, "n").hlc)
        release(d.first, holder, token)
        stamps.append(leases.get(d.first, CALLER, "n").hlc)
    assert len(set(stamps)) == 4
    assert stamps == sorted(stamps)
    assert leases.get(d.first, CALLER, "n").origin == "here"


def test_another_subject_is_not_the_holder(d: Deployment) -> None:
    acquire(d.first)
    thief = who("thief", "user")
    with pytest.raises(Conflict):
        leases.release(d.first, thief, ReleaseLease(name="n", holder_id="a", fencing_token=1))
    answer = leases.acquire(d.first, thief, AcquireLease(name="n", holder_id="a", ttl_ms=TTL))
    assert answer == Waiting(1, "a", NOW_MS + TTL)


def test_every_wrong_field_is_named(d: Deployment) -> None:
    with pytest.raises(InvalidField) as refused:
        acquire(d.first, "", name="a b", ttl_ms=99, wait_ms=-1, metadata={"x": "y" * 5000})
    assert [e.field for e in refused.value.errors] == ["name", "holder_id", "ttl_ms", "wait_ms", "metadata"]
    with pytest.raises(InvalidField):
        leases.break_(d.first, CALLER, "a b")
    with pytest.raises(NotFound):
        leases.break_(d.first, CALLER, "a")


def test_a_document_of_a_release_without_wake_addresses_is_read(d: Deployment) -> None:
    acquire(d.first)
    acquire(d.first, "b")
    item = leases.get(d.first, CALLER, "n")
    old = lease_document.write(item).replace(',"wake_at":""', "")
    assert "wake_at" not in old
    assert lease_document.read(old) == item
