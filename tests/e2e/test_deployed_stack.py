"""The deployed stack as its operator meets it: a session with a key, crashes, schedules of other stacks, the end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.api.rpc import chronowatch_pb2
from localdev.deployed import STACK
from localdev.processes import command_of
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.paced_receiver import PacedReceiver
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
OTHER = "schedules-of-a-team"


def client(server: DevServer, service: str) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=server.endpoint, **keys)


def test_the_session_of_the_readme_with_a_key(deployed: DevServer, receiver: Receiver) -> None:
    assert deployed.call("GET", "/api/v1/schedules", headers={})[0] == 401
    beat = deployed.create(
        type="RATE", expr="rate:1s", name="readme", payload={"hello": "world"}, target=receiver.target()
    )
    wait_for("two firings", lambda: len(receiver.counts(beat)) >= 2, 60)
    status, page = deployed.call("GET", "/api/v1/executions")
    assert (status, {item["schedule_id"] for item in page["items"]} >= {beat["id"]}) == (200, True)
    one = f"/api/v1/schedules/{beat['id']}"
    assert deployed.call("POST", f"{one}:pause", {})[1]["state"] == "paused"
    assert deployed.call("POST", f"{one}:resume", {})[1]["state"] == "active"
    assert deployed.call("DELETE", one)[0] == 200


def lambdas(server: DevServer) -> list[int]:
    """The processes that functions run in: children of the emulator."""
    emulator = server.pids()["emulator"]
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            if int(words[1]) == emulator and "_worker" in command_of(int(path.parent.name)):
                found.append(int(path.parent.name))
    return found


def test_functions_that_die_lose_no_firing_and_double_none(
    deployed: DevServer, new_receiver: Callable[[int], PacedReceiver]
) -> None:
    """``kill -9`` of every function, again and again, while firings are on their way."""
    receiver = new_receiver(300)
    # What a dead function held comes a minute late: the window is wider, so that it is sent and not told as missed.
    window = {"catch_up_window_ms": 600_000}
    beat = deployed.create(type="RATE", expr="rate:1s", target=receiver.target(), max_runs=20, **window)
    first = beat["created_at_unix_ms"] + 1000
    owed = [first + 1000 * k for k in range(20)]
    killed = 0
    for _ in range(4):
        time.sleep(3)
        for pid in lambdas(deployed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed > 3, "else nothing crashed"

    # What a dead function held comes again when SQS stops hiding it, after a minute.
    def ended() -> bool:
        try:
            found = deployed.executions(beat["id"])
        except ConnectionError:  # the call fell to a function that is being killed: the gateway answers 502 or 503
            return False
        return len(found) == len(owed) and all(e["delivery_state"] == "completed" for e in found.values())

    wait_for("every firing to be completed", ended, 230)
    assert sorted(deployed.executions(beat["id"])) == owed, "each instant once, and no other"


def subscribe(server: DevServer, last_id: str | None) -> str:
    """One answer of the function ``subscribe``, which the gateway hands on whole."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=40)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {server.key}"}
    try:
        connection.request(
            "GET", "/api/tasks/subscribe", headers=headers | ({"Last-Event-ID": last_id} if last_id else {})
        )
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, text
    assert str(answer.headers["Content-Type"]).startswith("text/event-stream")
    return text


def test_a_subscriber_goes_on_from_where_it_stood_and_hears_each_change_once(deployed: DevServer) -> None:
    last_id = re.findall(r"^id: (\d+)$", subscribe(deployed, None), re.MULTILINE)[-1]
    made = deployed.create(type="CRON", expr="0 0 1 1 *", target={"type": "log"})
    deployed.call("POST", f"/api/v1/schedules/{made['id']}:trigger", {})
    seen: list[tuple[str, str]] = []

    def over() -> bool:
        nonlocal last_id
        text = subscribe(deployed, last_id)
        for position, data in re.findall(r"^id: (\d+)\nevent: task\ndata: (.*)$", text, re.MULTILINE):
            task = json.loads(data)
            if task["schedule_id"] == made["id"]:
                seen.append((position, task["status"]))
        last_id = ([last_id, *re.findall(r"^id: (\d+)$", text, re.MULTILINE)])[-1]
        return bool(seen) and seen[-1][1] == "completed"

    wait_for("the execution to be over", over, 90)
    positions = [position for position, _ in seen]
    assert positions == sorted(set(positions))
    functions = client(deployed, "lambda")
    found = functions.get_function_configuration(FunctionName="chronowatch-deployed-subscribe")
    assert found["MemorySize"] == 128


TEAM = {
    "Resources": {
        "Nightly": {
            "Type": "Custom::ChronoSchedule",
            "Properties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:chronowatch-deployed-declare",
                "Owner": "team-a",
                "Schedule": {"name": "nightly", "type": "CRON", "expr": "0 3 * * *", "max_runs": 7, "enabled": True},
            },
        }
    },
    "Outputs": {"Id": {"Value": {"Fn::GetAtt": ["Nightly", "id"]}}},
}


def settled(cloudformation: Any, name: str) -> str:
    def status() -> str | None:
        try:
            found = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        except cloudformation.exceptions.ClientError:
            return "GONE"
        return None if found.endswith("_IN_PROGRESS") else found

    found = wait_for(f"stack {name} to settle", status, 60)
    assert found is not None
    return found


