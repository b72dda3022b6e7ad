"""Limits and turns in virtual time: who is sent when, how many at once, and that nothing is lost in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import Execution
from chalicelib.core.instants import to_rfc3339
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.process.admission import Caps
from chalicelib.process.limits import CALLS_MAX, GIVE_WAY_MAX_MS, HOLD_MAX_MS, SENDING_MS
from chalicelib.usecases import executions, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.targets import Recorder

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
AT_MS = T0 + 60_000
SLOW = {"type": "webhook", "url": "https://example.com/slow", "method": "POST", "timeout_ms": 30_000}
OTHER = {"type": "webhook", "url": "https://example.org/other", "method": "POST", "timeout_ms": 30_000}
BUS = {"type": "eventbridge", "bus": "b"}


def plant_of(ms: int, **caps: int) -> Plant:
    plant = Plant(T0, caps=Caps(**caps))
    plant.hook.answer = plant.hook.slowly(ms)
    return plant


def herd(plant: Plant, owner: str, count: int, target: dict[str, object] = SLOW, at_ms: int = AT_MS) -> Sequence[str]:
    expr = f"at:{to_rfc3339(at_ms)}"
    return [plant.create(type="AT", expr=expr, owner=owner, target=target, sla_ms=1_000) for _ in range(count)]


def ended(plant: Plant, ids: Sequence[str]) -> list[Execution]:
    found = [plant.executions(i) for i in ids]
    assert [len(of_one) for of_one in found] == [1] * len(ids)
    return [of_one[0] for of_one in found]


def most_at_once(runs: Sequence[Execution]) -> int:
    edges = Counter[tuple[int, int]]()
    for run in runs:
        for attempt in run.attempts:
            assert attempt.finished_ms is not None
            edges[attempt.started_ms, 1] += 1
            edges[attempt.finished_ms, -1] -= 1
    at_once = most = 0
    for (_, _), change in sorted(edges.items(), key=lambda edge: (edge[0][0], edge[0][1])):
        at_once += change
        most = max(most, at_once)
    return most


def sent_after(plant: Plant, ids: Sequence[str]) -> list[int]:
    """How long after the instant each was sent, in order."""
    return sorted(at_ms - AT_MS for at_ms, d in plant.hook.sent if d.schedule_id in ids)


def test_no_more_than_two_at_once_to_one_destination_and_each_once() -> None:
    plant = plant_of(1_000, target_in_flight=2)
    ids, beside = herd(plant, "ann", 60), herd(plant, "ann", 2, OTHER)
    plant.run_until(AT_MS + 90_000)
    runs = ended(plant, ids)
    assert {(run.state, run.attempt, len(run.attempts)) for run in runs} == {("completed", 1, 1)}
    assert most_at_once(runs) == 2
    assert sent_after(plant, beside)[-1] < 100, "another destination is not held back"
    assert sent_after(plant, ids)[-1] < 60_000, "the destination was hardly ever idle"
    assert len(plant.hook.sent) == 62
    assert sum(run.late for run in runs) == sum(after > 1_000 for after in sent_after(plant, ids))
    assert plant.queue.dead == []


def test_an_owners_limit_holds_over_destinations_and_leaves_others_alone() -> None:
    plant = plant_of(50, owner_in_flight=4)
    ids, beside = [*herd(plant, "ann", 100), *herd(plant, "ann", 100, OTHER)], herd(plant, "bee", 3)
    plant.run_until(AT_MS + 20_000)
    assert most_at_once(ended(plant, ids)) == 4
    assert sent_after(plant, beside)[-1] <= 10
    assert sent_after(plant, ids)[-1] == pytest.approx(200 / 4 * 50, abs=200)


def test_a_herd_costs_another_owner_a_turn_at_a_destination_they_share() -> None:
    plant = plant_of(50, target_in_flight=2)
    herd(plant, "ann", 300)
    beside = [*herd(plant, "bee", 1), *herd(plant, "bee", 1, at_ms=AT_MS + 1_000)]
    plant.run_until(AT_MS + 30_000)
    first, second = sent_after(plant, beside)
    assert first <= 100
    assert second - 1_000 <= 100
    assert {run.state for run in ended(plant, beside)} == {"completed"}


def test_a_rate_spreads_a_herd_and_loses_none() -> None:
    plant = plant_of(5, owner_rate=10)
    ids, beside = herd(plant, "ann", 150), herd(plant, "bee", 1)
    plant.run_until(AT_MS + 60_000)
    assert {(run.state, run.attempt) for run in ended(plant, ids)} == {("completed", 1)}
    after = sent_after(plant, ids)
    assert len(after) == 150
    assert all(later - earlier >= 99 for earlier, later in pairwise(after))
    assert after[99] == pytest.approx(9_900, abs=300)
    assert after[-1] <= 25_000
    assert sent_after(plant, beside) == [0]


def test_what_waits_too_long_is_pending_in_the_queue_and_no_attempt_is_counted() -> None:
    plant = plant_of(25_000, target_in_flight=1)
    (first, second) = herd(plant, "ann", 2)
    plant.run_until(AT_MS + HOLD_MAX_MS - 100)
    (held,) = [i for i in (first, second) if plant.executions(i)[0].state == "pending"]
    shown = executions.get(plant.services, CALLER, f"{held}-{AT_MS}")
    assert (shown.state, shown.attempt, shown.retry_at_ms) == ("pending", 1, None)
    plant.run_until(AT_MS + HOLD_MAX_MS + 200)
    (waiting,) = [run for run in ended(plant, (first, second)) if run.state == "pending"]
    assert (waiting.attempt, waiting.lease_until_ms) == (0, None)
    assert waiting.retry_at_ms is not None
    plant.run_until(AT_MS + 120_000)
    runs = ended(plant, (first, second))
    assert [(run.state, run.attempt) for run in runs] == [("completed", 1)] * 2
    assert [run.late for run in runs].count(True) == 1
    assert most_at_once(runs) == 1


def test_a_firing_that_is_cancelled_while_it_waits_is_never_sent() -> None:
    plant = plant_of(4_000, target_in_flight=1)
    ids = herd(plant, "ann", 4)
    plant.run_until(AT_MS + 1_000)
    (running,) = {d.schedule_id for _, d in plant.hook.sent}
    gone, deleted, kept = (i for i in ids if i != running)
    executions.cancel(plant.services, CALLER, f"{gone}-{AT_MS}", "not needed")
    schedules.delete(plant.services, CALLER, deleted, None)
    plant.run_until(AT_MS + 100_000)
    assert {d.schedule_id for _, d in plant.hook.sent} == {running, kept}
    assert [plant.executions(i)[0].state for i in (gone, deleted, kept)] == ["cancelled", "cancelled", "completed"]


def test_a_firing_that_promised_never_to_be_late_is_missed_instead() -> None:
    plant = plant_of(4_000, target_in_flight=1)
    fields = {"type": "RATE", "expr": "rate:1m", "max_runs": 1, "sla_ms": 500, "catch_up_window_ms": 0}
    ids = [plant.create(**fields, owner="ann", target=SLOW) for _ in range(2)]
    plant.run_until(AT_MS + 60_000)
    assert sorted(run.state for run in ended(plant, ids)) == ["completed", "missed"]


def test_calls_that_carry_ten_stay_full_without_limits_and_are_of_one_owner_with_them() -> None:
    plant = Plant(T0)
    ids = [i for _ in range(25) for owner in ("ann", "bee") for i in herd(plant, owner, 1, BUS)]
    sizes = Counter[int]()
    dispatch = plant.bus.dispatch

    def counted(deliveries: Sequence[object]) -> object:
        sizes[len(deliveries)] += 1
        return dispatch(deliveries)  # type: ignore[arg-type]

    plant.bus.dispatch = counted  # type: ignore[assignment, method-assign]
    plant.run_until(AT_MS + 1_000)
    assert sizes == {10: 5}
    plant.reconfigure(caps=Caps(target_in_flight=4))
    ids += herd(plant, "ann", 12, BUS, AT_MS + 60_000)
    sizes.clear()
    plant.run_until(AT_MS + 90_000)
    assert sizes == {4: 2, 2: 2}  # ten and two of them came in a batch of messages
    assert {run.state for run in ended(plant, ids)} == {"completed"}


def test_the_places_of_a_process_are_never_all_one_owners() -> None:
    plant = plant_of(28_000)
    herd(plant, "ann", CALLS_MAX)
    beside = herd(plant, "bee", 1, at_ms=AT_MS + 2_000)
    plant.run_until(AT_MS + 3_000)
    assert sent_after(plant, beside)[0] - 2_000 <= SENDING_MS


def test_the_api_answers_while_deliveries_wait() -> None:
    plant = plant_of(5_000, target_in_flight=1)
    ids = herd(plant, "ann", 5)
    plant.run_until(AT_MS + 1_000)
    assert schedules.pause(plant.services, CALLER, ids[0], None, None).state.status == "paused"
    assert plant.create(type="RATE", expr="rate:1m", owner="bee", target=OTHER)
    plant.run_until(AT_MS + 120_000)
    assert {run.state for run in ended(plant, ids)} == {"completed"}, "what was owed before the pause is sent"


class Busy(Recorder):
    """A target whose every delivery keeps this process busy until it is sent."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        self._clock.sleep_until(self._clock.now_ms() + SENDING_MS - 1)
        return super().dispatch(deliveries)


def test_what_has_ended_is_written_after_what_waits_to_be_sent_and_not_long_after() -> None:
    plant = plant_of(0, sending=1)
    busy = Busy(plant.clock, max_batch=1)
    plant.services = replace(plant.services, targets={**plant.services.targets, "webhook": busy})
    ids = herd(plant, "a", 100)
    plant.run_until(AT_MS + GIVE_WAY_MAX_MS // 2)
    assert 5 < len(busy.sent) < 100
    assert not any(plant.executions(i) for i in ids), "an outcome was written while others waited to be sent"
    plant.run_until(AT_MS + GIVE_WAY_MAX_MS + 60)
    assert len(busy.sent) < 100
    assert "completed" in {run.state for i in ids for run in plant.executions(i)}
    plant.run_until(AT_MS + 5_000)
    assert {run.state for run in ended(plant, ids)} == {"completed"}
