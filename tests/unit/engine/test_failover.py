"""What a dead worker held comes within five seconds of its death or of its instant, in order and spaced."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.workers import deliver
from tests.kit.plant import Plant

T0 = 1_795_252_800_000
FAILOVER_MS = 5_000
NEVER_MS = T0 + 86_400_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9000/"}


def die_at(plant: Plant, at_ms: int) -> None:
    """The worker that receives from now on dies at an instant: nothing of it happens from then on."""
    alive = plant.services

    def stop_if_dead() -> None:
        if plant.clock.now_ms() >= at_ms:
            plant.clock.sleep_until(NEVER_MS)

    class Mortal:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._inner, name)
            if not callable(found):
                return found

            def call(*arguments: Any, **named: Any) -> Any:
                stop_if_dead()
                answer = found(*arguments, **named)
                stop_if_dead()
                return answer

            return call

    stores = alive.stores.__class__(
        **{name: Mortal(getattr(alive.stores, name)) for name in alive.stores.__struct_fields__}
    )
    mortal = replace(
        alive,
        stores=stores,
        queue=Mortal(alive.queue),
        targets={name: Mortal(target) for name, target in alive.targets.items()},
        config=replace(alive.config, instance="mortal"),
    )

    def work() -> None:
        batch = plant.queue.receive()
        for receipt in {m.receipt for m in batch} - set(deliver.run(mortal, batch)):
            plant.queue.delete(receipt)

    plant.clock.start(work)


@pytest.mark.parametrize("dies_after_ms", [200, 900, 2_400, 3_100, 5_050, 7_700])
def test_what_a_dead_worker_held_comes_within_five_seconds_in_order_and_spaced(dies_after_ms: int) -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s", max_runs=12, target=WEBHOOK)
    death_ms = T0 + dies_after_ms
    plant.clock.sleep_until(T0 + 100)
    die_at(plant, death_ms)
    plant.clock.sleep_until(death_ms + 300)  # another one begins only then
    plant.run_until(T0 + 60_000)
    runs = plant.executions(beat)
    assert [run.state for run in runs] == ["completed"] * 12
    arrived = {d.firing_unix_ms: at_ms for at_ms, d in plant.hook.sent}
    late = {at - T0: arrived[at] - max(at, death_ms) for at in arrived}
    assert max(late.values()) <= FAILOVER_MS, late
    caught_up = sorted((sent, at) for at, sent in arrived.items() if sent - at > 2_000)
    assert [at for _, at in caught_up] == sorted(at for _, at in caught_up), "out of order"
    assert all(after[0] - before[0] >= 1_000 for before, after in pairwise(caught_up)), "not spaced"


def test_one_shots_of_a_dead_worker_come_within_five_seconds() -> None:
    plant = Plant(T0)
    for second in range(1, 9):
        plant.create(type="AT", expr=f"at:2026-11-21T09:20:0{second}Z", target=WEBHOOK)
    plant.clock.sleep_until(T0 + 100)
    die_at(plant, T0 + 2_500)
    plant.clock.sleep_until(T0 + 2_800)
    plant.run_until(T0 + 60_000)
    late = [at_ms - max(d.firing_unix_ms, T0 + 2_500) for at_ms, d in plant.hook.sent]
    assert len(late) >= 8
    assert max(late) <= FAILOVER_MS
    assert isinstance(plant.queue, MemoryQueue)
    assert not plant.queue.poison
