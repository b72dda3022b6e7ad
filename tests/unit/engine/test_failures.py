"""``pause_after_failures`` in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.core.errors import PreconditionFailed, Unavailable
from chalicelib.core.policies.limits import FEED_LAG_MAX_MS
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import FailurePause, RetryPolicy
from chalicelib.engine import failures, schedule_change
from chalicelib.engine.claim import claim_runs
from chalicelib.ports.target import Outcome
from chalicelib.usecases import executions, schedules
from chalicelib.workers import feed
from chalicelib.workers.feed import Written
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
FAILED = Outcome("failed", http_status=500, error_type="http_error", error="it broke")
ONCE = RetryPolicy(max_attempts=1)
ALERT = "chronowatch.alert.v1"


def failing(plant: Plant, number: int | None, **fields: Any) -> str:
    plant.hook.answer = lambda _: FAILED
    wanted = {"type": "RATE", "expr": "rate:10s", "retry_policy": ONCE, "target": WEBHOOK, **fields}
    return plant.create(pause_after_failures=number, **wanted)


def states(plant: Plant, schedule_id: str) -> list[str]:
    return [e.state for e in plant.executions(schedule_id)]


def alerts(plant: Plant) -> list[dict[str, Any]]:
    return [json.loads(d.event) for _, d in plant.bus.sent if d.event_type == ALERT]


def test_so_many_failures_in_a_row_pause_the_schedule_at_once() -> None:
    plant = Plant(T0)
    beat = failing(plant, 3)
    plant.run_until(T0 + 200_000)
    assert states(plant, beat) == ["failed"] * 3
    found = plant.get(beat)
    assert (found.definition.active, found.state.status) == (False, "paused")
    assert found.definition.note == "paused after 3 consecutive failures"
    assert found.state.current.since_ms - (T0 + 30_000) < 1_000


def test_an_alert_tells_of_it_once() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2, name="beat", owner="ops")
    plant.run_until(T0 + 60_000)
    (alert,) = alerts(plant)
    last = plant.executions(beat)[-1]
    assert alert["id"] == f"{last.id}-paused"
    assert (alert["type"], alert["source"], alert["subject"]) == (ALERT, f"/chronowatch/schedules/{beat}", beat)
    at_ms = alert["data"].pop("at_unix_ms")
    assert 0 <= at_ms - (T0 + 20_000) < 1_000
    assert alert["data"] == {
        "kind": "paused_after_failures",
        "schedule_id": beat,
        "schedule_name": "beat",
        "owner": "ops",
        "execution_id": last.id,
        "failures": 2,
    }


def test_a_success_begins_the_count_anew() -> None:
    plant = Plant(T0)
    beat = failing(plant, 3)
    plant.hook.answer = lambda d: FAILED if (d.firing_unix_ms - T0) // 10_000 % 3 else Outcome("completed")
    plant.run_until(T0 + 200_500)
    assert len(states(plant, beat)) == 20
    assert plant.get(beat).definition.active
    assert alerts(plant) == []


def test_retries_of_one_execution_are_one_failure() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2, retry_policy=RetryPolicy(max_attempts=3, base_ms=100, jitter=False), expr="rate:30s")
    plant.run_until(T0 + 50_000)
    assert plant.get(beat).definition.active
    plant.run_until(T0 + 100_000)
    assert not plant.get(beat).definition.active
    assert [e.attempt for e in plant.executions(beat)] == [3, 3]


def test_time_outs_count_and_skipped_instants_lie_between() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2, expr="rate:2s", overlap="forbid")
    plant.hook.answer = plant.hook.slowly(5_000, Outcome("failed", error_type="timeout", error="no answer"))
    plant.run_until(T0 + 60_000)
    found = states(plant, beat)
    assert found[0] == "timeout"
    assert "skipped" in found
    assert found.count("timeout") == 2
    assert not plant.get(beat).definition.active


def test_without_the_policy_nothing_is_ever_paused() -> None:
    plant = Plant(T0)
    beat = failing(plant, None)
    plant.run_until(T0 + 200_500)
    assert states(plant, beat) == ["failed"] * 20
    assert plant.get(beat).definition.active
    assert alerts(plant) == []


def test_resuming_begins_the_count_anew() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plant.run_until(T0 + 61_000)
    schedules.resume(plant.services, CALLER, beat, None)
    assert plant.get(beat).definition.note is None
    plant.run_until(T0 + 75_000)
    assert plant.get(beat).definition.active
    plant.run_until(T0 + 120_000)
    assert states(plant, beat) == ["failed"] * 4
    assert not plant.get(beat).definition.active
    assert len(alerts(plant)) == 2


def test_other_edits_do_not_begin_it_anew() -> None:
    plant = Plant(T0)
    beat = failing(plant, 3)
    plant.run_until(T0 + 25_000)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(payload="1"), None)
    plant.run_until(T0 + 120_000)
    assert states(plant, beat) == ["failed"] * 3


def test_triggers_by_hand_count_both_ways() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2, expr="rate:1h")
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 1_000)
    plant.hook.answer = lambda _: Outcome("completed")
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 2_000)
    plant.hook.answer = lambda _: FAILED
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 5_000)
    assert plant.get(beat).definition.active
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 10_000)
    assert not plant.get(beat).definition.active


def test_a_retry_that_succeeds_takes_its_failure_back() -> None:
    plant = Plant(T0)
    beat = failing(plant, 3)
    plant.run_until(T0 + 25_000)
    plant.hook.answer = lambda _: Outcome("completed")
    executions.retry(plant.services, CALLER, plant.executions(beat)[-1].id)
    plant.run_until(T0 + 28_000)
    plant.hook.answer = lambda _: FAILED
    plant.run_until(T0 + 45_000)
    assert states(plant, beat) == ["failed", "completed", "failed", "failed"]
    assert plant.get(beat).definition.active


def test_a_report_of_failure_counts() -> None:
    plant = Plant(T0)
    beat = failing(plant, 1)
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    plant.run_until(T0 + 11_000)
    executions.fail(plant.services, CALLER, plant.executions(beat)[0].id, "no")
    assert not plant.get(beat).definition.active


def test_setting_the_policy_judges_from_the_next_failure_on() -> None:
    plant = Plant(T0)
    beat = failing(plant, None)
    plant.run_until(T0 + 55_000)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(pause_after_failures=2), None)
    assert plant.get(beat).definition.active
    plant.run_until(T0 + 100_000)
    assert states(plant, beat) == ["failed"] * 6


def test_one_that_has_completed_stays_completed() -> None:
    plant = Plant(T0)
    once = failing(plant, 1, type="AT", expr="at:2026-11-21T09:20:05Z")
    plant.run_until(T0 + 60_000)
    assert states(plant, once) == ["failed"]
    assert plant.get(once).definition.active


class Dying:
    """A table of schedules that is away while definitions are looked at by a judge."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.away = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def change(self, change: Any) -> None:
        if self.away:
            raise Unavailable("away")
        self._inner.change(change)


