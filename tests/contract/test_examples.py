"""The examples as they are shipped: the consumer behind the EventBridge target, the receiver behind the webhook's."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws
from msgspec.structs import replace

from chalicelib.adapters.targets.eventbridge import EventBridgeSender
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.targets import cloudevent
from chalicelib.ports.target import Delivery

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = b"k" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


consumer, receiver = load("consumer"), load("webhook_receiver")


def delivery(token: int, firing_unix_ms: int, url: str = "", schedule_id: str = "01KB") -> Delivery:
    execution_id = f"{schedule_id}-{firing_unix_ms}"
    event = cloudevent.build(
        execution_id=execution_id,
        schedule_id=schedule_id,
        firing_unix_ms=firing_unix_ms,
        attempt=1,
        fencing_token=token,
        traceparent=TRACEPARENT,
        hlc="1.0",
        payload_json='{"hello":"wörld"}',
    )
    target = {"type": "webhook", "url": url, "secret_ref": "ssm:/hook"} if url else {"type": "eventbridge"}
    return Delivery(execution_id, "default", schedule_id, firing_unix_ms, 1, token, target, event, TRACEPARENT, 5000)


# -- the receiver


class Keys:
    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def values(self, ref: str) -> tuple[str, ...]:
        return tuple("whsec_" + base64.b64encode(key).decode() for key in self._keys)

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        return False


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def receive() -> Iterator[str]:
    server = receiver.make_server("127.0.0.1", 0, KEY)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make_target() -> Iterator[Callable[..., WebhookSender]]:
    made: list[WebhookSender] = []

    def make(*keys: bytes, clock: Callable[[], int] = now_ms) -> WebhookSender:
        target = WebhookSender(now_ms=clock, monotonic_s=time.monotonic, allow=("127.0.0.1",), secrets=Keys(*keys))
        made.append(target)
        return target

    yield make
    for target in made:
        target.close()


def test_the_receiver_accepts_what_was_signed_with_its_secret(receive: str, make_target, capsys):
    for keys in ((KEY,), (b"new" * 8, KEY)):
        outcome = make_target(*keys).dispatch([delivery(1, now_ms(), receive)])[0]
        assert (outcome.kind, outcome.http_status) == ("completed", 204)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "wörld" in lines[0]
    assert "attempt 1" in lines[0]


# The sender cuts off the fraction of a second, and time goes on: what is ahead needs more than a second to spare.
@pytest.mark.parametrize(
    ("keys", "off_ms"), [((b"x" * 24,), 0), ((), 0), ((KEY,), 360_000), ((KEY,), -301_000)], ids=str
)
def test_the_receiver_refuses_forgeries_and_recordings(receive: str, make_target, capsys, keys: tuple, off_ms: int):
    target = make_target(*keys, clock=lambda: now_ms() + off_ms)
    sent = delivery(1, now_ms(), receive)
    if not keys:
        sent = replace(sent, target={name: value for name, value in sent.target.items() if name != "secret_ref"})
    (outcome,) = target.dispatch([sent])
    assert outcome.http_status == 401
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["chronowatch.notification.v1", "chronowatch.cancellations.v1"])
def test_the_receiver_takes_what_else_the_service_sends(receive: str, make_target, capsys, kind: str):
    given = delivery(1, now_ms(), receive)
    event = f'{{"specversion":"1.0","id":"n-1","type":"{kind}","time":"2026-11-27T17:00:00.000Z","data":{{"a":1}}}}'
    other = Delivery(*(event.encode() if n == "event" else getattr(given, n) for n in Delivery.__struct_fields__))
    assert make_target(KEY).dispatch([other])[0].http_status == 204
    assert f'n-1  {kind}  {{"a": 1}}' in capsys.readouterr().out


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"time": "soon", "id": "a", "attempt": 1}'])
def test_the_receiver_survives_signed_nonsense(receive: str, make_target, body: bytes):
    given = delivery(1, now_ms(), receive)
    nonsense = Delivery(*(body if name == "event" else getattr(given, name) for name in Delivery.__struct_fields__))
    target = make_target(KEY)
    assert target.dispatch([nonsense])[0].http_status == 400
    assert target.dispatch([given])[0].kind == "completed"


def test_the_receivers_secret_must_be_one(capsys):
    for secret in ("plain", "whsec_", "whsec_***"):
        with pytest.raises(SystemExit):
            receiver.main(["--secret", secret])
        assert "--secret: " in capsys.readouterr().err


# -- the consumer


@pytest.mark.skipif(
    "AWS_ENDPOINT_URL" in os.environ, reason="runs inside this process; the next test uses the endpoint"
)
def test_the_consumer_follows_a_bus_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        events, sqs = (boto3.client(service, region_name="eu-central-1") for service in ("events", "sqs"))
        events.create_event_bus(Name="chronowatch")
        target = EventBridgeSender(lambda: events, default_bus="chronowatch")
        with consumer.subscription(events, sqs, "chronowatch", None) as queue_url:
            (queue,) = sqs.list_queues()["QueueUrls"]
            policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]["Policy"]
            (rule,) = events.list_rules(EventBusName="chronowatch")["Rules"]
            assert rule["Arn"] in policy
            for token, instant in ((1, 1000), (3, 3000), (2, 2000), (4, 4000)):
                target.dispatch([delivery(token, instant)])
            consumer.follow(sqs, queue_url, 3)
        assert "QueueUrls" not in sqs.list_queues()
        assert events.list_rules(EventBusName="chronowatch")["Rules"] == []
        for client in (events, sqs):
            client.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("token ")[1].split()[0].rstrip(":") for line in lines] == ["1", "3", "2", "4"]
    assert [line.startswith("stale") for line in lines] == [False, False, True, False]


def test_the_fence_keeps_schedules_apart():
    fence = consumer.Fence()

    def admits(schedule_id: str, token: int) -> bool:
        return bool(fence.admits({"subject": schedule_id, "fencingtoken": token}))

    assert [admits("a", 5), admits("b", 1), admits("a", 5), admits("a", 4), admits("a", 6)] == [1, 1, 0, 0, 1]


@pytest.mark.parametrize(("script", "option"), [("consumer.py", "--count"), ("webhook_receiver.py", "--secret")])
def test_help(script: str, option: str):
    done = subprocess.run([sys.executable, EXAMPLES / script, "--help"], capture_output=True, text=True, check=True)
    assert option in done.stdout


def test_the_consumer_says_what_is_wrong():
    def run(*arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
        command = [sys.executable, str(EXAMPLES / "consumer.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    status, text = run("--count", "0")
    assert (status, "--count must be at least 1" in text) == (2, True)
    status, text = run()
    assert (status, "Could not connect" in text) == (1, True)


@pytest.mark.emulator
@pytest.mark.skipif("AWS_ENDPOINT_URL" not in os.environ, reason="needs an endpoint that another process can reach")
@pytest.mark.parametrize("ending", ["count", "interrupt"])
def test_the_consumer_as_a_process(ending: str):
    endpoint_url = os.environ["AWS_ENDPOINT_URL"]
    bus = f"examples-{os.getpid()}-{ending}"
    events: Any = boto3.client("events", region_name="us-east-1", endpoint_url=endpoint_url)
    sqs: Any = boto3.client("sqs", region_name="us-east-1", endpoint_url=endpoint_url)
    before = set(sqs.list_queues().get("QueueUrls", ()))
    events.create_event_bus(Name=bus)
    command = [sys.executable, "-u", str(EXAMPLES / "consumer.py"), "--bus", bus, "--region", "us-east-1"]
    if ending == "count":
        command += ["--count", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "following" in process.stderr.readline()
        target = EventBridgeSender(lambda: events, default_bus=bus)
        for token in (1, 2):
            target.dispatch([delivery(token, now_ms())])
        lines = [process.stdout.readline() for _ in range(2)]
        if ending == "interrupt":
            process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert ("removed" in errors) == (ending == "interrupt")
    assert [json.loads(line[line.index("{") :]) for line in lines] == [{"hello": "wörld"}] * 2
    assert events.list_rules(EventBusName=bus)["Rules"] == []
    assert set(sqs.list_queues().get("QueueUrls", ())) <= before
    events.delete_event_bus(Name=bus)
    for client in (events, sqs):
        client.close()
