"""What the README promises, against a server that runs: create, receive, look at it, pause, change, trigger, delete."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

import pytest
import tzdata

from chalicelib.adapters.aws.clients import Clients
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

PATIENCE_MS = 3_000  # how long a firing that must not come is waited for


def test_what_was_fired_is_written_down(server: DevServer, receiver: Receiver) -> None:
    once = server.create(type="DELAY", expr="delay:1s", max_runs=1, target=receiver.target())
    (came,) = wait_for("the firing", lambda: receiver.of(once))
    path = f"/api/v1/executions/{came.event['id']}"

    def completed() -> dict[str, Any] | None:
        status, execution = server.call("GET", path)
        return execution if status == 200 and execution["delivery_state"] == "completed" else None

    execution = wait_for("the record to be completed", completed)
    assert execution["attempt"] == 1
    assert [step["to"] for step in execution["history"]] == ["in_progress", "completed"]
    assert execution["attempts"][0]["http_status"] == 204
    assert execution["fencing_token"] == came.event["fencingtoken"]
    assert execution["trace_id"] == came.event["traceparent"].split("-")[1]


def test_firings_reach_the_event_bus(server: DevServer) -> None:
    clients = Clients("us-east-1", server.endpoint)
    events, sqs = clients.get("events"), clients.get("sqs")
    url = sqs.create_queue(QueueName="e2e-bus")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="e2e-bus", EventBusName="chronowatch", EventPattern=json.dumps({"source": ["chronowatch"]}))
    events.put_targets(Rule="e2e-bus", EventBusName="chronowatch", Targets=[{"Id": "queue", "Arn": arn}])
    once = server.create(type="DELAY", expr="delay:1s", max_runs=1, payload=[1, 2])

    def received() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        envelopes = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        return [each for each in envelopes if each["detail"].get("subject") == once["id"]]

    (envelope,) = wait_for("the event", received)
    assert envelope["detail-type"] == "chronowatch.firings.v1"
    assert envelope["detail"]["data"] == [1, 2]


def test_a_pause_stops_what_was_queued_already_and_resume_goes_on_in_step(
    server: DevServer, receiver: Receiver
) -> None:
    beat = server.create(type="RATE", expr="rate:1s", target=receiver.target())
    path = f"/api/v1/schedules/{beat['id']}"
    wait_for("two firings", lambda: len(receiver.of(beat)) >= 2)
    assert server.call("POST", f"{path}:pause", {})[0] == 200
    paused_ms = time.time() * 1000
    time.sleep(PATIENCE_MS / 1000)
    assert max(receiver.counts(beat)) <= paused_ms
    assert server.call("POST", f"{path}:resume", {})[0] == 200
    resumed_ms = time.time() * 1000
    wait_for("firings after the pause", lambda: len([i for i in receiver.counts(beat) if i > resumed_ms]) >= 2)
    assert {(i - beat["created_at_unix_ms"]) % 1000 for i in receiver.counts(beat)} == {0}
    assert not [i for i in receiver.counts(beat) if paused_ms < i < paused_ms + PATIENCE_MS - 500]
    assert set(receiver.counts(beat).values()) == {1}


def test_a_trigger_fires_now_and_a_delete_ends_it(server: DevServer, receiver: Receiver) -> None:
    yearly = server.create(type="CRON", expr="@yearly", payload="theirs", target=receiver.target())
    path = f"/api/v1/schedules/{yearly['id']}"
    status, answer = server.call("POST", f"{path}:trigger", {"payload": "mine"})
    assert status == 202
    (came,) = wait_for("the manual firing", lambda: receiver.of(yearly))
    assert (came.event["id"], came.event["data"]) == (answer["execution_id"], "mine")
    assert server.call("DELETE", path)[0] == 200
    assert server.call("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("path", "expected"), [("/nope", 404), ("/api/v1/schedules/none", 404), ("/api/v1/schedules?limit=0", 422)]
)
def test_errors_are_problem_json_with_a_trace(server: DevServer, path: str, expected: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=10)
    with caught.value as answer:
        problem = json.load(answer)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["traceparent"].split("-")[1] == problem["trace_id"]
        assert (answer.code, problem["status"]) == (expected, expected)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n", 400),
        (b"NOT HTTP AT ALL\r\n\r\n", 400),
        (b"POST /api/v1/schedules HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b" " * 10_000_000, 413),
        (b"POST /api/v1/schedules HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n", 431),
        (b"POST /api/v1/schedules HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
    ],
    ids=["header", "no-http", "10-mb", "100-mb", "long-header", "chunk"],
)
def test_what_is_no_request_is_refused_as_problem_json(server: DevServer, request_bytes: bytes, expected: int) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as sock:
        with suppress(ConnectionError):  # it need not read all of what it refuses
            sock.sendall(request_bytes)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        problem = json.loads(answer.read())
    assert (answer.status, problem["status"]) == (expected, expected)
    assert answer.getheader("content-type") == "application/problem+json"
    assert answer.getheader("traceparent", "").split("-")[1] == problem["trace_id"]


def test_health_names_the_zone_rules_in_use(server: DevServer) -> None:
    assert server.call("GET", "/health")[1]["zone_data"] == tzdata.IANA_VERSION


def test_the_documentation_is_served(server: DevServer) -> None:
    status, document = server.call("GET", "/api/v1/openapi.json")
    assert (status, document["openapi"][:3]) == (200, "3.1")
