"""A job is a schedule and its last execution, told as one."""

from __future__ import annotations

from typing import get_args

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.jobs.job_status import JobStatus
from chalicelib.ports.target import Outcome
from chalicelib.usecases import jobs, schedules
from chalicelib.usecases.jobs import JobRequest
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
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


def lists(plant: Plant) -> dict[str, list[str]]:
    """The ids of jobs by the lists that have them."""
    pages = {status: jobs.page(plant.services, CALLER, status, 10, None)[0] for status in get_args(JobStatus)}
    return {status: [job.schedule.definition.id for job in found] for status, found in pages.items() if found}


def test_a_job_whose_last_run_was_claimed_before_the_one_before_it_failed_is_listed_as_completed(plant: Plant) -> None:
    failed = Outcome("failed", error_type="http_error", permanent=True)
    plant.hook.answer = lambda d: failed if d.firing_unix_ms == T0 + 5_000 else Outcome("completed")
    made = plant.create(type="RATE", expr="rate:5s", max_runs=2, target=WEBHOOK)
    plant.run_until(T0 + 12_000)
    assert [e.state for e in plant.executions(made)] == ["failed", "completed"]
    assert (jobs.get(plant.services, CALLER, made).status, lists(plant)) == ("completed", {"completed": [made]})


@pytest.mark.parametrize("overlap", ["forbid", "queue"])
def test_a_job_is_in_progress_for_as_long_as_its_run_keeps_others_from_beginning(plant: Plant, overlap: str) -> None:
    plant.hook.answer = lambda _: Outcome("accepted", 202)
    made = plant.create(type="RATE", expr="rate:1s", overlap=overlap, target=WEBHOOK)
    for seconds in (1, 2, 10, 60):
        plant.run_until(T0 + seconds * 1_000 + 500)
        assert (jobs.get(plant.services, CALLER, made).status, lists(plant)) == ("in_progress", {"in_progress": [made]})
        assert [job.status for job in jobs.page(plant.services, CALLER, None, 10, None)[0]] == ["in_progress"]


def test_a_job_stays_listed_by_its_last_run_when_it_is_cancelled_and_resumed(plant: Plant) -> None:
    plant.hook.answer = lambda _: Outcome("accepted", 202)
    made = plant.create(type="RATE", expr="rate:1h", start_at_ms=T0 + 5_000, target=WEBHOOK)
    plant.run_until(T0 + 6_000)
    jobs.cancel(plant.services, CALLER, made, "enough", None)
    assert lists(plant) == {"cancelled": [made]}
    schedules.resume(plant.services, CALLER, made, None)
    assert (jobs.get(plant.services, CALLER, made).status, lists(plant)) == ("cancelled", {"cancelled": [made]})
    plant.hook.answer = lambda _: Outcome("completed")
    plant.run_until(T0 + 3_606_000)
    assert lists(plant) == {"completed": [made]}


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
