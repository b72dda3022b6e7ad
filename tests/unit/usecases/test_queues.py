"""Pausing the queue of a tenant, in virtual time: what waits, what is missed and how that is told, what goes on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chalicelib.core.errors import Forbidden, InvalidField
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.queues.queue_state import ACTIVE
from chalicelib.ports.target import COMPLETED, FAILED, Delivery, Outcome
from chalicelib.usecases import backfill, explain, queues, schedules
from tests.kit.callers import who
from tests.kit.plant import CALLER, Plant

START_MS = 1_767_225_600_000
S = 1_000


def beat(**more: Any) -> dict[str, Any]:
    return {"type": "RATE", "expr": "rate:1s", **more}


def sent(plant: Plant) -> list[int]:
    return sorted((delivery.firing_unix_ms - START_MS) // S for _, delivery in firings(plant))


def firings(plant: Plant) -> list[tuple[int, Delivery]]:
    """What was sent, but for the events of policies, which have no token."""
    return [(at_ms, delivery) for at_ms, delivery in plant.bus.sent if delivery.fencing_token]


def test_nothing_is_sent_between_the_answers() -> None:
    plant = Plant(START_MS)
    plant.create(**beat())
    plant.run_until(START_MS + 5 * S + 500)
    queues.pause(plant.services, CALLER)
    before = sent(plant)
    plant.run_until(START_MS + 12 * S + 500)
    assert sent(plant) == before == [1, 2, 3, 4, 5]
    queues.resume(plant.services, CALLER)
    plant.run_until(START_MS + 40 * S + 500)
    assert sent(plant) == list(range(1, 41)), "what fell due meanwhile was within its window"


def test_what_was_held_goes_out_at_the_pace_of_catch_up_and_says_why_it_is_late() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(**beat(max_runs=10))
    plant.run_until(START_MS + 2 * S + 500)
    queues.pause(plant.services, CALLER)
    plant.run_until(START_MS + 20 * S)
    queues.resume(plant.services, CALLER)
    plant.run_until(START_MS + 60 * S)
    began = [at_ms for at_ms, delivery in firings(plant) if delivery.firing_unix_ms > START_MS + 2 * S]
    assert len(began) == 8
    assert all(after - before >= S for before, after in pairwise(began))
    held = plant.executions(schedule_id)[-1]
    assert held.late
    assert held.held_note == (
        f"the queue was paused: it was held from {to_rfc3339(held.held_ms or 0)} until "
        f"{to_rfc3339(held.held_until_ms or 0)}"
    )
    reasons = explain.explain_instant(plant.services, CALLER, schedule_id, held.firing_ms).explanation.reasons
    assert [r.code for r in reasons] == ["delivered"]
    assert held.held_note in reasons[0].detail


def test_what_missed_its_window_is_told_as_such() -> None:
    plant = Plant(START_MS)
    schedule_id = plant.create(**beat(catch_up_window_ms=5 * S, max_runs=4))
    plant.run_until(START_MS + 1 * S + 500)
    queues.pause(plant.services, CALLER)
    plant.run_until(START_MS + 4 * S)
    [waiting] = explain.explain_instant(plant.services, CALLER, schedule_id, START_MS + 2 * S).explanation.reasons
    assert (waiting.code, "the queue was paused" in waiting.detail) == ("pending", True)
    plant.run_until(START_MS + 60 * S)
    assert [e.state for e in plant.executions(schedule_id)] == ["completed", "missed", "missed", "missed"]
    lines = backfill.ledger(plant.services, CALLER, schedule_id, START_MS, START_MS + 5 * S, 100).lines
    assert all("the queue was paused" in (line.reason or "") for line in lines[1:])
    assert all("older than the catch-up window" in (line.reason or "") for line in lines[1:])
    queues.resume(plant.services, CALLER)
    plant.run_until(START_MS + 90 * S)
    assert sent(plant) == [1]


def test_what_has_no_window_waits_for_hours() -> None:
    plant = Plant(START_MS)
    once = plant.create(type="AT", expr=f"at:{to_rfc3339(START_MS + 10 * S)}")
    queues.pause(plant.services, CALLER)
    triggered = schedules.trigger(plant.services, CALLER, once, None, None)
    plant.run_until(START_MS + 3 * 3600 * S)
    assert {e.state for e in plant.executions(once)} == {"pending"}
    queues.resume(plant.services, CALLER)
    plant.run_until(plant.clock.now_ms() + 2 * S)
    assert [e.state for e in plant.executions(once)] == ["completed"] * 2
    assert triggered.id in {e.id for e in plant.executions(once)}


def test_a_retry_waits_and_is_no_further_attempt() -> None:
    plant = Plant(START_MS)
    plant.bus.answer = lambda _: Outcome(FAILED, error_type="http_error", error="HTTP 500")
    schedule_id = plant.create(**beat(max_runs=1))
    plant.run_until(START_MS + 1 * S + 200)
    queues.pause(plant.services, CALLER)
    plant.bus.answer = lambda _: Outcome(COMPLETED)
    plant.run_until(START_MS + 600 * S)
    [waiting] = plant.executions(schedule_id)
    assert (waiting.state, len(waiting.attempts), waiting.is_held) == ("in_progress", 1, True)
    queues.resume(plant.services, CALLER)
    plant.run_until(plant.clock.now_ms() + 2 * S)
    [done] = plant.executions(schedule_id)
    assert (done.state, [a.number for a in done.attempts]) == ("completed", [1, 2])


def test_a_pause_ends_by_itself_at_its_instant() -> None:
    plant = Plant(START_MS)
    plant.create(**beat(max_runs=20))
    queues.pause(plant.services, CALLER, "a while", START_MS + 8 * S)
    plant.run_until(START_MS + 7 * S + 900)
    assert sent(plant) == []
    assert queues.get(plant.services, CALLER).note == "a while"
    plant.run_until(START_MS + 60 * S)
    assert sent(plant) == list(range(1, 21))
    assert queues.get(plant.services, CALLER) == ACTIVE


def test_a_pause_of_what_is_paused_keeps_its_beginning() -> None:
    plant = Plant(START_MS)
    first = queues.pause(plant.services, CALLER, "one")
    again = queues.pause(plant.services, CALLER, "two", plant.clock.now_ms() + 60 * S)
    assert (again.paused_ms, again.note) == (first.paused_ms, "two")


def test_a_resumption_that_died_is_finished_by_reconcile() -> None:
    plant = Plant(START_MS)
    once = plant.create(type="AT", expr=f"at:{to_rfc3339(START_MS + 2 * S)}")
    queues.pause(plant.services, CALLER)
    plant.run_until(START_MS + 10 * S)
    before = plant.services.stores.queues.load("default")
    assert before is not None
    resumed = f'{{"resumed_ms":{plant.clock.now_ms()}}}'  # as its call writes it, before it wakes anything
    assert plant.services.stores.queues.save("default", resumed, before[1] + 1, before[1])
    plant.run_until(START_MS + 70 * S)
    assert [e.state for e in plant.executions(once)] == ["completed"]


def test_other_tenants_go_on() -> None:
    plant = Plant(START_MS)
    plant.create(**beat(max_runs=3))
    queues.pause(plant.services, who("eve", "admin", tenant="other"))
    plant.run_until(START_MS + 5 * S)
    assert sent(plant) == [1, 2, 3]
    assert queues.get(plant.services, CALLER) == ACTIVE


@pytest.mark.parametrize("role", ["operator", "user", "viewer"])
def test_everybody_sees_it_and_only_administrators_change_it(role: str) -> None:
    plant = Plant(START_MS)
    queues.pause(plant.services, CALLER)
    caller = who("ann", role)
    assert queues.get(plant.services, caller).paused_ms is not None
    for change in (queues.pause, queues.resume):
        with pytest.raises(Forbidden):
            change(plant.services, caller)


def test_its_end_lies_in_the_future() -> None:
    plant = Plant(START_MS)
    with pytest.raises(InvalidField, match="future"):
        queues.pause(plant.services, CALLER, "", START_MS)
