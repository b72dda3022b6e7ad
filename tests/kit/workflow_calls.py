"""Workflows of the API's tests, and their runs taken by the function ``workflow``."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from chalicelib.ports.target import Delivery
from chalicelib.workers import workflow
from tests.kit.house import House

ALL = "/api/v1/workflows"
RUNS = "/api/v1/runs"
TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
GATE = {"id": "g", "type": "approval", "approvers": ["ann", "bob"]}
SCRIPT = {"id": "s", "type": "script", "language": "python", "code": "input['n'] + 1"}
LINE = {"nodes": [TRIGGER, SCRIPT], "edges": [{"from": "t", "to": "s"}]}


def edges(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": a, "to": b} for a, b in pairs]


def settle(house: House) -> None:
    """Let the function ``workflow`` take all that is on its queue."""
    parts = house.services.workflows
    assert parts is not None
    queue: Any = parts.queue
    while batch := queue.receive(10):
        assert not workflow.run(house.services, batch)
        for incoming in batch:
            queue.delete(incoming.receipt)


def publish(house: House, name: str = "w", **document: Any) -> dict[str, Any]:
    answer = house.call("POST", ALL, {"name": name, **(document or LINE)})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


def start(house: House, name: str = "w", **how: Any) -> str:
    answer = house.call("POST", f"{ALL}/{name}:start", how)
    assert answer.status == 202, answer.body
    settle(house)
    return str(answer.json["run_id"])


TARGET = {"type": "workflow", "workflow": "w"}


def delivery(schedule_id: str, **more: object) -> Delivery:
    """A firing whose target is the workflow ``w``."""
    made = Delivery(
        execution_id=f"{schedule_id}-1795252805000",
        tenant="default",
        schedule_id=schedule_id,
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=1,
        target=TARGET,
        event=json.dumps({"data": {"n": 1}}).encode(),
        traceparent="",
        timeout_ms=1000,
    )
    return replace(made, **more)
