"""The numbers count each execution of the last hour once, whoever counted it."""

from __future__ import annotations

from chalicelib.core.executions import traffic
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.usecases import health
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST"}
ONE_ATTEMPT = RetryPolicy(max_attempts=1)


def refuse(_: Delivery) -> Outcome:
    return Outcome("failed", error_type="http_error", http_status=500)


def test_a_deployment_without_executions_is_well() -> None:
    found = health.numbers(Plant(T0).services, CALLER)
    assert (found.total, found.failed, found.failure_ratio) == (0, 0, 0.0)


def test_executions_are_counted_before_and_after_reconcile_has_seen_them() -> None:
    plant = Plant(T0)
    plant.create(type="RATE", expr="rate:10s", max_runs=6, target=WEBHOOK)
    plant.run_until(T0 + 65_000)
    early = health.numbers(plant.services, CALLER)
    plant.run_until(T0 + 600_000)
    late = health.numbers(plant.services, CALLER)
    assert (early.total, late.total, late.failed) == (6, 6, 0)


def test_what_failed_is_a_share_of_all() -> None:
    plant = Plant(T0)
    plant.create(type="RATE", expr="rate:10s", max_runs=3, target=WEBHOOK, retry_policy=ONE_ATTEMPT)
    plant.run_until(T0 + 40_000)
    plant.hook.answer = refuse
    plant.create(type="RATE", expr="rate:10s", max_runs=1, target=WEBHOOK, retry_policy=ONE_ATTEMPT)
    plant.run_until(T0 + 60_000)
    found = health.numbers(plant.services, CALLER)
    assert (found.total, found.failed, found.failure_ratio) == (4, 1, 0.25)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    plant = Plant(T0)
    plant.hook.answer = refuse
    plant.create(type="RATE", expr="rate:10s", max_runs=2, target=WEBHOOK, retry_policy=ONE_ATTEMPT)
    plant.run_until(T0 + 60_000)
    assert health.numbers(plant.services, CALLER).failed == 2
    plant.run_until(T0 + 60_000 + traffic.WINDOW_MS + 120_000)
    found = health.numbers(plant.services, CALLER)
    assert (found.total, found.failed) == (0, 0)
