"""The mark of a bad end, as executions that end one after the other leave it."""

from __future__ import annotations

from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.ports.target import Outcome
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
FAILED, COMPLETED = Outcome("failed", error_type="http_error", permanent=True), Outcome("completed")


def test_a_bad_end_marks_its_schedule_until_a_run_ends_well() -> None:
    plant = Plant(T0)
    answers = {10_000: COMPLETED, 20_000: FAILED, 30_000: FAILED, 40_000: COMPLETED, 50_000: COMPLETED}
    plant.hook.answer = lambda d: answers[d.firing_unix_ms - T0]
    beat = plant.create(
        type="RATE", expr="rate:10s", target=WEBHOOK, max_runs=5, retry_policy=RetryPolicy(max_attempts=1)
    )
    marks = []
    for seconds in (12, 22, 32, 42, 52):
        plant.run_until(T0 + seconds * 1_000)
        state = plant.get(beat).state
        marks.append((state.outcome, state.outcome_ms - T0 if state.outcome else None))
    assert marks == [("", None), ("failed", 20_000), ("failed", 20_000), ("", None), ("", None)]


def test_an_older_run_that_ends_later_leaves_the_mark_though_what_was_claimed_since_was_taken_back() -> None:
    plant = Plant(T0)
    answers = {2_000: FAILED, 4_000: Outcome("accepted", 202), 6_000: FAILED}
    plant.hook.answer = lambda d: answers[d.firing_unix_ms - T0]
    beat = plant.create(
        type="RATE", expr="rate:2s", target=WEBHOOK, timeout_ms=5_000, retry_policy=RetryPolicy(max_attempts=1)
    )
    plant.run_until(T0 + 6_500)
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 130_000)
    ends = {e.firing_ms - T0: e.state for e in plant.executions(beat)}
    assert (ends[4_000], ends[6_000], ends[8_000]) == ("timeout", "failed", "skipped")
    assert plant.get(beat).state.outcome == "failed"
