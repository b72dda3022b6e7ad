"""The packaged zip, deployed: API Gateway to Lambda, Lambda from the zip, the queue's and the rule's events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from tests.brokers import BrokerProcess
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver
from tests.kit.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_deployed_schedule_fires_each_instant_once(deployed: DevServer, receiver: Receiver) -> None:
    beat = deployed.create(type="RATE", expr="rate:1s", payload={"hello": "world"}, target=receiver.target())
    first = beat["created_at_unix_ms"] + 1000
    owed = [first + 1000 * k for k in range(5)]
    # The first ones wait for Lambda's cold starts, on a busy machine for seconds; so the order is not asked for.
    wait_for("five firings", lambda: receiver.counts(beat).keys() >= set(owed), 60)
    came = receiver.of(beat)
    assert [receiver.counts(beat)[instant] for instant in owed] == [1] * len(owed)
    assert came[0].event["data"] == {"hello": "world"}
    status, execution = deployed.call("GET", f"/api/v1/executions/{came[0].event['id']}")
    assert (status, execution["delivery_state"]) == (200, "completed")
    assert deployed.call("DELETE", f"/api/v1/schedules/{beat['id']}")[0] == 200


def test_the_services_own_events_reach_the_broker_that_is_the_default_target(
    deployed: DevServer, announced: BrokerProcess
) -> None:
    """``deliver`` has the client of gRPC in a layer, and ``feed``, because of the default target, that of NATS."""
    asyncio.run(_with_jetstream(announced, lambda js: js.add_stream(StreamConfig(name="EVENTS", subjects=["events"]))))
    target = {"type": "grpc", "address": f"127.0.0.1:{free_port()}", "method": "/nothing.v1.Listens/There"}
    once = {"retry_policy": {"max_attempts": 1}, "pause_after_failures": 1}
    made = deployed.create(type="RATE", expr="rate:1s", target=target, **once)

    def types() -> set[str]:  # ticks go there too, and firings that were late
        events = asyncio.run(_with_jetstream(announced, _events))
        return {event["type"] for event in events if event["subject"] == made["id"]}

    wait_for("the alert of the pause", lambda: "chronowatch.alert.v1" in types(), 60)
    # What was claimed before the pause may have come too late to be tried.
    tried = [e["attempts"] for e in deployed.executions(made["id"]).values() if e["attempts"]]
    ((attempt,), *_) = tried
    assert (attempt["error_type"], "refused" in attempt["error"]) == ("connection_error", True), attempt


async def _with_jetstream(broker: BrokerProcess, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
    try:
        return await ask(client.jetstream())
    finally:
        await client.close()


async def _events(jetstream: Any) -> list[dict[str, Any]]:
    count = (await jetstream.stream_info("EVENTS")).state.messages
    return [json.loads((await jetstream.get_msg("EVENTS", number + 1)).data) for number in range(count)]


def test_colons_in_paths_arrive_either_way(deployed: DevServer) -> None:
    yearly = deployed.create(type="CRON", expr="@yearly")
    assert deployed.call("POST", f"/api/v1/schedules/{yearly['id']}:pause", {})[0] == 200
    status, resumed = deployed.call("POST", f"/api/v1/schedules/{yearly['id']}%3Aresume", {})
    assert (status, resumed["state"]) == (200, "active")


@pytest.mark.parametrize(
    ("method", "path", "expected", "code"),
    [("GET", "/nope", 404, "not_found"), ("PUT", "/api/v1/schedules", 405, "method_not_allowed")],
)
def test_what_is_not_there_is_said_as_locally(
    deployed: DevServer, method: str, path: str, expected: int, code: str
) -> None:
    status, problem = deployed.call(method, path)
    assert (status, problem["status"], problem["code"]) == (expected, expected, code)
