"""What policies tell, as a consumer of the real bus hears it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.bus import BusEar
from tests.e2e.dev_server import DevServer, wait_for
from tests.kit.ports import free_port

ALERT, SLA = "chronowatch.alert.v1", "chronowatch.sla.v1"
WINDOW_MS = 60_000
HERD = 40
SILENCE_HEARD_WITHIN_S = 150  # the window, and silences are looked for once a minute


@contextmanager
def ear(server: DevServer, detail_type: str) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Hears the events of one type, by the id of their schedule."""
    made = BusEar(server.endpoint, detail_type)
    try:
        yield lambda schedule_id: [a.detail for a in made.heard() if a.detail["subject"] == schedule_id]
    finally:
        made.close()


def test_a_schedule_that_keeps_failing_is_paused_and_the_bus_hears_it(server: DevServer) -> None:
    nobody = {"type": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}
    with ear(server, ALERT) as heard:
        failing = server.create(
            type="RATE", expr="rate:1s", target=nobody, retry_policy={"max_attempts": 1}, pause_after_failures=2
        )
        (alert,) = wait_for("the alert", lambda: heard(failing["id"]))
    data = alert["data"]
    assert (data["kind"], data["failures"], data["owner"]) == ("paused_after_failures", 2, failing["owner"])
    assert alert["id"] == f"{data['execution_id']}-paused"
    _, found = server.call("GET", f"/api/v1/schedules/{failing['id']}")
    assert (found["enabled"], found["state"]) == (False, "paused")
    _, cause = server.call("GET", f"/api/v1/executions/{data['execution_id']}")
    assert (cause["delivery_state"], cause["attempts"][-1]["error_type"]) == ("failed", "connection_error")


def test_late_firings_are_told_once_each(server: DevServer) -> None:
    """Of a herd, whose last are late by a millisecond at least."""
    with ear(server, SLA) as heard:
        # All by one call: an instant that passes while they are made would be refused.
        soon = (datetime.now(UTC) + timedelta(seconds=10)).isoformat(timespec="milliseconds")
        one = {"op": "create", "schedule": {"type": "AT", "expr": f"at:{soon}", "sla_ms": 0}}
        status, made = server.call("POST", "/api/v1/schedules:batch", {"operations": [one] * HERD})
        assert (status, made["succeeded"]) == (200, HERD), made
        herd = [item["id"] for item in made["items"]]

        def all_told() -> list[dict[str, Any]] | None:
            found = [execution for each in herd for execution in server.executions(each).values()]
            if len(found) < HERD or any(execution["delivery_state"] != "completed" for execution in found):
                return None
            late = [execution for execution in found if execution["late"]]
            return late if sum(len(heard(each)) for each in herd) >= len(late) > 0 else None

        late = wait_for("the late firings to be told", all_told, 90)
        told = [event for each in herd for event in heard(each)]
    assert sorted(event["id"] for event in told) == sorted(f"{execution['id']}-sla" for execution in late)
    # How late they were is the machine's business. That it is told truly is ours.
    truly = {execution["id"]: execution["lateness_ms"] for execution in late}
    assert {event["data"]["execution_id"]: event["data"]["lateness_ms"] for event in told} == truly
    assert all(event["data"]["sla_ms"] == 0 < event["data"]["lateness_ms"] for event in told)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_silence_is_told_and_so_is_its_end(server: DevServer) -> None:
    with ear(server, ALERT) as heard:
        watched = server.create(type="RATE", expr="rate:1h", monitor={"window_ms": WINDOW_MS})
        (silent,) = wait_for("the silence to be told", lambda: heard(watched["id"]), SILENCE_HEARD_WITHIN_S)
        data = silent["data"]
        assert (data["kind"], data["window_ms"], data["last_success_unix_ms"]) == ("no_success", WINDOW_MS, None)
        assert data["silent_since_unix_ms"] == data["at_unix_ms"]
        status, _ = server.call("POST", f"/api/v1/schedules/{watched['id']}:trigger", {})
        assert status == 202
        _, back = wait_for("its end to be told", lambda: heard(watched["id"])[1:] and heard(watched["id"]), 90)
    assert (back["data"]["kind"], back["id"]) == ("recovered", silent["id"].replace("-silent", "-recovered"))
    assert back["data"]["silent_for_ms"] > 0
