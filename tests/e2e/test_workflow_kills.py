"""``kill -9`` on everything but AWS while runs stand between any two of their steps: each goes on, under its keys."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

STEPS = 8
RUNS = 10
# A killed worker's step is protected for its timeout and 15 s; the rule of the minute finds it after that.
RECOVERY_S = 240.0
NewServer = Callable[..., DevServer]


@pytest.mark.long
@pytest.mark.slow
def test_runs_that_were_killed_between_any_two_steps_end_and_repeat_no_key(
    new_server: NewServer, aws: str, receiver: Receiver
) -> None:
    server = new_server(env={"AWS_ENDPOINT_URL": aws})
    server.start()
    receiver.delay_s = 0.1
    names = [f"s{step}" for step in range(STEPS)]
    call = {"type": "http", "method": "POST", "url": receiver.url, "timeout_ms": 2000}
    nodes = [{"id": "t", "type": "trigger", "on": "manual"}]
    nodes += [{**call, "id": name, "body": {"id": name}, "retry": {"max_attempts": 5}} for name in names]  # type: ignore[misc]
    ways = [{"from": a, "to": b} for a, b in zip(["t", *names], names, strict=False)]
    assert server.call("POST", "/api/v1/workflows", {"name": "chain", "nodes": nodes, "edges": ways})[0] == 201
    for run in range(RUNS):
        assert server.call("POST", "/api/v1/workflows/chain:start", {"run_id": f"run-{run}"})[0] == 202
        time.sleep(0.1)  # so that each stands at another step
    wait_for("steps of many kinds", lambda: len({r.event["id"] for r in receiver.all()}) >= STEPS // 2)
    server.kill_all()
    stood = [sum(key.startswith(f"run-{run}/") for key in keys(receiver)) for run in range(RUNS)]
    server.start()
    for run in range(RUNS):
        wait_for(f"run {run} to end", ended(server, f"run-{run}"), RECOVERY_S)
        found = server.call("GET", f"/api/v1/runs/run-{run}")[1]
        assert {node["state"] for node in found["nodes"].values()} == {"completed"}, found
    assert len(set(stood)) > 1, "the kill found the runs at different steps"
    assert keys(receiver) == {f"run-{run}/{name}" for run in range(RUNS) for name in names}
    asked = [r.headers["idempotency-key"] for r in receiver.all()]
    assert len(asked) - len(set(asked)) <= RUNS, "only what was under way came again"


def keys(receiver: Receiver) -> set[str]:
    return {r.headers["idempotency-key"] for r in receiver.all()}


def ended(server: DevServer, run_id: str) -> Callable[[], bool]:
    def look() -> bool:
        time.sleep(0.5)
        return server.call("GET", f"/api/v1/runs/{run_id}")[1]["state"] in ("completed", "failed")

    return look
