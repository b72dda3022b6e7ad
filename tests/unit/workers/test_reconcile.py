"""Reconcile scans the recent instants again and again; what is completed it reads once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.queue_messages import Run, decode
from chalicelib.ports.stores.executions import ExecutionStore
from chalicelib.ports.target import Outcome
from chalicelib.usecases import schedules
from chalicelib.workers import reconcile
from tests.kit.plant import CALLER, MINUTE_MS, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


class Reads:
    """Counts how often each record is read."""

    def __init__(self, inner: ExecutionStore) -> None:
        self._inner = inner
        self.count: Counter[int] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get(self, keys: Sequence[ExecutionKey]) -> Mapping[ExecutionKey, Execution]:
        self.count.update(key.firing_ms for key in keys)
        return self._inner.get(keys)


def reconciled_for(plant: Plant, minutes: int) -> Counter[int]:
    """How often the records are read in so many minutes in which only reconcile runs."""
    reads = Reads(plant.services.stores.executions)
    watched = with_stores(plant.services, executions=reads)
    for _ in range(minutes):
        plant.skip(plant.clock.now_ms() + MINUTE_MS)
        reconcile.run(watched)
    return reads.count


def test_a_completed_execution_is_read_once() -> None:
    plant = Plant(T0)
    plant.create(type="AT", expr="at:2026-11-21T09:20:05Z")
    plant.run_until(T0 + 10_000)
    assert reconciled_for(plant, 6) == {T0 + 5_000: 1}


def test_a_completed_delay_run_is_read_once_when_its_successor_is_set() -> None:
    plant = Plant(T0)
    plant.create(type="DELAY", expr="delay:5s", max_runs=1)
    plant.run_until(T0 + 10_000)
    assert reconciled_for(plant, 6) == {T0 + 5_000: 1}


def test_a_failed_execution_is_looked_at_again_since_it_may_be_taken_back() -> None:
    plant = Plant(T0)
    plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error", permanent=True)
    plant.create(type="AT", expr="at:2026-11-21T09:20:05Z")
    plant.run_until(T0 + 10_000)
    assert reconciled_for(plant, 6)[T0 + 5_000] > 1


def test_what_is_overdue_is_queued_once_in_a_pass_however_much_there_is() -> None:
    plant = Plant(T0)
    made = plant.create(type="AT", expr="at:2026-11-21T09:20:05Z")
    first = schedules.trigger(plant.services, CALLER, made, None, None)
    count = 2 * reconcile.PAGE_ITEMS + 50
    records = [replace(first, firing_ms=T0 - 60 * MINUTE_MS - n, rev=1) for n in range(count)]
    assert all(plant.services.stores.executions.insert(records))  # older than what the scan of recent instants reads
    plant.skip(T0 + MINUTE_MS)
    while plant.queue.receive():
        pass
    reconcile.run(plant.services)
    queued: Counter[int] = Counter()
    while batch := plant.queue.receive():
        queued.update(decoded.execution.firing_ms for m in batch if isinstance(decoded := decode(m.body), Run))
    assert [queued[record.firing_ms] for record in records] == [1] * count


def test_a_shard_in_which_nothing_is_found_is_noted_every_five_minutes() -> None:
    plant = Plant(T0)
    notes: Counter[str] = Counter()
    store = plant.services.stores.cursors

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
            notes[name] += 1
            return store.save(name, values, expected_rev)

    watched = with_stores(plant.services, cursors=Noting())
    for _ in range(21):
        plant.skip(plant.clock.now_ms() + MINUTE_MS)
        reconcile.run(watched)
    assert notes == {"scans#default#0": 5}, "one note for all shards"