def test_a_stack_of_another_team_declares_schedules(deployed: DevServer) -> None:
    cloudformation = client(deployed, "cloudformation")
    cloudformation.create_stack(StackName=OTHER, TemplateBody=json.dumps(TEAM))
    assert settled(cloudformation, OTHER) == "CREATE_COMPLETE"
    (output,) = cloudformation.describe_stacks(StackName=OTHER)["Stacks"][0]["Outputs"]
    path = f"/api/v1/schedules/{output['OutputValue']}"
    status, made = deployed.call("GET", path)
    assert (status, made["owner"], made["max_runs"], made["enabled"]) == (200, "team-a", 7, True)

    changed = json.loads(json.dumps(TEAM))
    changed["Resources"]["Nightly"]["Properties"]["Schedule"]["expr"] = "0 4 * * *"
    cloudformation.update_stack(StackName=OTHER, TemplateBody=json.dumps(changed))
    assert settled(cloudformation, OTHER) == "UPDATE_COMPLETE"
    assert deployed.call("GET", path)[1]["expr"] == "0 4 * * *"

    changed["Resources"]["Nightly"]["Properties"]["Schedule"]["expr"] = "nonsense"
    cloudformation.update_stack(StackName=OTHER, TemplateBody=json.dumps(changed))
    assert settled(cloudformation, OTHER) == "UPDATE_ROLLBACK_COMPLETE"
    reasons = [
        e.get("ResourceStatusReason", "") for e in cloudformation.describe_stack_events(StackName=OTHER)["StackEvents"]
    ]
    assert any("expr: " in reason for reason in reasons), reasons
    assert deployed.call("GET", path)[1]["expr"] == "0 4 * * *"

    cloudformation.delete_stack(StackName=OTHER)
    assert settled(cloudformation, OTHER) == "GONE"
    assert deployed.call("GET", path)[0] in (404, 410)


def test_protobuf_passes_the_gateway(deployed: DevServer) -> None:
    """Connect with messages in bytes, which the gateway must neither read as text nor answer as base64."""
    asked = chronowatch_pb2.CreateScheduleRequest(type="RATE", expr="rate:1h", payload='"€"'.encode())
    headers = {"Content-Type": "application/proto", "Accept": "*/*", "Authorization": f"Bearer {deployed.key}"}
    connection = http.client.HTTPConnection("127.0.0.1", deployed.http_port, timeout=40)
    try:
        path = "/chronowatch.v1.ScheduleService/Create"
        connection.request("POST", path, asked.SerializeToString(), headers)
        answer = connection.getresponse()
        raw = answer.read()
    finally:
        connection.close()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/proto"), raw
    made = chronowatch_pb2.ScheduleId.FromString(raw).id
    assert deployed.call("GET", f"/api/v1/schedules/{made}")[1]["payload"] == "€"


def test_the_stack_has_what_the_state_says(deployed: DevServer) -> None:
    from infra.state import state

    wanted = state("deployed")
    dynamodb, sqs = client(deployed, "dynamodb"), client(deployed, "sqs")
    for table in wanted.tables:
        found = dynamodb.describe_table(TableName=table.name)["Table"]
        assert {i["IndexName"] for i in found.get("GlobalSecondaryIndexes", [])} == {i.name for i in table.indexes}
        assert found.get("StreamSpecification", {}).get("StreamViewType") == table.stream
    for queue in wanted.queues:
        url = sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert int(attributes["VisibilityTimeout"]) == queue.visibility_s
        assert int(attributes["MessageRetentionPeriod"]) == queue.retention_s
        redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
        assert redrive.get("maxReceiveCount") in (queue.max_receive_count, str(queue.max_receive_count))
    rules = client(deployed, "events").list_rules()["Rules"]
    assert [r["ScheduleExpression"] for r in rules] == [r.schedule for r in wanted.rules for _ in r.workers]
    alarms = client(deployed, "cloudwatch").describe_alarms()["MetricAlarms"]
    assert len(alarms) > 10
    sources = client(deployed, "lambda").list_event_source_mappings()["EventSourceMappings"]
    from_queues = [source for source in sources if ":sqs:" in source["EventSourceArn"]]
    assert {source["EventSourceArn"].rpartition("-")[2] for source in from_queues} == {"work", "steps"}
    assert all(source["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for source in from_queues)


def test_teardown_leaves_the_tables_and_then_nothing(new_server: Any) -> None:
    """Of a stack of its own. What was acknowledged outlives it: tables go when they are told to."""
    from infra.state import state

    server = new_server(arguments=("--deployed",))
    server.greeted()
    cloudformation, dynamodb = client(server, "cloudformation"), client(server, "dynamodb")
    cloudformation.delete_stack(StackName=STACK)
    assert settled(cloudformation, STACK) == "GONE"
    kept = dynamodb.list_tables()["TableNames"]
    assert len(kept) == len(state("deployed").tables)
    for name in kept:
        dynamodb.delete_table(TableName=name)
    assert client(server, "sqs").list_queues().get("QueueUrls", []) == []
    assert client(server, "lambda").list_functions()["Functions"] == []
    assert client(server, "lambda").list_layers()["Layers"] == []
    assert client(server, "events").list_rules()["Rules"] == []
    assert [b["Name"] for b in client(server, "events").list_event_buses()["EventBuses"]] == ["default"]
    assert client(server, "apigateway").get_rest_apis()["items"] == []
    assert client(server, "logs").describe_log_groups()["logGroups"] == []
    assert client(server, "cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert client(server, "iam").list_roles()["Roles"] == []
