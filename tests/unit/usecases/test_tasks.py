"""What the API's tests of tasks do not reach: bounds, and definitions that are kept no longer."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import tasks
from chalicelib.usecases.tasks import SortField, Task, TaskFilter
from tests.kit.machine import NOW_MS
from tests.kit.records import execution, schedule
from tests.kit.services import make_services

KEY = Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")


@pytest.fixture
def s() -> Services:
    return make_services()


def put(s: Services, *ages_ms: int, **fields: Any) -> None:
    s.stores.executions.insert([execution(KEY, NOW_MS - age, shard=age % 16, **fields) for age in ages_ms])


def test_a_task_whose_definition_is_gone_has_no_name(s: Services) -> None:
    put(s, 1)
    assert [task.name for task in tasks.page(s, ANONYMOUS_ADMIN, TaskFilter(), 10, None)[0]] == [None]
    assert tasks.page(s, ANONYMOUS_ADMIN, TaskFilter(name="x"), 10, None)[0] == []
    assert len(tasks.page(s, ANONYMOUS_ADMIN, TaskFilter(name="*"), 10, None)[0]) == 1


def test_a_rare_name_gives_short_pages_that_go_on_to_the_last(s: Services) -> None:
    s.stores.schedules.create(schedule(KEY, name="rare"))
    put(s, *range(1, 400), version="gone")
    put(s, 500)
    wanted, after, found = TaskFilter(name="rare"), None, list[Task]()
    for _ in range(60):
        page, after = tasks.page(s, ANONYMOUS_ADMIN, wanted, 2, after)
        found += page
        if after is None:
            break
    assert after is None
    assert [task.execution.firing_ms for task in found] == [NOW_MS - 500]


@pytest.mark.parametrize("descending", [True, False])
def test_tasks_of_one_value_are_ordered_by_id_over_all_pages(s: Services, descending: bool) -> None:
    put(s, *range(1, 8))
    sort: SortField = "status"
    found, after = list[str](), None
    while True:
        page, after = tasks.sorted_page(s, ANONYMOUS_ADMIN, TaskFilter(), sort, descending, 3, after)
        found += [task.execution.id for task in page]
        if after is None:
            break
    assert found == sorted(found)
    assert len(found) == 7


def test_an_end_before_its_start_took_no_time() -> None:
    started = replace(execution(KEY, NOW_MS), first_started_ms=NOW_MS, finished_ms=NOW_MS - 5, state="completed")
    assert Task(started, None).duration_ms == 0
    assert Task(replace(started, state="pending"), None).duration_ms is None


def test_errors_are_counted_by_what_they_have_in_common(s: Services) -> None:
    for age in (30, 10, 20):
        put(s, age, error=f"HTTP 503 after {age} ms", state="failed", finished_ms=NOW_MS)
    put(s, *range(100, 100 + tasks.ERRORS_SHOWN), error="HTTP 404", state="failed", finished_ms=NOW_MS)
    put(s, tasks.DAY_MS + 1, error="HTTP 404", state="failed", finished_ms=NOW_MS)
    found = tasks.numbers(s, ANONYMOUS_ADMIN)
    assert [(each.count, each.newest_id) for each in found.errors] == [
        (tasks.ERRORS_SHOWN, f"{KEY.id}-{NOW_MS - 100}"),
        (3, f"{KEY.id}-{NOW_MS - 10}"),
    ]
    assert (found.other_errors, found.more) == (0, False)


def test_rare_errors_are_a_number(s: Services) -> None:
    for place in range(tasks.ERRORS_SHOWN + 2):
        put(s, place + 1, error="no " + "x" * (place + 1), state="failed", finished_ms=NOW_MS)
    found = tasks.numbers(s, ANONYMOUS_ADMIN)
    assert (len(found.errors), found.other_errors, found.more) == (tasks.ERRORS_SHOWN, 2, False)


def test_numbers_say_when_the_day_has_more_than_they_count(s: Services) -> None:
    put(s, *range(1, tasks.COUNTED_MAX + 2))
    assert tasks.numbers(s, ANONYMOUS_ADMIN).more
