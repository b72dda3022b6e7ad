"""A lone instant inside the horizon: the sweep queues it, and its claim moves the schedule on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key, State
from chalicelib.ports.work_queue import Outgoing
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import schedules
from chalicelib.workers import sweep
from tests.kit.plant import CALLER, MINUTE_MS, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
AT_MS = T0 + 4 * MINUTE_MS + 12_345
HOUR_MS = 3_600_000


class Queue(MemoryQueue):
    """Counts what is sent, and loses it while ``loses``."""

    sent = 0
    loses = False

    def send(self, messages: Sequence[Outgoing]) -> None:
        self.sent += len(messages)
        if not self.loses:
            super().send(messages)


def with_queue(plant: Plant) -> Queue:
    queue = Queue(plant.clock.now_ms)
    plant.queue, plant.services = queue, replace(plant.services, queue=queue)
    return queue


def at(at_ms: int) -> str:
    return f"at:{to_rfc3339(at_ms)}"


def state_of(plant: Plant, schedule_id: str) -> State:
    return plant.get(schedule_id).state


def once(plant: Plant, **fields: Any) -> str:
    return plant.create(type="AT", expr=at(AT_MS), **fields)


def test_it_is_queued_once_and_the_state_stays_as_it_was_made_until_its_claim() -> None:
    plant = Plant(T0)
    queue = with_queue(plant)
    made = once(plant)
    before = state_of(plant, made)
    plant.run_until(AT_MS - 5_000)
    assert queue.sent == 1, "two sweeps have met it"
    assert state_of(plant, made) == before
    plant.run_until(AT_MS + 5_000)
    after = state_of(plant, made)
    assert (after.next_run_ms, after.queued_ms, after.run_count) == (None, AT_MS, 1)
    assert plant.bus.instants(made) == [AT_MS]


def test_a_recurring_schedule_is_moved_on_to_its_next_run() -> None:
    plant = Plant(T0)
    hourly = plant.create(type="CRON", expr="0 * * * *", max_runs=2)
    first = T0 + 40 * MINUTE_MS
    plant.run_until(first + 5_000)
    state = state_of(plant, hourly)
    assert (state.next_run_ms, state.queued_ms, state.run_count) == (first + HOUR_MS, first, 1)
    plant.run_until(first + HOUR_MS + 5_000)
    state = state_of(plant, hourly)
    assert (state.next_run_ms, state.run_count) == (None, 2), "max_runs"
    assert plant.bus.instants(hourly) == [first, first + HOUR_MS]


def test_the_run_after_a_long_delay_follows_its_end() -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:300s")
    plant.run_until(T0 + 11 * MINUTE_MS)
    fired = plant.bus.instants(chained)
    assert fired[0] == T0 + 5 * MINUTE_MS
    assert len(fired) == 2
    assert fired[1] >= fired[0] + 5 * MINUTE_MS


def test_a_process_that_does_not_remember_queues_it_again_and_it_fires_once() -> None:
    plant = Plant(T0)
    queue = with_queue(plant)
    made = once(plant)
    plant.run_until(AT_MS - 60_000)
    assert queue.sent == 1
    forgetful = replace(plant.services, process=ProcessMemory())
    plant.clock.start(lambda: sweep.sweep_shard(forgetful, state_of(plant, made).shard))
    plant.run_until(AT_MS + 60_000)
    assert queue.sent == 2
    assert plant.bus.instants(made) == [AT_MS]
    assert [e.state for e in plant.executions(made)] == ["completed"]


def test_what_is_edited_meanwhile_is_queued_at_its_new_instant_alone() -> None:
    plant = Plant(T0)
    made = once(plant)
    plant.run_until(AT_MS - 50_000)
    later = AT_MS + 10 * MINUTE_MS
    schedules.edit(plant.services, CALLER, made, ScheduleRequest(expr=at(later)), None)
    plant.run_until(later + 5_000)
    assert plant.bus.instants(made) == [later]


def test_when_no_claim_moved_it_on_the_sweep_does_it_after_its_instant() -> None:
    plant = Plant(T0)
    queue = with_queue(plant)
    made = once(plant)
    queue.loses = True
    plant.run_until(AT_MS - 50_000)
    queue.loses = False
    plant.run_until(AT_MS + 3 * MINUTE_MS)
    assert state_of(plant, made).next_run_ms is None
    assert plant.bus.instants(made) == [AT_MS]
    assert [e.state for e in plant.executions(made)] == ["completed"]


def test_of_several_instants_the_sweep_moves_the_schedule_on_itself() -> None:
    plant = Plant(T0)
    several = plant.create(type="RATE", expr="rate:50s", start_at_ms=T0 + 5 * MINUTE_MS)
    plant.run_until(T0 + 4 * MINUTE_MS + 10_000)
    assert state_of(plant, several).queued_ms is not None


def test_a_schedule_that_lets_no_runs_overlap_is_moved_on_by_the_sweep() -> None:
    plant = Plant(T0)
    alone = once(plant, overlap="forbid")
    plant.run_until(AT_MS - 50_000)
    assert state_of(plant, alone).queued_ms == AT_MS


def test_what_is_handed_and_still_ahead_is_not_read_again() -> None:
    class Reading:
        """The store of schedules; says how often states were read."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self.reads = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def states(self, keys: Sequence[Key]) -> Any:
            self.reads += 1
            return self._inner.states(keys)

    plant = Plant(T0)
    shard = state_of(plant, once(plant)).shard
    store = Reading(plant.services.stores.schedules)
    watched = with_stores(plant.services, schedules=store)
    plant.skip(AT_MS - 100_000)
    for reads in (1, 1):
        plant.clock.start(lambda: sweep.sweep_shard(watched, shard))
        plant.skip(plant.clock.now_ms() + 20_000)
        assert store.reads == reads
    plant.skip(AT_MS + 1)
    plant.clock.start(lambda: sweep.sweep_shard(watched, shard))
    plant.skip(AT_MS + 1000)
    assert store.reads > 1, "its instant has passed: the state tells whether it was claimed"
