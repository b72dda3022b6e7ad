"""``kill -9`` on everything but AWS while a run stands at each of its steps: each goes on, under its keys."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.scripted import Call, Script, Scripted

STEPS = 8
# A killed worker's step is protected for its timeout and 15 s; the rule of the minute finds it after that.
RECOVERY_S = 240.0
HELD_S = 3600.0
NewServer = Callable[..., DevServer]


class Held:
    """Lets no call of these keys be answered until ``released``: so their runs stand where they are."""

    def __init__(self, keys: set[str]) -> None:
        self.keys = keys
        self.released = threading.Event()

    def __call__(self, call: Call) -> tuple[int, float, dict[str, str]]:
        is_held = call.event["key"] in self.keys and not self.released.is_set()
        return 204, HELD_S if is_held else 0.0, {}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_that_were_killed_between_any_two_steps_end_and_repeat_no_key(
    new_server: NewServer, aws: str, scripted: Callable[[Script], Scripted]
) -> None:
    server = new_server(env={"AWS_ENDPOINT_URL": aws})
    server.start()
    names = [f"s{step}" for step in range(STEPS)]
    # Run k ended the step before k when everything dies, and has not ended step k.
    held = Held({f"run-{step}/{name}" for step, name in enumerate(names)})
    receiver = scripted(held)
    call: dict[str, Any] = {"type": "http", "method": "POST", "url": receiver.url, "timeout_ms": 10_000}
    again = {"max_attempts": 100, "backoff": "fixed", "base_ms": 1000, "max_ms": 1000, "jitter": False}
    nodes: list[dict[str, Any]] = [{"id": "t", "type": "trigger", "on": "manual"}]
    nodes += [{**call, "id": name, "body": {"key": {"cel": f"run.id + '/{name}'"}}, "retry": again} for name in names]
    ways = [{"from": a, "to": b} for a, b in zip(["t", *names], names, strict=False)]
    assert server.call("POST", "/api/v1/workflows", {"name": "chain", "nodes": nodes, "edges": ways})[0] == 201
    for run in range(STEPS):
        assert server.call("POST", "/api/v1/workflows/chain:start", {"run_id": f"run-{run}"})[0] == 202
    wait_for("a run to stand at each step", lambda: held.keys <= set(keys(receiver)), 120)
    server.kill_all()
    before = {f"run-{run}/{name}" for run in range(STEPS) for name in names[: run + 1]}
    assert set(keys(receiver)) == before, "each run stood at a step of its own"
    held.released.set()
    server.start()
    for run in range(STEPS):
        wait_for(f"run {run} to end", ended(server, f"run-{run}"), RECOVERY_S)
        found = server.call("GET", f"/api/v1/runs/run-{run}")[1]
        assert {node["state"] for node in found["nodes"].values()} == {"completed"}, found
    asked = keys(receiver)
    assert set(asked) == {f"run-{run}/{name}" for run in range(STEPS) for name in names}
    assert {key for key, count in asked.items() if count > 1} == held.keys, "only what was under way came again"


def keys(receiver: Scripted) -> Counter[str]:
    return Counter(call.event["key"] for call in list(receiver.calls))


def ended(server: DevServer, run_id: str) -> Callable[[], bool]:
    def look() -> bool:
        time.sleep(0.5)
        return server.call("GET", f"/api/v1/runs/{run_id}")[1]["state"] in ("completed", "failed")

    return look
