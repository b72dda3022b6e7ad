"""Messages that must come again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.workers import deliver
from tests.kit.plant import Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


@pytest.mark.parametrize(("port", "method"), [("queue", "send"), ("schedules", "get")])
def test_a_message_comes_again_when_what_follows_its_end_could_not_be_set_off(port: str, method: str) -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:10s")
    plant.skip(T0 + 9_500)
    batch = plant.queue.receive()
    refusals = [Unavailable("throttled")]

    def refuse(_: object) -> None:
        if refusals:
            raise refusals.pop()

    plain = plant.services
    if port == "queue":
        flaky = replace(plain, queue=Watched(plain.queue, method, refuse))
    else:
        flaky = with_stores(plain, schedules=Watched(plain.stores.schedules, method, refuse))
    assert deliver.run(flaky, batch) == [incoming.receipt for incoming in batch]
    [ended] = plant.executions(chained)
    assert (ended.state, refusals) == ("completed", [])
    assert plant.get(chained).state.queued_ms == T0 + 10_000
    plant.clock.advance(1_000)
    assert deliver.run(flaky, batch) == []
    assert plant.get(chained).state.queued_ms == (ended.finished_ms or 0) + 10_000
    assert len(plant.bus.sent) == 1
