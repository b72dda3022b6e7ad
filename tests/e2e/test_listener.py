"""Events of a real broker in ``scripts/dev``: its worker keeps the process that listens, from the first trigger on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from tests.brokers import nats_program, running
from tests.e2e.dev_server import DevServer, wait_for
from tests.kit.ports import free_port

WITHIN_S = 60.0
DEPTH_MAX = 10


@pytest.mark.slow
def test_events_of_a_broker_begin_workflows_chains_end_and_what_is_not_heard_says_why(
    new_server: Callable[..., DevServer], tmp_path: Path
) -> None:
    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    command = [nats_program(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", tmp_path / "store"]
    with running(command, port, tmp_path):
        _owned(url, lambda js: js.add_stream(StreamConfig(name="S", subjects=["orders", "loop", "bursts"])))
        server = new_server(env={"CHRONO_WEBHOOK_ALLOW": "127.0.0.1"})
        server.start()
        nodes = [{"id": "t", "type": "trigger", "on": "manual"}, {"id": "wait", "type": "delay", "for_ms": 1}]
        workflow = {"name": "w", "nodes": nodes, "edges": [{"from": "t", "to": "wait"}]}
        assert server.call("POST", "/api/v1/workflows", workflow)[0] == 201

        def trigger(name: str, subject: str, **more: Any) -> str:
            source = {"type": "nats", "servers": [url], "subject": subject}
            asked = {"name": name, "source": source, "target": {"type": "log"}, **more}
            status, made = server.call("POST", "/api/v1/triggers", asked)
            assert status == 201, made
            assert made["listening"]["state"] == "unattended"
            return str(made["id"])

        def fired(trigger_id: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = server.call("GET", f"/api/v1/triggers/{trigger_id}/executions")[1]["items"]
            return found

        def heard(trigger_id: str) -> dict[str, Any]:
            found: dict[str, Any] = server.call("GET", f"/api/v1/triggers/{trigger_id}")[1]["listening"]
            return found

        runs = trigger("runs", "orders", target={"type": "workflow", "workflow": "w"})
        loop = trigger("loop", "loop", target={"type": "nats", "servers": [url], "subject": "loop"})
        lost = trigger("lost", "nowhere")
        burst = trigger("burst", "bursts", debounce_ms=1_500)
        few = trigger("few", "bursts", throttle={"limit": 2, "per_ms": 600_000})
        keyed = trigger("keyed", "bursts", dedupe={"key": {"cel": "event.data.k"}, "window_ms": 600_000})
        for _ in range(2):  # the same event twice
            _publish(url, "orders", _event(1))
        _publish(url, "loop", _event(1))
        for number in range(6):
            _publish(url, "bursts", _event(number, k=number % 3))
        wait_for("the run", lambda: [one for one in fired(runs) if one["delivery_state"] == "completed"], WITHIN_S)
        [execution] = fired(runs)
        run = wait_for("its end", lambda: _completed(server, execution["id"]), WITHIN_S)
        assert run["input"]["data"] == {"n": 1}
        assert heard(runs)["state"] == "listening"
        assert wait_for("the complaint", lambda: heard(lost)["last_error"], WITHIN_S)
        assert heard(lost)["state"] == "failing"
        assert "no stream of JetStream binds the subject nowhere" in heard(lost)["last_error"]
        wait_for("the end of the chain", lambda: len(fired(loop)) >= DEPTH_MAX and _is_read(url), WITHIN_S)
        wait_for("the last of a burst", lambda: fired(burst), WITHIN_S)
        wait_for("what passes the throttle", lambda: len(fired(few)) >= 2, WITHIN_S)
        wait_for("an event of each key", lambda: len(fired(keyed)) >= 3, WITHIN_S)
        wait_for("the rest to be read", lambda: _is_read(url), WITHIN_S)  # all have their consumers by now
        assert len(fired(loop)) == DEPTH_MAX
        assert len(fired(few)) == 2
        assert len(fired(keyed)) == 3
        assert [one["id"] for one in fired(runs)] == [execution["id"]]


def _event(number: int, **data: Any) -> dict[str, Any]:
    whole = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order"}
    return {**whole, "data": {"n": number, **data}}


def _completed(server: DevServer, run_id: str) -> dict[str, Any] | None:
    status, run = server.call("GET", f"/api/v1/runs/{run_id}")
    return run if status == 200 and run["state"] == "completed" else None


def _publish(url: str, subject: str, event: dict[str, Any]) -> None:
    _owned(url, lambda js: js.publish(subject, json.dumps(event).encode()))


def _is_read(url: str) -> bool:
    """Whether every message of the stream is acknowledged by every consumer."""
    found = _owned(url, lambda js: js.consumers_info("S"))
    return all(one.num_pending == one.num_ack_pending == 0 for one in found)


def _owned(url: str, work: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        client = await nats.connect(url)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(run())
