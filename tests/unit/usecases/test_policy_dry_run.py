"""Dry runs go through everything, part by part, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.rules.limits import DRY_RUN_BUDGET_MS, DRY_RUN_MAX_SCHEDULES
from chalicelib.core.rules.policy import Rule, WrittenPolicy
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import policies, policy_dry_run, schedules
from chalicelib.usecases.policy_dry_run import DryRun
from tests.kit.services import make_services, with_stores
from tests.kit.watched import Watched

WRITES = {
    "schedules": ("create", "change", "write_states"),
    "executions": ("insert", "update"),
    "policies": ("save", "delete"),
    "cursors": ("save",),
}


@pytest.fixture
def services() -> Services:
    return make_services()


def make(s: Services, count: int, **fields: Any) -> None:
    for n in range(count):
        wanted = ScheduleRequest(type="RATE", expr="rate:1h", name=f"n{n}", enabled=False, **fields)
        schedules.create(s, ANONYMOUS_ADMIN, wanted, s.ids.ulid(s.clock.now_ms()))


def odd_names() -> WrittenPolicy:
    condition = {"field": "name", "operator": "regex_matches", "value": "[02468]$"}
    return WrittenPolicy(name="even", rules=(Rule(name="r", condition=condition, action="deny", message="m"),))


def whole(run: Callable[[str | None], DryRun]) -> list[DryRun]:
    parts = [run(None)]
    while parts[-1].after is not None:
        parts.append(run(parts[-1].after))
    return parts


def test_every_schedule_is_judged_once_and_nothing_is_written(services: Services) -> None:
    make(services, DRY_RUN_MAX_SCHEDULES + 50)
    policies.create(services, ANONYMOUS_ADMIN, odd_names())
    written: list[Any] = []
    watched = services
    for store, methods in WRITES.items():
        inner = getattr(services.stores, store)
        for method in methods:
            inner = Watched(inner, method, lambda *a: written.append(a))
        watched = with_stores(watched, **{store: inner})
    parts = whole(lambda after: policy_dry_run.run_one(watched, ANONYMOUS_ADMIN, "even", None, after))
    assert [part.schedules for part in parts] == [DRY_RUN_MAX_SCHEDULES, 50]
    denied = [denial.schedule_id for part in parts for denial in part.denials]
    assert len(set(denied)) == len(denied) == (DRY_RUN_MAX_SCHEDULES + 50) // 2
    assert not written


def test_a_call_ends_in_time_and_the_next_goes_on(services: Services) -> None:
    make(services, 250)
    policies.create(services, ANONYMOUS_ADMIN, odd_names())

    def slow(*_: Any) -> None:
        services.clock.sleep_until(services.clock.now_ms() + DRY_RUN_BUDGET_MS)

    tired = with_stores(services, schedules=Watched(services.stores.schedules, "list", slow))
    parts = whole(lambda after: policy_dry_run.run_all(tired, ANONYMOUS_ADMIN, after))
    assert len(parts) > 2
    assert sum(part.schedules for part in parts) == 250
    assert sum(len(part.denials) for part in parts) == 125
