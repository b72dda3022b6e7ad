"""Attempts that are ended from outside: cancelled, timed out, reported too late. What comes after has no effect."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.usecases import executions, schedules
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
ONCE = RetryPolicy(max_attempts=1)
ACCEPTED = Outcome("accepted", http_status=202)


def begun(plant: Plant, run_ms: int, **fields: object) -> str:
    """An execution that has been running for a second; its id."""
    schedule_id = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK, **fields)
    started = schedules.trigger(plant.services, CALLER, schedule_id, None, None)
    plant.run_until(plant.clock.now_ms() + run_ms)
    return started.id


def test_cancelling_a_running_delivery_closes_its_connection() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(20_000)
    running = begun(plant, 1_200, retry_policy=ONCE)
    executions.cancel(plant.services, CALLER, running, "enough")
    plant.run_until(T0 + 120_000)
    done = executions.get(plant.services, CALLER, running)
    assert (done.state, done.history[-1].reason) == ("cancelled", "enough")
    assert plant.hook.cancelled == [running]
    [attempt] = done.attempts
    assert (attempt.outcome, attempt.finished_ms) == ("cancelled", T0 + 1_200)
    assert attempt.late_answer is not None
    assert (attempt.late_answer.outcome, attempt.late_answer.at_ms) == ("closed", T0 + 1_220)
    assert len(plant.hook.sent) == 1
    assert plant.queue.dead == []


def test_another_process_sees_the_cancel_and_closes_the_connection() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(20_000)
    running = begun(plant, 1_200)
    elsewhere = Plant(T0)
    api = replace(plant.services, targets=elsewhere.services.targets)  # has nothing of this under way itself
    executions.cancel(api, CALLER, running, None)
    plant.run_until(T0 + 8_000)
    assert elsewhere.hook.cancelled == [running]
    assert plant.hook.cancelled == [running]
    attempt = executions.get(plant.services, CALLER, running).attempts[0]
    assert attempt.late_answer is not None
    assert attempt.late_answer.at_ms <= T0 + 3_600  # looked at after 0.5, 1.5 and 3.5 seconds


@pytest.mark.parametrize(
    "late",
    [
        Outcome("completed", http_status=200),
        Outcome("accepted", http_status=202),
        Outcome("failed", http_status=500, error_type="http_error", error="HTTP 500"),
    ],
)
def test_the_answer_of_a_cancelled_attempt_is_noted_and_changes_nothing(late: Outcome) -> None:
    def answer(_: Delivery) -> Outcome:
        plant.clock.sleep_until(plant.clock.now_ms() + 3_000)  # cannot be broken off
        return late

    plant = Plant(T0)
    plant.hook.answer = answer
    running = begun(plant, 1_200)
    executions.cancel(plant.services, CALLER, running, None)
    before = executions.get(plant.services, CALLER, running)
    plant.run_until(T0 + 200_000)
    after = executions.get(plant.services, CALLER, running)
    [attempt] = after.attempts
    assert attempt.late_answer is not None
    assert (attempt.late_answer.outcome, attempt.late_answer.http_status) == (late.kind, late.http_status)
    assert (after.state, after.history, after.finished_ms) == (before.state, before.history, before.finished_ms)
    assert len(plant.hook.sent) == 1
    assert plant.queue.dead == []


def test_a_cancel_between_send_and_mark_is_noted_too() -> None:
    def answer(delivery: Delivery) -> Outcome:
        plant.clock.sleep_until(plant.clock.now_ms() + 50)
        executions.cancel(plant.services, CALLER, delivery.execution_id, None)
        return Outcome("completed", http_status=200)

    plant = Plant(T0)
    plant.hook.answer = answer
    done = executions.get(plant.services, CALLER, begun(plant, 5_000))
    [attempt] = done.attempts
    assert (done.state, attempt.number, attempt.outcome) == ("cancelled", 1, "cancelled")
    assert attempt.late_answer is not None
    assert attempt.late_answer.outcome == "completed"


def test_a_target_that_accepted_is_told_of_the_cancel() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: ACCEPTED
    running = begun(plant, 1_200)
    executions.cancel(plant.services, CALLER, running, "obsolete")
    plant.run_until(T0 + 5_000)
    [_, (sent_ms, notice)] = plant.hook.sent
    assert sent_ms - (T0 + 1_200) <= 1_000
    event = json.loads(notice.event)
    assert (event["type"], event["id"]) == ("chronowatch.cancellations.v1", running + "-cancel")
    assert event["data"] == {"execution_id": running, "attempt": 1, "fencing_token": 1, "reason": "obsolete"}
    assert executions.get(plant.services, CALLER, running).notice == 0
    with pytest.raises(Conflict, match="202"):
        executions.complete(plant.services, CALLER, running, "{}")
    done = executions.get(plant.services, CALLER, running)
    assert done.state == "cancelled"
    assert done.attempts[0].late_answer is not None
    assert (done.attempts[0].late_answer.outcome, done.result) == ("completed", None)


def test_a_cancel_event_is_tried_again_and_ends_as_a_dead_letter() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda d: (
        ACCEPTED if not d.execution_id.endswith("-cancel") else Outcome("failed", error_type="http_error", error="no")
    )
    running = begun(plant, 1_200, retry_policy=RetryPolicy(max_attempts=3, base_ms=1_000, jitter=False))
    executions.cancel(plant.services, CALLER, running, None)
    plant.run_until(T0 + 60_000)
    tries = [at for at, d in plant.hook.sent if d.execution_id == running + "-cancel"]
    assert len(tries) == 3
    assert [d.execution_id for d in plant.queue.dead] == [running + "-cancel"]


def test_what_was_accepted_and_never_reported_times_out_when_its_time_is_over() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: ACCEPTED
    waiting = begun(plant, 1_000, timeout_ms=10_000, retry_policy=ONCE)
    plant.run_until(T0 + 13_000)
    done = executions.get(plant.services, CALLER, waiting)
    assert done.state == "timeout"
    assert done.finished_ms is not None
    assert 10_000 <= done.finished_ms - T0 <= 12_500
    with pytest.raises(Conflict):
        executions.fail(plant.services, CALLER, waiting, "disk full")
    noted = executions.get(plant.services, CALLER, waiting)
    assert noted.attempts[0].late_answer is not None
    assert (noted.state, noted.attempts[0].late_answer.error) == ("timeout", "disk full")


def test_a_report_after_the_time_is_refused_though_nobody_has_looked_yet() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: ACCEPTED
    waiting = begun(plant, 1_000, timeout_ms=10_000)
    plant.skip(T0 + 30_000)
    for report in (
        lambda: executions.complete(plant.services, CALLER, waiting, None),
        lambda: executions.heartbeat(plant.services, CALLER, waiting),
    ):
        with pytest.raises(Conflict) as caught:
            report()
        assert caught.value.code == "timed_out"


def test_a_heartbeat_starts_the_time_anew() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: ACCEPTED
    waiting = begun(plant, 1_000, timeout_ms=10_000, retry_policy=ONCE)
    for second in range(5, 60, 5):
        plant.run_until(T0 + second * 1_000)
        executions.heartbeat(plant.services, CALLER, waiting)
    plant.run_until(T0 + 64_000)
    assert executions.get(plant.services, CALLER, waiting).state == "in_progress"
    plant.run_until(T0 + 68_500)
    assert executions.get(plant.services, CALLER, waiting).state == "timeout"


def test_an_attempt_in_progress_whose_worker_died_is_a_timeout() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(10_000_000)
    running = begun(plant, 1_000, timeout_ms=10_000)
    plant.hook.answer = lambda _: Outcome("completed")
    plant.run_until(T0 + 150_000)
    done = executions.get(plant.services, CALLER, running)
    assert [(a.outcome, a.error_type) for a in done.attempts] == [("timeout", "timeout"), ("completed", None)]
