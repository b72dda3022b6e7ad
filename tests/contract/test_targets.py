"""Every AWS target against an AWS: moto inside this process, or the endpoint that AWS_ENDPOINT_URL names."""

from __future__ import annotations

import io
import json
import os
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from msgspec.structs import replace

from chalicelib.adapters.secrets.aws_secrets import ParameterStore, SecretsManagerStore
from chalicelib.adapters.targets.aws_lambda import LambdaSender
from chalicelib.adapters.targets.eventbridge import EventBridgeSender
from chalicelib.adapters.targets.sns import SnsSender
from chalicelib.adapters.targets.sqs import SqsSender
from chalicelib.adapters.targets.stepfunctions import StepFunctionsSender
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.core.targets import cloudevent
from chalicelib.ports.secrets import SecretAway, SecretMissing
from chalicelib.ports.target import COMPLETED, Delivery

REGION = "eu-central-1"
WAIT_S = 10
Clients = Callable[[str], Any]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
    if not endpoint_url:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")

    def client(service: str) -> Any:
        made = boto3.client(service, region_name=REGION, endpoint_url=endpoint_url, config=config)
        opened.append(made)
        return made

    opened: list[Any] = []
    if endpoint_url:
        yield client
    else:
        with mock_aws():
            yield client
    for made in opened:
        made.close()


@pytest.fixture
def name() -> str:
    return f"targets-{uuid.uuid4().hex[:12]}"


def delivery(number: int = 1, **target: object) -> Delivery:
    execution_id = f"01KB0000000000000000000000-{number}"
    event = cloudevent.build(
        execution_id=execution_id,
        schedule_id="01KB0000000000000000000000",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=number,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        hlc="1795252805000412000.0",
        payload_json=json.dumps({"n": number, "text": "é€"}, ensure_ascii=False),
    )
    return Delivery(
        execution_id=execution_id,
        tenant="default",
        schedule_id="01KB0000000000000000000000",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=number,
        target=target,
        event=event,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        timeout_ms=30_000,
    )


def queue(clients: Clients, name: str, **attributes: str) -> str:
    return str(clients("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def queue_arn(clients: Clients, queue_url: str) -> str:
    answer = clients("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def receive(clients: Clients, queue_url: str, count: int) -> list[dict[str, Any]]:
    """The bodies of ``count`` messages, by their number."""
    sqs, found = clients("sqs"), []
    deadline_s = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline_s:
        answer = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            found.append({**json.loads(message["Body"]), "attributes": message.get("Attributes", {})})
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    assert len(found) == count
    return found


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return sorted(event["data"]["n"] for event in events)


def test_eventbridge(clients: Clients, name: str):
    events, queue_url = clients("events"), queue(clients, name)
    events.create_event_bus(Name=name)
    pattern = {"source": ["chronowatch"], "detail-type": ["chronowatch.firings.v1"]}
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "q", "Arn": queue_arn(clients, queue_url)}])
    target = EventBridgeSender(lambda: events, default_bus=name)
    outcomes = target.dispatch([delivery(n) for n in range(12)] + [delivery(99, bus="default")])
    assert [outcome.kind for outcome in outcomes] == [COMPLETED] * 13
    received = receive(clients, queue_url, 12)
    assert numbers([event["detail"] for event in received]) == list(range(12))
    first = next(event for event in received if event["detail"]["data"]["n"] == 0)
    assert first["detail"] == json.loads(delivery(0).event)


def test_sqs(clients: Clients, name: str):
    queues = [queue(clients, f"{name}-{n}") for n in range(2)]
    target = SqsSender(lambda: clients("sqs"))
    outcomes = target.dispatch([delivery(n, queue_url=queues[n % 2]) for n in range(24)])
    assert [outcome.kind for outcome in outcomes] == [COMPLETED] * 24
    received = receive(clients, queues[0], 12)
    assert numbers(received) == list(range(0, 24, 2))
    assert {**received[0], "attributes": None} == {
        **json.loads(delivery(received[0]["data"]["n"]).event),
        "attributes": None,
    }
    assert numbers(receive(clients, queues[1], 12)) == list(range(1, 24, 2))


def test_sqs_fifo_drops_the_repetition_of_an_attempt(clients: Clients, name: str):
    queue_url = queue(clients, f"{name}.fifo", FifoQueue="true")
    target = SqsSender(lambda: clients("sqs"))
    again = delivery(1, queue_url=queue_url, message_group_id="g")
    for each in (again, again, replace(again, attempt=2)):
        assert [outcome.kind for outcome in target.dispatch([each])] == [COMPLETED]
    received = receive(clients, queue_url, 2)
    assert {event["attributes"]["MessageGroupId"] for event in received} == {"g"}


