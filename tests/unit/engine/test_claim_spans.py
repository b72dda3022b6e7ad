"""Claims that no record was written for: what meets them, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chalicelib.core.errors import NotFound, OutcomeUnknown
from chalicelib.core.executions.execution import version_of
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS, CLAIM_SHOWN_MS
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.schedules.schedule import Key, State
from chalicelib.engine import handoff
from chalicelib.engine.claim import claim_firings
from chalicelib.engine.claimed import Claims
from chalicelib.engine.handoff import Owed, firing_of
from chalicelib.usecases import backfill, executions, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


def claim(plant: Plant, schedule_id: str, *at_s: int, services: Any = None) -> Claims:
    definition = plant.get(schedule_id).definition
    return claim_firings(services or plant.services, [firing_of(definition, T0 + at * 1000) for at in at_s])


def recorded(plant: Plant, schedule_id: str) -> list[int]:
    """The instants that have records, also before their time."""
    key = Key(CALLER.tenant, schedule_id)
    records, _ = plant.services.stores.executions.of_schedule(key, 0, INSTANT_MAX_MS, 99, None)
    return [e.firing_ms - T0 for e in records]


def beat_of(plant: Plant, **fields: object) -> str:
    return plant.create(type="RATE", expr="rate:10s", max_runs=4, **fields)


def test_a_claimed_firing_has_no_record_and_can_be_read_and_cancelled() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.run_until(T0 + 9_500)
    shown = executions.get(plant.services, CALLER, f"{beat}-{T0 + 10_000}")
    assert (shown.state, shown.attempt, version_of(shown)) == ("pending", 1, "0")
    assert plant.executions(beat) == []
    assert executions.cancel(plant.services, CALLER, shown.id, "no longer", ["0"]).state == "cancelled"
    plant.run_until(T0 + 25_000)
    assert plant.bus.instants(beat) == [T0 + 20_000]
    assert [e.state for e in plant.executions(beat)] == ["cancelled", "completed"]


def test_an_instant_that_is_not_claimed_is_no_execution() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.run_until(T0 + 9_500)
    for name in (f"{beat}-{T0 + 20_000}", f"{beat}-{T0 + 10_000}-m", f"{beat[:-1]}X-{T0 + 10_000}"):
        with pytest.raises(NotFound):
            executions.get(plant.services, CALLER, name)


def test_a_claim_that_was_never_recorded_is_shown_for_a_day() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    claim(plant, beat, 10)
    plant.skip(T0 + 10_000 + CLAIM_SHOWN_MS - 1)
    assert executions.get(plant.services, CALLER, f"{beat}-{T0 + 10_000}").state == "pending"
    plant.skip(T0 + 10_000 + CLAIM_SHOWN_MS)
    with pytest.raises(NotFound):
        executions.get(plant.services, CALLER, f"{beat}-{T0 + 10_000}")


def test_a_message_that_comes_again_leaves_a_claim_to_its_owner_and_takes_it_over_when_its_lease_is_over() -> None:
    plant = Plant(T0)
    beat = beat_of(plant, catch_up_window_ms=600_000)
    plant.skip(T0 + 7_000)
    (first,) = claim(plant, beat, 10).claimed
    (leased,) = claim(plant, beat, 10).leased
    assert leased.until_ms == T0 + 10_000 + ATTEMPT_LEASE_MS + plant.services.config.max_drift_ms
    plant.skip(T0 + 10_000 + ATTEMPT_LEASE_MS + 100)
    (second,) = claim(plant, beat, 10).claimed
    assert second.execution.fencing_token > first.execution.fencing_token
    assert [a.outcome for a in second.execution.attempts] == ["lost"]
    assert [(e.attempt, e.rev) for e in plant.executions(beat)] == [(2, 1)]


def test_the_outcome_of_a_worker_that_lost_its_claim_changes_nothing() -> None:
    plant = Plant(T0)
    beat = beat_of(plant, catch_up_window_ms=600_000)
    plant.skip(T0 + 7_000)
    (first,) = claim(plant, beat, 10).claimed
    plant.skip(T0 + 10_000 + ATTEMPT_LEASE_MS + 100)
    claim(plant, beat, 10)
    late = plant.services.stores.executions.update([(first.execution, first.execution.rev)])
    assert late == [False]


def test_a_claim_without_an_answer_stands_when_it_was_written() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.skip(T0 + 7_000)

    class Unanswered:
        """States whose writes are made, and nobody is told."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
            self._inner.write_states(writes)
            raise OutcomeUnknown("no answer")

    api = with_stores(plant.services, schedules=Unanswered(plant.services.stores.schedules))
    (mine,) = claim(plant, beat, 10, services=api).claimed
    assert mine.execution.fencing_token == 1
    assert plant.get(beat).state.fence == 1


def test_what_the_state_has_no_room_for_is_recorded_at_once() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    for at_s in (10, 20, 30):
        plant.skip(T0 + at_s * 1000 - 1_000)
        claim(plant, beat, at_s)
    assert recorded(plant, beat) == [30_000]
    assert len(plant.get(beat).state.spans) == 2


def test_what_comes_out_of_order_is_recorded_at_once() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.skip(T0 + 9_500)
    claim(plant, beat, 20)
    claim(plant, beat, 10)
    assert recorded(plant, beat) == [10_000]


def test_what_is_claimed_is_not_given_up_by_who_hands_it_off_again() -> None:
    plant = Plant(T0)
    beat = beat_of(plant, catch_up_window_ms=5_000)
    plant.skip(T0 + 7_000)
    claim(plant, beat, 10)
    found = plant.get(beat)
    plant.skip(T0 + 60_000)
    plant.queue.receive(99)
    handoff.hand_off(plant.services, [Owed(found.definition, found.state, (T0 + 10_000,))], T0 + 60_000)
    assert plant.executions(beat) == []
    assert [str(T0 + 10_000) in message.body for message in plant.queue.receive()] == [True]


def test_a_backfill_leaves_out_what_is_claimed_and_nothing_is_claimed_over_it() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.skip(T0 + 9_999)
    claim(plant, beat, 10)
    plant.skip(T0 + 20_050)
    assert backfill.backfill(plant.services, CALLER, beat, T0 + 1, T0 + 20_050) == 1
    assert plant.get(beat).state.reached_ms == T0 + 20_000
    assert claim(plant, beat, 20).claimed == ()


def test_a_pause_before_the_instant_ends_a_claim_as_skipped() -> None:
    plant = Plant(T0)
    beat = beat_of(plant)
    plant.run_until(T0 + 9_500)
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 40_000)
    assert [(e.firing_ms, e.state) for e in plant.executions(beat)] == [(T0 + 10_000, "skipped")]
