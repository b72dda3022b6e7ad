"""Firing by hand, and waiting for what comes of it."""

from __future__ import annotations

from typing import Any

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.scripted import Scripted


def fire(server: DevServer, target: dict[str, object], **fields: object) -> str:
    """A schedule that fires by hand only, fired once; the execution's id."""
    schedule = server.create(type="RATE", expr="rate:1h", target=target, **fields)
    status, answer = server.call("POST", f"/api/v1/schedules/{schedule['id']}:trigger", {})
    assert status == 202, answer
    return str(answer["execution_id"])


def execution(server: DevServer, execution_id: str) -> dict[str, Any]:
    status, found = server.call("GET", f"/api/v1/executions/{execution_id}")
    assert status == 200, found
    return dict(found)


def over(server: DevServer, execution_id: str, timeout_s: float = 20.0) -> dict[str, Any]:
    """The execution once it is over."""
    final = ("completed", "failed", "timeout", "cancelled", "skipped", "missed")

    def look() -> dict[str, Any] | None:
        found = execution(server, execution_id)
        return found if found["delivery_state"] in final else None

    found = wait_for(f"{execution_id} to end", look, timeout_s)
    assert found is not None
    return found


def all_over(server: DevServer, schedule_id: str, count: int) -> dict[int, dict[str, Any]] | None:
    found = server.executions(schedule_id)
    done = [e for e in found.values() if e["delivery_state"] not in ("pending", "in_progress")]
    return found if len(done) == count else None


def most_at_once(hook: Scripted) -> int:
    edges = [(call.at_ms, 1) for call in hook.calls] + [(call.ended_ms or 0.0, -1) for call in hook.calls]
    at_once = most = 0
    for _, change in sorted(edges):
        at_once += change
        most = max(most, at_once)
    return most
