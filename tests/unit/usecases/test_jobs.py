"""A job is a schedule and its last execution, told as one."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.ports.target import Outcome
from chalicelib.usecases import jobs
from chalicelib.usecases.jobs import JobRequest
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
ONCE = JobRequest("unico", timestamp="2026-11-21T09:21:00Z", webhook_url="http://127.0.0.1:9/", payload="{}")


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def make(plant: Plant, wanted: JobRequest = ONCE) -> str:
    return jobs.create(plant.services, CALLER, wanted, plant.services.ids.ulid(T0)).schedule.definition.id


def test_its_status_follows_its_execution(plant: Plant) -> None:
    plant.hook.answer = plant.hook.slowly(5_000)
    made = make(plant)
    seen = []
    for at_ms in (T0, T0 + 62_000, T0 + 70_000):
        plant.run_until(at_ms)
        seen.append(jobs.get(plant.services, CALLER, made).status)
    assert len(set(seen)) == 3
    last = jobs.get(plant.services, CALLER, made).last
    assert last is not None
    assert last.state == "completed"


def test_a_job_that_fails_says_so(plant: Plant) -> None:
    plant.hook.answer = lambda _: Outcome("failed", error_type="http_error", http_status=400, permanent=True)
    made = make(plant)
    before = jobs.get(plant.services, CALLER, made)
    plant.run_until(T0 + 62_000)
    after = jobs.get(plant.services, CALLER, made)
    assert before.last is None
    assert after.last is not None
    assert after.last.state == "failed"
    assert after.status != before.status


def test_a_cancelled_job_does_not_fire(plant: Plant) -> None:
    made = make(plant)
    cancelled = jobs.cancel(plant.services, CALLER, made, "enough", None)
    plant.run_until(T0 + 70_000)
    assert plant.hook.firings(made) == []
    assert jobs.get(plant.services, CALLER, made).status == cancelled.status


def test_what_has_passed_is_refused_in_the_words_of_a_job(plant: Plant) -> None:
    late = JobRequest("unico", timestamp="2026-11-21T09:19:00Z", webhook_url="http://127.0.0.1:9/", payload="{}")
    with pytest.raises(InvalidField, match="timestamp"):
        make(plant, late)


def test_a_job_that_is_due_and_has_not_begun_is_pending(plant: Plant) -> None:
    made = make(plant)
    plant.skip(T0 + 90_000)  # no worker runs
    assert jobs.get(plant.services, CALLER, made).status == "pending"
    assert [job.schedule.definition.id for job in jobs.page(plant.services, CALLER, "pending", 10, None)[0]] == [made]
    assert jobs.cancel(plant.services, CALLER, made, None, None).status == "cancelled"
    plant.run_until(T0 + 200_000)
    assert plant.hook.sent == []


def test_a_job_that_missed_all_its_runs_is_over_and_listed_so(plant: Plant) -> None:
    wanted = JobRequest("recurrente", cron_expression="*/10 * * * * *", last_date="2026-11-21T09:20:15Z")
    made = make(plant, wanted)
    plant.skip(T0 + 200_000)
    plant.run_until(T0 + 300_000)
    assert [e.state for e in plant.executions(made)] == ["missed"] * 2
    assert jobs.get(plant.services, CALLER, made).status == "completed"
    found, _ = jobs.page(plant.services, CALLER, "completed", 10, None)
    assert [job.schedule.definition.id for job in found] == [made]