def test_what_the_worker_could_not_do_the_feed_does() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    tables = Dying(plant.services.stores.schedules)
    plant.services = with_stores(plant.services, schedules=tables)
    plant.feed_every_ms = None
    plant.run_until(T0 + 21_000)
    assert plant.get(beat).definition.active
    tables.away, plant.feed_every_ms = False, 2_000
    plant.run_until(T0 + 25_000)
    assert not plant.get(beat).definition.active
    assert len(alerts(plant)) == 1


def test_an_alert_that_the_bus_does_not_take_comes_again() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error", error="away")
    plant.run_until(T0 + 40_000)
    assert not plant.get(beat).definition.active
    before = len(alerts(plant))
    assert before > 1
    plant.bus.answer = lambda _: Outcome("completed")
    plant.run_until(T0 + 50_000)
    assert len({a["id"] for a in alerts(plant)}) == 1
    assert len(alerts(plant)) == before + 1


def test_an_alert_that_the_bus_refuses_is_a_dead_letter() -> None:
    plant = Plant(T0)
    beat = failing(plant, 1)
    plant.bus.answer = lambda _: Outcome("failed", error_type="rejected", error="no such bus", permanent=True)
    plant.run_until(T0 + 30_000)
    assert f"{plant.executions(beat)[0].id}-paused" in {d.execution_id for d in plant.queue.dead}
    assert len(alerts(plant)) == 1


