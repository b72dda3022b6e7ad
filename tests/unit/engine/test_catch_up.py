"""After an outage, in virtual time: what is late goes out at a measured pace, and nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from chalicelib.core.policies import catch_up
from chalicelib.usecases import backfill, executions, schedules
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


def late_ms(plant: Plant, schedule_id: str) -> list[int]:
    """When what was late was sent."""
    sent = plant.bus.firings(schedule_id)
    return [at for at, d in sent if at - d.firing_unix_ms > 2_000]


def most_in_a_minute(times: list[int]) -> int:
    return max(sum(start <= at < start + 60_000 for at in times) for start in times)


def test_ninety_seconds_of_silence() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s")
    plant.run_until(T0 + 30_500)
    plant.skip(T0 + 120_500)
    plant.run_until(T0 + 260_500)
    found = {e.firing_ms - T0: e for e in plant.executions(beat)}
    assert sorted(found) == [k * 1_000 for k in range(1, 261)]
    missed = [at for at, e in found.items() if e.state == "missed"]
    # What was claimed before the silence goes on; of the rest, what is late by more than the window of a minute.
    first = min(missed)
    assert 31_000 < first <= 41_000, "the message that was claimed ends where those of this schedule do"
    assert sorted(missed) == list(range(first, 61_000, 1_000))
    assert {e.state for e in found.values()} == {"completed", "missed"}
    assert max(Counter(plant.bus.instants(beat)).values()) == 1
    late = late_ms(plant, beat)
    assert len(late) >= 57
    assert most_in_a_minute(late) <= 61
    assert all(later - earlier >= 1_000 for earlier, later in pairwise(sorted(late)))


@pytest.mark.parametrize("per_minute", [6, 30, 600])
def test_the_pace_can_be_chosen(per_minute: int) -> None:
    plant = Plant(T0, catch_up_per_minute=per_minute)
    beat = plant.create(type="RATE", expr="rate:10s", catch_up_window_ms=1_800_000)
    plant.skip(T0 + 605_000)
    plant.run_until(T0 + 606_000)
    drawn = backfill.ledger(plant.services, CALLER, beat, T0, T0 + 606_000, 1_000)
    assert drawn.lost == 0
    assert {line.outcome for line in drawn.lines} <= {"completed", "pending"}
    plant.run_until(T0 + 605_000 + 60 * 60_000 // per_minute + 63_000)
    late = late_ms(plant, beat)
    assert len(late) == 60
    assert most_in_a_minute(late) <= per_minute + 1
    assert {e.state for e in plant.executions(beat) if e.firing_ms <= T0 + 600_000} == {"completed"}


def test_schedules_do_not_share_a_pace() -> None:
    plant = Plant(T0)
    beats = [plant.create(type="RATE", expr="rate:30s", catch_up_window_ms=600_000) for _ in range(20)]
    plant.skip(T0 + 95_000)
    plant.run_until(T0 + 99_000)
    assert [len(late_ms(plant, beat)) for beat in beats] == [3] * 20


def test_single_instants_do_not_wait() -> None:
    plant = Plant(T0)
    once = [plant.create(type="AT", expr=f"at:2026-11-21T09:20:{second:02d}Z") for second in range(10, 40)]
    plant.skip(T0 + 300_000)
    plant.run_until(T0 + 301_000)
    assert {e.state for i in once for e in plant.executions(i)} == {"completed"}


def test_a_repeated_message_takes_up_no_slots() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", catch_up_window_ms=600_000)
    letters = {receipt: letter.body for receipt, letter in plant.queue._letters.items()}
    plant.skip(T0 + 100_500)
    plant.run_until(T0 + 101_000)
    paced_ms = plant.get(beat).state.paced_ms
    for letter in list(plant.queue._letters.values()):
        if letter.body in letters.values():
            letter.visible_ms = plant.clock.now_ms()
    plant.run_until(T0 + 103_000)
    assert plant.get(beat).state.paced_ms == paced_ms


def test_what_waits_for_its_slot_can_be_cancelled_and_obeys_a_deletion() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", catch_up_window_ms=600_000)
    plant.skip(T0 + 100_500)
    plant.run_until(T0 + 102_000)
    waiting = [e for e in plant.executions(beat) if e.state == "pending" and e.firing_ms <= T0 + 100_000]
    assert len(waiting) >= 7
    executions.cancel(plant.services, CALLER, waiting[0].id, "too late for us")
    schedules.delete(plant.services, CALLER, beat, None)
    plant.run_until(T0 + 180_000)
    assert {executions.get(plant.services, CALLER, e.id).state for e in waiting} == {"cancelled"}


def test_slots_follow_the_last_one_given_out() -> None:
    assert catch_up.slots(3, None, 1_000, 60) == [1_000, 2_000, 3_000]
    assert catch_up.slots(2, 5_500, 1_000, 60) == [6_500, 7_500]
    assert catch_up.slots(2, 100, 10_000, 60) == [10_000, 11_000]
    assert catch_up.slots(2, 100, 100, 7) == [100 + 8_572, 100 + 2 * 8_572]
