"""Reports about an execution count while it may be reported on; those that come too late are noted."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.executions.execution import Execution
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.usecases import executions, schedules
from chalicelib.usecases.executions import ExecutionFilter
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST"}
TIMEOUT_MS = 30_000


def accept(_: Delivery) -> Outcome:
    return Outcome("accepted", http_status=202)


@pytest.fixture
def plant() -> Plant:
    plant = Plant(T0)
    plant.hook.answer = accept
    return plant


@pytest.fixture
def running(plant: Plant) -> Execution:
    """An execution that its target accepted."""
    made = plant.create(type="RATE", expr="rate:5s", max_runs=1, target=WEBHOOK, timeout_ms=TIMEOUT_MS)
    plant.run_until(T0 + 6_000)
    [found] = plant.executions(made)
    assert (found.state, found.asynchronous) == ("in_progress", True)
    return found


def test_a_report_ends_it_and_a_second_one_is_refused(plant: Plant, running: Execution) -> None:
    done = executions.complete(plant.services, CALLER, running.id, '{"rows":1}')
    assert (done.state, done.attempts[-1].outcome) == ("completed", "completed")
    with pytest.raises(Conflict) as refused:
        executions.fail(plant.services, CALLER, running.id, "changed its mind")
    assert refused.value.code == "not_accepted"
    assert executions.get(plant.services, CALLER, running.id) == done


def test_a_heartbeat_begins_the_time_out_anew(plant: Plant, running: Execution) -> None:
    plant.run_until(T0 + 30_000)
    assert executions.heartbeat(plant.services, CALLER, running.id).lease_until_ms == T0 + 30_000 + TIMEOUT_MS
    plant.run_until(T0 + 55_000)
    assert executions.complete(plant.services, CALLER, running.id, None).state == "completed"


def test_a_report_after_the_time_out_is_refused_and_noted_once_it_is_over(plant: Plant, running: Execution) -> None:
    plant.skip(T0 + 5_000 + 2 * TIMEOUT_MS)
    with pytest.raises(Conflict) as refused:
        executions.complete(plant.services, CALLER, running.id, None)
    assert refused.value.code == "timed_out"
    executions.cancel(plant.services, CALLER, running.id, "enough")
    with pytest.raises(Conflict):
        executions.complete(plant.services, CALLER, running.id, None)
    late = executions.get(plant.services, CALLER, running.id).attempts[-1].late_answer
    assert late is not None
    assert late.outcome == "completed"


def test_a_further_attempt_is_made_only_of_what_ended_without_success(plant: Plant, running: Execution) -> None:
    with pytest.raises(Conflict) as refused:
        executions.retry(plant.services, CALLER, running.id)
    assert refused.value.code == "not_retryable"
    executions.cancel(plant.services, CALLER, running.id, None)
    executions.retry(plant.services, CALLER, running.id)
    plant.run_until(plant.clock.now_ms() + 5_000)
    again = executions.get(plant.services, CALLER, running.id)
    assert (again.state, again.attempt, again.asynchronous) == ("in_progress", 2, True)


def test_a_list_goes_on_where_few_match(plant: Plant) -> None:
    plant.create(type="RATE", expr="rate:1s", max_runs=60)
    rare = plant.create(type="RATE", expr="rate:30s", max_runs=2, owner="rare")
    plant.run_until(T0 + 70_000)
    found, after, pages = list[Execution](), None, 0
    while pages == 0 or after is not None:
        items, after = executions.page(plant.services, CALLER, ExecutionFilter(owner="rare"), 3, after)
        found, pages = found + items, pages + 1
    assert [e.schedule_id for e in found] == [rare, rare]
    assert pages > 1, "the work of one page is bounded"


@pytest.mark.parametrize("name", ["", "nonsense", "01ARZ3NDEKTSV4RRFFQ69G5FAV-1795252805000"])
def test_what_is_no_execution_is_not_found(plant: Plant, name: str) -> None:
    with pytest.raises(NotFound):
        executions.get(plant.services, CALLER, name)


def test_an_execution_of_a_deleted_schedule_stays_what_it_became(plant: Plant, running: Execution) -> None:
    executions.cancel(plant.services, CALLER, running.id, "enough")
    schedules.delete(plant.services, CALLER, running.schedule_id, None)
    with pytest.raises(Conflict) as refused:
        executions.retry(plant.services, CALLER, running.id)
    assert refused.value.code == "not_retryable"
    plant.run_until(plant.clock.now_ms() + 5_000)
    found = executions.get(plant.services, CALLER, running.id)
    assert (found.state, found.history[-1].reason) == ("cancelled", "enough")