def test_two_that_judge_at_once_pause_once() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plant.feed_every_ms = None
    plant.run_until(T0 + 12_000)
    judged = plant.get(beat).definition
    plant.run_until(T0 + 25_000)
    with pytest.raises(PreconditionFailed):
        schedule_change.pause_failing(plant.services, judged, FailurePause("x", 2, T0), lambda: True)
    first = plant.get(beat).definition
    again = failures.judge(plant.services, plant.executions(beat)[-1])
    assert again == first == plant.get(beat).definition


def test_it_is_told_also_when_somebody_resumes_at_once() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plant.feed_every_ms = None
    plant.run_until(T0 + 21_000)
    schedules.resume(plant.services, CALLER, beat, None)
    plant.feed_every_ms = 2_000
    plant.run_until(T0 + 25_000)
    assert plant.get(beat).definition.active
    assert [a["data"]["execution_id"] for a in alerts(plant)] == [plant.executions(beat)[1].id]


def test_a_failure_long_after_the_pause_tells_nothing_again() -> None:
    plant = Plant(T0)
    beat = failing(plant, 1)
    plant.run_until(T0 + 200_000)
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 220_000)
    assert states(plant, beat) == ["failed", "failed"]
    assert len(alerts(plant)) == 1


def test_the_feed_reads_nothing_for_what_went_well() -> None:
    plant = Plant(T0)
    plant.create(type="RATE", expr="rate:10s", target=WEBHOOK, pause_after_failures=1)
    plant.feed_every_ms = None
    plant.run_until(T0 + 60_000)
    blind = with_stores(plant.services, schedules=None, executions=None)  # whoever asks them anything stumbles
    feed.run(blind, plant.stream.written)
    assert all(isinstance(w, Written) for w in plant.stream.written)


def test_a_pause_is_told_though_a_failure_long_after_it_came_to_the_feed_together_with_its_own() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plant.feed_every_ms = None
    plant.run_until(T0 + 21_000 + 2 * FEED_LAG_MAX_MS)
    last = plant.executions(beat)[-1]
    assert not plant.get(beat).definition.active
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 22_000 + 2 * FEED_LAG_MAX_MS)
    assert states(plant, beat) == ["failed"] * 3
    plant.feed_every_ms = 2_000
    plant.run_until(T0 + 60_000)
    assert [a["data"]["execution_id"] for a in alerts(plant)] == [last.id]


def test_a_message_that_comes_twice_leaves_it_to_the_feed_to_pause() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plain = plant.services
    plant.services = with_stores(plain, schedules=Dying(plain.stores.schedules))
    plant.feed_every_ms = None
    plant.run_until(T0 + 21_000)
    plant.services = plain
    last = plant.executions(beat)[-1]
    claim_runs(plain, [Run(last.key, 1, last.firing_ms)])
    assert plain.process.versions.find(last.version) is not None
    assert plant.get(beat).definition.active
    plant.feed_every_ms = 2_000
    plant.run_until(T0 + 25_000)
    assert not plant.get(beat).definition.active
    assert [a["data"]["execution_id"] for a in alerts(plant)] == [last.id]


def test_a_judge_that_stood_still_pauses_nothing_that_has_gone_well_since() -> None:
    plant = Plant(T0)
    beat = failing(plant, 2)
    plain = plant.services
    plant.services = with_stores(plain, schedules=Dying(plain.stores.schedules))
    plant.feed_every_ms = None
    plant.run_until(T0 + 21_000)
    plant.services, plant.hook.answer = plain, lambda _: Outcome("completed")
    last = plant.executions(beat)[-1]
    once = iter([executions.retry])

    def gone_well(*_: object) -> None:
        for retry in once:
            retry(plain, CALLER, last.id)
            plant.run_until(T0 + 23_000)

    slow = with_stores(plain, executions=Watched(plain.stores.executions, "of_schedule", gone_well))
    judged = failures.judge(slow, last)
    assert judged is not None
    assert judged.active
    assert plant.get(beat).definition == judged
    assert states(plant, beat) == ["failed", "completed"]
