"""A process that is about to end gives away what it has claimed and not begun."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import COMPLETED
from chalicelib.core.instants import to_rfc3339
from chalicelib.engine import pipeline
from chalicelib.process.limits import SHARED_INSTANTS
from chalicelib.process.memory import ProcessMemory
from tests.kit.plant import Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
LEAD_MS = 5_000


def _claimed(plant: Plant, due_ms: int) -> str:
    """A schedule whose only firing is claimed and waits for its instant."""
    once = plant.create(type="AT", expr="at:2026-11-21T09:40:00Z")
    plant.run_until(due_ms - LEAD_MS + 1_000)
    assert not plant.services.process.waiting_room.is_empty
    return once


def test_another_process_delivers_at_the_instant_what_this_one_had_claimed() -> None:
    plant = Plant(T0, lead_ms=LEAD_MS)
    due_ms = T0 + 1_200_000
    once = _claimed(plant, due_ms)
    assert pipeline.leave(plant.services)  # nothing is under way here any more
    left = plant.services
    plant.services = replace(left, process=ProcessMemory(), config=replace(left.config, instance="another"))
    plant.run_until(due_ms + 30_000)
    assert [(sent, d.fencing_token) for sent, d in plant.bus.sent if d.schedule_id == once] == [(due_ms, 2)]
    (execution,) = plant.executions(once)
    assert (execution.state, execution.attempt, len(execution.attempts)) == (COMPLETED, 1, 1)


@pytest.mark.parametrize(("window_ms", "state"), [(3_000, "missed"), (60_000, "completed")])
def test_what_nobody_takes_over_until_its_catch_up_window_has_passed_is_missed(window_ms: int, state: str) -> None:
    plant = Plant(T0, lead_ms=LEAD_MS)
    due_ms = T0 + 1_200_000
    webhook = {"type": "webhook", "url": "http://127.0.0.1:9/"}
    once = plant.create(type="RATE", expr="rate:20m", max_runs=1, catch_up_window_ms=window_ms, target=webhook)
    plant.run_until(due_ms - LEAD_MS + 1_000)
    assert pipeline.leave(plant.services)
    left = plant.services
    plant.services = replace(left, process=ProcessMemory(), config=replace(left.config, instance="another"))
    plant.skip(due_ms + 20_000)
    plant.run_until(due_ms + 90_000)
    (execution,) = plant.executions(once)
    assert (execution.state, len(plant.hook.sent)) == (state, state == "completed")


def test_a_crowd_that_shares_its_jobs_is_given_away_too() -> None:
    plant = Plant(T0, lead_ms=LEAD_MS)
    first_ms, count = T0 + 60_000, SHARED_INSTANTS[-1][0] + 100
    ids = [plant.create(type="AT", expr=f"at:{to_rfc3339(first_ms + n)}") for n in range(count)]
    plant.run_until(first_ms - LEAD_MS + 1_000)
    assert pipeline.leave(plant.services)
    left = plant.services
    plant.services = replace(left, process=ProcessMemory(), config=replace(left.config, instance="another"))
    plant.run_until(first_ms + 30_000)
    assert sorted(d.schedule_id for _, d in plant.bus.sent) == sorted(ids)
    assert {d.fencing_token for _, d in plant.bus.sent} == {2}


def test_what_is_at_hand_is_sent_by_the_process_that_has_it() -> None:
    plant = Plant(T0, lead_ms=LEAD_MS)
    due_ms = T0 + 1_200_000
    once = _claimed(plant, due_ms)
    plant.run_until(due_ms - pipeline.AT_HAND_MS)
    assert not pipeline.leave(plant.services)
    plant.run_until(due_ms + 100)
    assert pipeline.leave(plant.services)
    assert [(sent, d.fencing_token) for sent, d in plant.bus.sent if d.schedule_id == once] == [(due_ms, 1)]


def test_what_cannot_be_given_away_is_taken_over_when_its_lease_ends() -> None:
    plant = Plant(T0, lead_ms=LEAD_MS)
    due_ms = T0 + 1_200_000
    once = _claimed(plant, due_ms)

    class Away:
        def __getattr__(self, name: str) -> object:
            raise Unavailable("the queue is away")

    whole = plant.services
    plant.services = replace(whole, queue=Away())  # type: ignore[arg-type]
    assert pipeline.leave(plant.services)
    plant.services = replace(whole, process=ProcessMemory(), config=replace(whole.config, instance="another"))
    plant.run_until(due_ms + 120_000)
    assert [d.fencing_token for _, d in plant.bus.sent if d.schedule_id == once and d.fencing_token] == [2]
