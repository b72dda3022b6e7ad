"""docs/events.json: a schema for every event that the product emits, and every event keeps to its schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chalicelib.core.policies import policy_events
from chalicelib.core.schedules.schedule import Monitor, RetryPolicy
from chalicelib.core.targets import cloudevent
from chalicelib.core.ticks import numbering, tick_event
from chalicelib.core.triggers.received_event import WRAPPED_TYPE
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.usecases import executions
from tests.kit.plant import CALLER, Plant

ROOT = Path(__file__).resolve().parents[3]
REGISTRY: dict[str, Any] = json.loads((ROOT / "docs" / "events.json").read_text())
T0 = 1_795_252_800_000


def _problems(event: Any, name: str) -> list[str]:
    schema = {**{k: v for k, v in REGISTRY.items() if k != "oneOf"}, "$ref": f"#/$defs/{name}"}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(event)]


def test_the_registry_is_a_schema_and_has_every_type_in_the_sources() -> None:
    Draft202012Validator.check_schema(REGISTRY)
    sources = "".join(path.read_text() for path in (ROOT / "chalicelib").rglob("*.py"))
    emitted = set(re.findall(r"chronowatch\.[a-z_]+\.v\d+", sources)) - {WRAPPED_TYPE}  # which comes in alone
    assert emitted == {name for name in REGISTRY["$defs"] if name.startswith("chronowatch.")}
    text = (ROOT / "docs" / "events.md").read_text()
    assert not [name for name in emitted if f"`{name}`" not in text]


def test_what_a_deployment_sends_keeps_to_the_registry() -> None:
    """Firings that succeed and fail, a late one, one that was accepted and cancelled, alerts, and recovery."""
    plant = Plant(T0)
    webhook = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
    once = {"target": webhook, "retry_policy": RetryPolicy(max_attempts=1)}
    plant.create(type="RATE", expr="rate:20s", name="beat", payload="null")
    plant.create(type="RATE", expr="rate:10s", pause_after_failures=1, **once)
    watched = plant.create(type="RATE", expr="rate:10s", monitor=Monitor(120_000), **once)
    accepting = plant.create(type="AT", expr="at:2026-11-21T09:20:05Z", target=webhook)

    def answer(delivery: Delivery) -> Outcome:
        if delivery.schedule_id == accepting:
            return Outcome("accepted", 202)
        well = delivery.schedule_id == watched and delivery.firing_unix_ms >= T0 + 300_000
        return Outcome("completed", 200) if well else Outcome("failed", 500, error_type="http_error", error="no")

    plant.hook.answer = answer
    plant.run_until(T0 + 20_000)
    (accepted,) = plant.executions(accepting)
    executions.cancel(plant.services, CALLER, accepted.id, "obsolete")
    plant.run_until(T0 + 600_000)
    plant.skip(T0 + 900_000)  # an outage: what comes after it is late, or missed
    plant.run_until(T0 + 1_000_000)
    seen: set[str] = set()
    for _, delivery in (*plant.bus.sent, *plant.hook.sent):
        event = json.loads(delivery.event)
        assert _problems(event, event["type"]) == [], event
        seen.add(event["data"]["kind"] if event["type"] == policy_events.ALERT_TYPE else event["type"])
    assert seen >= {
        cloudevent.TYPE, cloudevent.CANCELLATION_TYPE, policy_events.SLA_TYPE, "paused_after_failures", "no_success",
        "recovered",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("paused_after_failures", {"execution_id": "a-1", "failures": 3}),
        ("no_success", {"window_ms": 1, "silent_since_unix_ms": T0, "last_success_unix_ms": None}),
        ("recovered", {"window_ms": 1, "silent_since_unix_ms": T0, "last_success_unix_ms": 1, "silent_for_ms": 0}),
    ],
)
def test_alerts_keep_to_it_and_one_of_an_unknown_kind_does_not(kind: str, more: dict[str, Any]) -> None:
    data = {"kind": kind, "schedule_id": "a", "schedule_name": None, "owner": "o", "at_unix_ms": T0, **more}
    event = _notice(policy_events.ALERT_TYPE, "a-1-x", data)
    assert _problems(event, policy_events.ALERT_TYPE) == []
    assert _problems({**event, "data": {**data, "kind": "odd"}}, policy_events.ALERT_TYPE)
    assert _problems({**event, "data": {**data, "surplus": 1}}, policy_events.ALERT_TYPE)


def _notice(type_: str, event_id: str, data: dict[str, Any]) -> Any:
    return json.loads(
        cloudevent.notice(
            type=type_, event_id=event_id, schedule_id="a", at_unix_ms=T0, hlc="1.0", data=data,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
    )  # fmt: skip


def test_ticks_and_clock_jumps_keep_to_it() -> None:
    for caught_up in (False, True):
        tick = numbering.build("minute", T0 * 1_000_000, 7, "0.1.0", "instance", caught_up)
        assert _problems(json.loads(tick_event.detail(tick)), "bare.tick") == []
        assert _problems(json.loads(tick_event.cloud_event(tick)), tick_event.TICK_TYPE) == []
    jump = json.loads(tick_event.clock_jump("instance", T0 * 1_000_000, -5, "monotonic"))
    assert _problems(jump, tick_event.CLOCK_TYPE) == []
    assert _problems({**jump, "direction": "sideways"}, tick_event.CLOCK_TYPE)


def test_a_field_that_is_not_in_the_registry_would_be_noticed() -> None:
    firing = json.loads(
        cloudevent.build(
            execution_id="a-1", schedule_id="a", firing_unix_ms=T0, attempt=1, fencing_token=1, hlc="1.0",
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", payload_json="null",
        )
    )  # fmt: skip
    assert _problems(firing, cloudevent.TYPE) == []
    assert "surplus" in _problems({**firing, "surplus": 1}, cloudevent.TYPE)[0]
    assert _problems({k: v for k, v in firing.items() if k != "fencingtoken"}, cloudevent.TYPE)
