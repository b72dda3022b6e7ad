"""Edits that meet claims made before them, and claims whose workers died, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import ManualClock
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.limits import VERSIONS_INLINE_MAX
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.engine.binding import PAUSED, Unbound, ended_unbound
from chalicelib.engine.claim import claim_firings
from chalicelib.engine.handoff import firing_of
from chalicelib.ports.target import Outcome
from chalicelib.usecases import executions, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
LATER_EDITS = (0, VERSIONS_INLINE_MAX)  # with the latter, the state does not name what was in force before them


def edit(plant: Plant, schedule_id: str, at_ms: int, **fields: object) -> None:
    """An edit while no worker works."""
    plant.skip(at_ms)
    schedules.edit(plant.services, CALLER, schedule_id, ScheduleRequest(**fields), None)


def edit_often(plant: Plant, schedule_id: str, times: int, at_ms: int) -> None:
    for number in range(times):
        edit(plant, schedule_id, at_ms + number, payload=f'"later {number}"')


def claim_and_die(plant: Plant, schedule_id: str, at_ms: int, now_ms: int) -> None:
    """A worker claims an instant ahead of it, and that was the last it did."""
    plant.skip(now_ms)
    claims = claim_firings(plant.services, [firing_of(plant.get(schedule_id).definition, at_ms)])
    assert [c.execution.state for c in claims.claimed] == ["pending"]


def outcomes(plant: Plant, schedule_id: str) -> list[tuple[int, str]]:
    return [(e.firing_ms - T0, e.state) for e in plant.executions(schedule_id)]


def test_an_edit_owes_nothing_after_its_last_run_though_its_grid_goes_on() -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=3)
    plant.run_until(T0 + 26_500)  # that of second 30 is claimed
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(expr="rate:1s"), None)
    plant.run_until(T0 + 60_000)
    assert [at - T0 for at in plant.bus.instants(beat)] == [10_000, 20_000, 27_000]
    assert outcomes(plant, beat)[-1] == (30_000, "skipped")
    assert plant.get(beat).state.run_count == 3


@pytest.mark.parametrize("overlap", ["allow", "forbid"])
@pytest.mark.parametrize("max_runs", [1, 2])
def test_an_edit_that_leaves_no_runs_owes_nothing_of_what_was_claimed(max_runs: int, overlap: str) -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:10s", overlap=overlap)
    plant.run_until(T0 + 26_500)  # that of second 30 is claimed
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(max_runs=max_runs), None)
    plant.run_until(T0 + 60_000)
    assert [at - T0 for at in plant.bus.instants(beat)] == [10_000, 20_000]
    assert outcomes(plant, beat)[-1] == (30_000, "skipped")
    assert plant.get(beat).state.run_count == 2


def test_nor_does_it_when_it_was_edited_again_since() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=1)
    claim_and_die(plant, beat, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, beat, T0 + 7_500, expr="rate:1s")  # its only run: second 8
    edit(plant, beat, T0 + 10_500, payload='"again"')
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, beat) == [(8_000, "completed"), (10_000, "skipped")]


@pytest.mark.parametrize("later", LATER_EDITS)
def test_a_claim_whose_worker_died_runs_under_the_version_in_force_at_its_instant(later: int) -> None:
    plant = Plant(T0)
    once = plant.create(type="RATE", expr="rate:10s", max_runs=1, payload='"old"', catch_up_window_ms=600_000)
    claim_and_die(plant, once, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, once, T0 + 8_000, payload='"in force"')
    edit_often(plant, once, later, T0 + 11_000)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, once) == [(10_000, "completed")]
    assert [json.loads(d.event)["data"] for _, d in plant.bus.firings(once)] == ["in force"]


@pytest.mark.parametrize("later", LATER_EDITS)
def test_a_claim_of_a_delay_whose_worker_died_runs_not_beside_what_the_edit_began(later: int) -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=1)
    claim_and_die(plant, chained, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, chained, T0 + 8_000, expr="delay:11s")
    edit_often(plant, chained, later, T0 + 12_000)
    plant.run_until(T0 + 200_000)
    (first, end), (_, new_end) = outcomes(plant, chained)
    assert (first, end, new_end) == (10_000, "skipped", "completed")
    assert plant.get(chained).state.run_count == 1


@pytest.mark.parametrize("later", LATER_EDITS)
def test_a_claim_of_a_delay_whose_worker_died_runs_as_edited_where_its_wait_went_on(later: int) -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=1, payload='"old"')
    claim_and_die(plant, chained, T0 + 10_000, now_ms=T0 + 7_000)
    edit(plant, chained, T0 + 8_000, payload='"in force"')
    edit_often(plant, chained, later, T0 + 12_000)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, chained) == [(10_000, "completed")]
    assert [json.loads(d.event)["data"] for _, d in plant.bus.firings(chained)] == ["in force"]
    assert plant.get(chained).state.run_count == 1


def test_an_edit_by_a_clock_that_was_set_back_begins_no_run_beside_the_one_in_progress() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=2, target=WEBHOOK)
    plant.run_until(T0 + 12_000)
    assert outcomes(plant, chained) == [(10_000, "in_progress")]
    set_back = replace(plant.services, clock=ManualClock(T0 + 5_000))
    schedules.edit(set_back, CALLER, chained, ScheduleRequest(payload="1"), None)
    assert plant.get(chained).state.run_count == 1
    plant.run_until(T0 + 40_000)
    assert outcomes(plant, chained) == [(10_000, "in_progress")]
    for at_ms in (40_000, 60_000):
        plant.run_until(T0 + at_ms)
        executions.complete(plant.services, CALLER, plant.executions(chained)[-1].id, None)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, chained) == [(10_000, "completed"), (50_000, "completed")]


# -- an instant that a pause took out, and that the next version owes again


def only_record(plant: Plant, schedule_id: str) -> Execution:
    """The execution of second 10, also before its instant."""
    return executions.get(plant.services, CALLER, ExecutionKey(CALLER.tenant, schedule_id, T0 + 10_000).id)


def pause_and_skip(plant: Plant, schedule_id: str, now_ms: int) -> None:
    """A pause, and a worker that obeys it: the one instant that was claimed is skipped."""
    plant.skip(now_ms)
    schedules.pause(plant.services, CALLER, schedule_id, None, None)
    claimed = only_record(plant, schedule_id)
    skipped = ended_unbound(claimed, Unbound(PAUSED), now_ms)
    assert plant.services.stores.executions.update([(skipped, claimed.rev)]) == [True]
    assert only_record(plant, schedule_id).state == "skipped"


def taken_out(**fields: object) -> tuple[Plant, str]:
    """A schedule whose only run, of second 10, was claimed in second 4 and skipped by a pause in second 5."""
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=1, **fields)
    claim_and_die(plant, beat, T0 + 10_000, now_ms=T0 + 4_000)
    pause_and_skip(plant, beat, T0 + 5_000)
    return plant, beat


def resume(plant: Plant, schedule_id: str, clock_ms: int) -> None:
    """A resume by an instance whose clock says ``clock_ms``."""
    schedules.resume(replace(plant.services, clock=ManualClock(clock_ms)), CALLER, schedule_id, None)


@dataclass
class Stalled:
    """The executions of a worker that stands still before it writes its first records; ``meanwhile`` happens then."""

    inner: Any
    meanwhile: Callable[[], object]
    stands: bool = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def insert(self, records: Sequence[Execution]) -> list[bool]:
        if self.stands:
            self.stands = False
            self.meanwhile()
        return list(self.inner.insert(records))


def test_what_a_resume_puts_back_runs_once() -> None:
    plant, beat = taken_out()
    resume(plant, beat, T0 + 6_000)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, beat) == [(10_000, "completed")]
    assert [at for at, _ in plant.bus.sent] == [T0 + 10_000]


def test_what_another_pause_takes_out_again_before_its_instant_does_not_run() -> None:
    plant, beat = taken_out()
    resume(plant, beat, T0 + 6_000)
    plant.run_until(T0 + 9_500)
    assert only_record(plant, beat).state == "pending"
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, beat) == [(10_000, "skipped")]
    assert plant.bus.sent == []


def test_a_worker_that_stood_still_puts_nothing_back_that_was_taken_out_since() -> None:
    plant, beat = taken_out()
    resume(plant, beat, T0 + 6_000)
    again = firing_of(plant.get(beat).definition, T0 + 10_000)
    plant.skip(T0 + 7_000)
    executions_of = Stalled(
        plant.services.stores.executions, lambda: schedules.pause(plant.services, CALLER, beat, None, None)
    )
    claims = claim_firings(with_stores(plant.services, executions=executions_of), [again])
    assert (claims.claimed, claims.redeliver) == ((), ())
    plant.run_until(T0 + 200_000)
    assert outcomes(plant, beat) == [(10_000, "skipped")]
    assert plant.bus.sent == []


@pytest.mark.parametrize(("window_ms", "end"), [(600_000, "completed"), (20_000, "missed")])
def test_what_is_put_back_late_runs_late_or_is_missed(window_ms: int, end: str) -> None:
    plant, beat = taken_out(catch_up_window_ms=window_ms)
    plant.skip(T0 + 70_000)
    resume(plant, beat, T0 + 6_000)  # by a clock that was set back
    plant.run_until(T0 + 300_000)
    assert outcomes(plant, beat) == [(10_000, end)]


def test_what_a_sweep_finds_too_late_is_missed_although_a_pause_had_skipped_it() -> None:
    plant, beat = taken_out(catch_up_window_ms=20_000)
    plant.skip(T0 + 70_000)
    resume(plant, beat, T0 - 3_600_000)  # so far back that the instant lies beyond its horizon: a sweep hands it over
    plant.run_until(T0 + 300_000)
    assert outcomes(plant, beat) == [(10_000, "missed")]


def test_changes_by_a_clock_that_was_set_back_lose_nothing_between_them() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", max_runs=1, catch_up_window_ms=3_600_000)
    edit(plant, beat, T0 + 9_998, payload='"in force from 9,998 on"')
    set_back = replace(plant.services, clock=ManualClock(T0 - 3_600_000))
    for active in (False, True, False):  # from 9,999, 10,000 and 10,001 on: each begins after the one before
        schedules.edit(set_back, CALLER, beat, ScheduleRequest(enabled=active), None)
    plant.run_until(T0 + 1_000_000)  # by that clock it is an hour ahead, and the queue holds a message for 900 s
    assert outcomes(plant, beat) == [(10_000, "completed")]
