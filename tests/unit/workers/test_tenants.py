"""Work that goes through an index kept per tenant reaches every tenant: the scan for dead workers, and the counts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.journal import claim
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.queue_messages import Run, decode
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller, system_caller
from chalicelib.engine import handoff, tenants
from chalicelib.engine.tenants import known_tenants
from chalicelib.ports.services import Services
from chalicelib.usecases import health, schedules
from chalicelib.workers import reconcile
from tests.kit.machine import MovableClock
from tests.kit.services import make_services, with_stores

RATE: dict[str, Any] = {"type": "RATE", "expr": "rate:1h"}


def _make(s: Services, caller: Caller) -> str:
    return schedules.create(s, caller, ScheduleRequest(**RATE), s.ids.ulid(s.clock.now_ms())).definition.id


def _abandon(s: Services, caller: Caller) -> str:
    """A firing that was claimed ahead of its instant by a worker that died: it stands in ``recent`` alone."""
    found = schedules.get(s, caller, _make(s, caller))
    now_ms = s.clock.now_ms()
    record = handoff.new_record(s, found.definition, found.state.shard, now_ms + 500, now_ms)
    assert s.stores.executions.insert([replace(claim(record, "dead", 1, now_ms), rev=1)]) == [True]
    return record.id


def test_a_firing_of_any_tenant_whose_worker_died_is_found_and_counted() -> None:
    s = make_services()
    assert isinstance(s.clock, MovableClock)
    ids = {_abandon(s, system_caller(tenant)) for tenant in ("default", "acme")}
    s.clock.advance(ATTEMPT_LEASE_MS + 60_000)
    reconcile.run(s)
    assert isinstance(s.queue, MemoryQueue)
    queued = [decode(incoming.body) for incoming in s.queue.receive(100)]
    assert {m.execution.id for m in queued if isinstance(m, Run)} >= ids
    assert health.numbers(s, ANONYMOUS_ADMIN).total == len(ids)


def test_the_default_tenant_costs_nothing_to_create_in() -> None:
    s = make_services()

    class Silent:
        def load(self, name: str) -> Any:
            raise Unavailable("nobody is to ask")

    _make(with_stores(s, cursors=Silent()), ANONYMOUS_ADMIN)


def test_a_tenant_is_written_down_once_and_before_its_first_schedule() -> None:
    s = make_services()
    saved: list[str] = []

    class Counting:
        def load(self, name: str) -> Any:
            return s.stores.cursors.load(name)

        def save(self, name: str, values: Any, expected_rev: int) -> bool:
            assert s.stores.schedules.list("acme", schedules.ScheduleFilter(), 1, None).ids == []
            saved.append(name)
            return s.stores.cursors.save(name, values, expected_rev)

    counted = with_stores(s, cursors=Counting())
    for _ in range(3):
        _make(counted, system_caller("acme"))
    assert saved == [tenants.CURSOR]


def test_a_tenant_that_another_process_wrote_down_is_known_soon() -> None:
    s = make_services()
    assert isinstance(s.clock, MovableClock)
    assert known_tenants(s) == ["default"]
    cursor = s.stores.cursors.load(tenants.CURSOR)
    assert s.stores.cursors.save(tenants.CURSOR, {"acme": 1}, cursor.rev)
    s.clock.advance(tenants.AGE_MAX_MS)
    assert known_tenants(s) == ["acme", "default"]
