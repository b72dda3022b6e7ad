"""``chronowatch.sla.v1`` in virtual time: what was late or given up is told once, off the path of the firings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import Transition
from chalicelib.core.policies import sla
from chalicelib.ports.target import Outcome
from chalicelib.usecases import backfill, executions, schedules
from chalicelib.workers import feed
from chalicelib.workers.feed import Written
from tests.kit.plant import CALLER, Plant
from tests.kit.records import START_MS, execution

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
SLA = "chronowatch.sla.v1"


def events(plant: Plant) -> list[dict[str, Any]]:
    return [json.loads(d.event) for _, d in plant.bus.sent if d.event_type == SLA]


def late(plant: Plant, **fields: Any) -> str:
    """A schedule whose first two instants pass while no worker runs."""
    made = plant.create(type="RATE", expr="rate:30s", target=WEBHOOK, **fields)
    plant.skip(T0 + 65_000)
    return made


def test_a_late_firing_is_told_once_with_all_that_matters() -> None:
    plant = Plant(T0)
    beat = late(plant, sla_ms=10_000, name="beat", owner="ops")
    plant.run_until(T0 + 80_000)
    (told,) = events(plant)
    found = next(e for e in plant.executions(beat) if e.late)
    assert (told["id"], told["type"]) == (f"{found.id}-sla", SLA)
    assert (told["source"], told["subject"]) == (f"/chronowatch/schedules/{beat}", beat)
    assert told["data"] == {
        "execution_id": found.id,
        "schedule_id": beat,
        "schedule_name": "beat",
        "owner": "ops",
        "firing_time_unix_ms": T0 + 30_000,
        "lateness_ms": found.lateness_ms,
        "sla_ms": 10_000,
        "delivery_state": "completed",
    }
    assert plant.bus.sent[-1][1].target == {"type": "eventbridge"}


def test_what_was_given_up_is_told_and_what_was_on_time_is_not() -> None:
    plant = Plant(T0)
    beat = late(plant, catch_up_window_ms=20_000, sla_ms=6_000)
    plant.run_until(T0 + 100_500)
    assert [e.state for e in plant.executions(beat)] == ["missed", "completed", "completed"]
    (told,) = events(plant)
    assert told["data"]["delivery_state"] == "missed"
    assert told["data"]["firing_time_unix_ms"] == T0 + 30_000
    assert told["data"]["lateness_ms"] >= 35_000


def test_a_long_delivery_is_told_while_it_runs_and_not_again() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(20_000)
    late(plant, sla_ms=10_000)
    plant.run_until(T0 + 75_000)
    assert [e["data"]["delivery_state"] for e in events(plant)] == ["in_progress"]
    plant.run_until(T0 + 110_000)
    assert len(events(plant)) == 1


def test_retries_tell_nothing_again() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("failed", error_type="http_error")
    beat = late(plant, sla_ms=10_000, max_runs=1)
    plant.run_until(T0 + 90_000)
    executions.retry(plant.services, CALLER, plant.executions(beat)[0].id)
    plant.run_until(T0 + 120_000)
    assert plant.executions(beat)[0].attempt == 4
    assert len(events(plant)) == 1


def test_backfilled_instants_were_promised_to_nobody() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK)
    assert backfill.backfill(plant.services, CALLER, beat, T0 - 7_200_000, T0) == 3
    schedules.trigger(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 30_000)
    assert sum(e.late for e in plant.executions(beat)) == 2
    assert events(plant) == []


def test_a_bus_that_is_away_loses_nothing_and_delays_nothing() -> None:
    plant = Plant(T0)
    plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error", error="away")
    beat = late(plant, sla_ms=10_000)
    plant.run_until(T0 + 100_000)
    assert all(e.state == "completed" and (e.late == (e.firing_ms == T0 + 30_000)) for e in plant.executions(beat))
    plant.bus.answer = lambda _: Outcome("completed")
    tried = len(events(plant))
    plant.run_until(T0 + 110_000)
    assert len(events(plant)) == tried + 1
    assert len({e["id"] for e in events(plant)}) == 1


def test_a_stream_without_old_images_tells_at_every_write_under_one_id() -> None:
    plant = Plant(T0)
    plant.feed_every_ms = None
    late(plant, sla_ms=10_000)
    plant.run_until(T0 + 70_000)
    feed.run(plant.services, [Written(None, w.after) for w in plant.stream.written])
    assert len({e["id"] for e in events(plant)}) == 1


@pytest.mark.parametrize(
    ("fields", "missed", "lateness_ms"),
    [
        ({}, False, None),
        ({"first_started_ms": START_MS + 1000, "sla_ms": 1000}, False, None),
        ({"first_started_ms": START_MS + 1001, "sla_ms": 1000}, True, 1001),
        ({"first_started_ms": START_MS + 1001, "sla_ms": 1000, "offset_ms": 500}, False, None),
        ({"first_started_ms": START_MS + 1, "sla_ms": 0}, True, 1),
        ({"state": "skipped", "history": (Transition("pending", "skipped", START_MS + 9000),)}, False, None),
        ({"state": "missed", "history": (Transition("pending", "missed", START_MS + 9000),)}, True, 9000),
        ({"first_started_ms": START_MS + 9000, "requested": True}, False, None),
        ({"first_started_ms": START_MS + 9000, "requested": True, "manual": True}, True, 9000),
    ],
)
def test_what_counts_as_a_miss(fields: dict[str, Any], missed: bool, lateness_ms: int | None) -> None:
    plant = Plant(T0)
    found = replace(execution(plant.get(plant.create(type="RATE", expr="rate:1h")).definition.key, START_MS), **fields)
    assert sla.is_missed(found) is missed
    if missed:
        assert sla.lateness_ms(found) == lateness_ms
