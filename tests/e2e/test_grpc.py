"""gRPC of the real thing: deadlines and cancelled calls, streams, an independent client, and a stop under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chalicelib.api.rpc import chronowatch_pb2
from tests.e2e.dev_server import DevServer, wait_for
from tests.kit.ports import free_port

NewServer = Callable[..., DevServer]
BUF = Path(sys.executable).with_name("buf")
PROTO = Path(__file__).parents[2] / "proto"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.slow
def test_grpc_beside_the_api(new_server: NewServer) -> None:
    port = free_port()
    server = new_server(env={"CHRONO_GRPC_PORT": str(port)})
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        wait_for("gRPC", lambda: _health(channel) == SERVING)
        _given_up_waits_are_never_granted(server, channel)
        _an_independent_client_gets_one_answer_by_each_protocol(server, port)
        _changes_come_as_a_stream(server, channel)
        _health_follows_the_tables(server, channel)
        _a_stop_lets_calls_end(server, channel)


def _health(channel: grpc.Channel) -> int | None:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError:
        return None
    return int(answer.status)


def _unary(channel: grpc.Channel, name: str, response: Any) -> Any:
    return channel.unary_unary(
        f"/chronowatch.v1.{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )


def _given_up_waits_are_never_granted(server: DevServer, channel: grpc.Channel) -> None:
    """One waiter's deadline ends, another hangs up: the lease, released, is nobody's."""
    acquire = _unary(channel, "LeaseService/Acquire", chronowatch_pb2.AcquireLeaseResponse)
    holding = acquire(chronowatch_pb2.AcquireLeaseRequest(name="one", holder_id="a", ttl_ms=60_000), timeout=20)
    assert holding.acquired
    waiting = chronowatch_pb2.AcquireLeaseRequest(name="one", holder_id="late", ttl_ms=60_000, wait_ms=20_000)
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as late:
        acquire(waiting, timeout=0.1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    gone = acquire.future(
        chronowatch_pb2.AcquireLeaseRequest(name="one", holder_id="gone", ttl_ms=60_000, wait_ms=20_000), timeout=30
    )
    wait_for("a waiter", lambda: "gone" in json.dumps(server.call("GET", "/api/v1/leases/one")[1]))
    gone.cancel()
    wait_for("an empty queue", lambda: "gone" not in json.dumps(server.call("GET", "/api/v1/leases/one")[1]))
    release = _unary(channel, "LeaseService/Release", chronowatch_pb2.ScheduleId)
    asked = chronowatch_pb2.ReleaseLeaseRequest(name="one", holder_id="a", fencing_token=holding.fencing_token)
    assert release(asked, timeout=20).id == "one"
    time.sleep(1)
    after = acquire(chronowatch_pb2.AcquireLeaseRequest(name="one", holder_id="b", ttl_ms=60_000), timeout=20)
    assert (after.acquired, after.fencing_token) == (True, holding.fencing_token + 1), "somebody had it in between"


def _an_independent_client_gets_one_answer_by_each_protocol(server: DevServer, port: int) -> None:
    made = server.create(type="RATE", expr="rate:1h", name="by-buf")["id"]
    http = f"http://127.0.0.1:{server.http_port}"
    said = [
        _buf(["--protocol", "grpc", "--http2-prior-knowledge"], f"http://127.0.0.1:{port}", made),  # by reflection
        _buf(["--protocol", "grpcweb", "--schema", str(PROTO)], http, made),
        _buf(["--protocol", "connect", "--schema", str(PROTO)], http, made),
    ]
    assert said[0]["name"] == "by-buf"
    assert said[0] == said[1] == said[2]


def _buf(options: list[str], base: str, schedule_id: str) -> dict[str, Any]:
    command = [str(BUF), "curl", *options, "-d", json.dumps({"id": schedule_id})]
    url = f"{base}/chronowatch.v1.ScheduleService/Get"
    ran = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def _changes_come_as_a_stream(server: DevServer, channel: grpc.Channel) -> None:
    watch = channel.unary_stream(
        "/chronowatch.v1.ChangeService/Watch",
        request_serializer=chronowatch_pb2.WatchRequest.SerializeToString,
        response_deserializer=chronowatch_pb2.Change.FromString,
    )
    seen: list[chronowatch_pb2.Change] = []
    ended: list[str] = []
    stream = watch(chronowatch_pb2.WatchRequest(types=["schedule"]), timeout=60)

    def read() -> None:
        try:
            seen.extend(stream)
        except grpc.RpcError as error:
            ended.append(str(error.code()))

    reading = threading.Thread(target=read)
    reading.start()
    names = iter(range(1000))

    def first() -> bool:  # the stream begins somewhen after it is asked for
        server.create(type="RATE", expr="rate:1h", name=f"first-{next(names)}")
        return bool(seen)

    wait_for("the stream", first)
    made = [server.create(type="RATE", expr="rate:1h", name=f"seen-{number}")["id"] for number in range(20)]
    wait_for("all changes", lambda: {change.id for change in seen} >= set(made) or ended)
    stream.cancel()
    reading.join(10)
    assert ended == ["StatusCode.CANCELLED"]
    positions = [change.position for change in seen]
    assert positions == sorted(set(positions)), "each once, in order"
    assert [change.id for change in seen if change.id in made] == made
    again = watch(chronowatch_pb2.WatchRequest(after=positions[0], types=["schedule"]), timeout=60)
    assert [next(again).position for _ in positions[1:]] == positions[1:], "a later stream goes on where one ended"
    again.cancel()


def _health_follows_the_tables(server: DevServer, channel: grpc.Channel) -> None:
    told = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=90)
    assert next(told).status == SERVING
    os.kill(server.pids()["emulator"], signal.SIGSTOP)
    try:
        assert next(told).status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        os.kill(server.pids()["emulator"], signal.SIGCONT)
    assert next(told).status == SERVING
    told.cancel()


def _a_stop_lets_calls_end(server: DevServer, channel: grpc.Channel) -> None:
    """SIGTERM with 500 calls under way: each is answered, or was never begun."""
    create = _unary(channel, "ScheduleService/Create", chronowatch_pb2.ScheduleId)
    asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:1h", enabled=True, shard_key="stop")
    now = _unary(channel, "TimeService/Now", chronowatch_pb2.NowResponse)
    creating, reading = [], []
    for _ in range(50):
        creating.append(create.future(asked, timeout=60))
        reading += [now.future(chronowatch_pb2.NowRequest(), timeout=60) for _ in range(9)]
    creating[0].result()
    os.kill(server.pids()["grpc"], signal.SIGTERM)
    made = {each.result().id for each in creating if each.exception() is None}
    assert made
    assert {each.code() for each in (*creating, *reading)} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    missing = [each for each in made if server.call("GET", f"/api/v1/schedules/{each}")[0] != 200]
    assert not missing, "acknowledged, and lost"