def test_sqs_without_its_queue(clients: Clients, name: str):
    queue_url = queue(clients, name)
    clients("sqs").delete_queue(QueueUrl=queue_url)
    (outcome,) = SqsSender(lambda: clients("sqs")).dispatch([delivery(queue_url=queue_url)])
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)


def test_sns(clients: Clients, name: str):
    sns, queue_url = clients("sns"), queue(clients, name)
    topic_arn = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn(clients, queue_url),
        Attributes={"RawMessageDelivery": "true"},
    )
    outcomes = SnsSender(lambda: sns).dispatch([delivery(n, topic_arn=topic_arn) for n in range(12)])
    assert [outcome.kind for outcome in outcomes] == [COMPLETED] * 12
    assert numbers(receive(clients, queue_url, 12)) == list(range(12))


def test_sns_without_its_topic(clients: Clients, name: str):
    topic_arn = clients("sns").create_topic(Name=name)["TopicArn"]
    clients("sns").delete_topic(TopicArn=topic_arn)
    (outcome,) = SnsSender(lambda: clients("sns")).dispatch([delivery(topic_arn=topic_arn)])
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)


def role(clients: Clients, name: str, service: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return str(clients("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"])


def test_lambda(clients: Clients, name: str):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "def handler(event, context):\n    return event['id']\n")
    clients("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role(clients, name, "lambda.amazonaws.com"),
        Handler="main.handler",
        Code={"ZipFile": buffer.getvalue()},
    )
    target = LambdaSender(lambda: clients("lambda"))
    gone = delivery(2, function=f"{name}-gone")
    if os.environ.get("AWS_ENDPOINT_URL"):  # moto runs functions in docker only; the emulator runs them itself
        (outcome,) = target.dispatch([delivery(1, function=name)])
        assert (outcome.kind, outcome.http_status) == (COMPLETED, 202)
    (outcome,) = target.dispatch([gone])
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)


def test_stepfunctions_starts_an_attempt_once(clients: Clients, name: str):
    states = clients("stepfunctions")
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
    machine = states.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role(clients, name, "states.amazonaws.com")
    )["stateMachineArn"]
    target = StepFunctionsSender(lambda: states)
    first = delivery(1, state_machine_arn=machine)
    stamped_again = replace(first, event=first.event.replace(b"412000.0", b"413000.0"))
    for each in (first, stamped_again, replace(first, attempt=2)):
        assert [outcome.kind for outcome in target.dispatch([each])] == [COMPLETED]
    runs = states.list_executions(stateMachineArn=machine)["executions"]
    assert sorted(run["name"] for run in runs) == [f"{first.execution_id}-1", f"{first.execution_id}-2"]
    run = states.describe_execution(executionArn=runs[0]["executionArn"])
    assert json.loads(run["input"])["data"]["n"] == 1
    states.delete_state_machine(stateMachineArn=machine)


def test_stepfunctions_without_its_machine(clients: Clients, name: str):
    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:{name}"
    (outcome,) = StepFunctionsSender(lambda: clients("stepfunctions")).dispatch([delivery(state_machine_arn=arn)])
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)


def test_nobody_at_the_endpoint(clients: Clients):
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    away = boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:1",
        config=config,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    queue_url = "http://127.0.0.1:1/123456789012/q"
    (outcome,) = SqsSender(lambda: away).dispatch([delivery(queue_url=queue_url)])
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "connection_error", False)


def test_a_secret_that_is_rotated_has_two_live_values(clients: Clients, name: str):
    manager = clients("secretsmanager")
    store = SecretsManagerStore(lambda: manager)
    ref = SecretRef("secretsmanager", name)
    with pytest.raises(SecretMissing, match=name):
        store.read(ref)
    manager.create_secret(Name=name, SecretString="first")
    assert store.read(ref) == ("first",)
    manager.put_secret_value(SecretId=name, SecretString="second")
    assert store.read(ref) == ("second", "first")
    manager.put_secret_value(SecretId=name, SecretString="third")
    assert store.read(ref) == ("third", "second")


def test_a_parameter_is_a_secret(clients: Clients, name: str):
    parameters = clients("ssm")
    store = ParameterStore(lambda: parameters)
    with pytest.raises(SecretMissing, match=name):
        store.read(SecretRef("ssm", f"/{name}"))
    parameters.put_parameter(Name=f"/{name}", Value="new old", Type="SecureString")
    assert store.read(SecretRef("ssm", f"/{name}")) == ("new old",)


@pytest.mark.parametrize("kind", [SecretsManagerStore, ParameterStore])
def test_a_store_that_does_not_answer_is_away(kind: type[SecretsManagerStore] | type[ParameterStore]):
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    service = "secretsmanager" if kind is SecretsManagerStore else "ssm"
    away = boto3.client(service, region_name=REGION, endpoint_url="http://127.0.0.1:1", config=config, **keys)
    with pytest.raises(SecretAway):
        kind(lambda: away).read(SecretRef(service, "x"))
