"""examples/eventbridge.yaml and replay.py: rules, a queue, an archive, and a replay that the receiver sees through."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.adapters.targets.eventbridge import EventBridgeSender
from chalicelib.core.targets import cloudevent
from chalicelib.ports.target import Delivery

EXAMPLES = Path(__file__).parents[2] / "examples"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ARCHIVED = json.dumps({"source": ["chronowatch"], "detail-type": ["chronowatch.firings.v1"]})
T0 = 1_795_252_805_000

pytestmark = pytest.mark.skipif("AWS_ENDPOINT_URL" in os.environ, reason="runs inside this process")


def _replay(*arguments: str) -> int:
    spec = importlib.util.spec_from_file_location("replay", EXAMPLES / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: int = module.main(list(arguments))
    return found


def _firing(schedule_id: str) -> Delivery:
    event = cloudevent.build(
        execution_id=f"{schedule_id}-{T0}", schedule_id=schedule_id, firing_unix_ms=T0, attempt=1, fencing_token=1,
        traceparent=TRACEPARENT, hlc="1.0", payload_json="null",
    )  # fmt: skip
    target = {"type": "eventbridge"}
    return Delivery(f"{schedule_id}-{T0}", "default", schedule_id, T0, 1, 1, target, event, TRACEPARENT, 5000)


def _received(sqs: Any, url: str) -> list[str]:
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
    for message in got:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"])["detail"]["id"] for message in got]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield boto3.Session()


@pytest.mark.filterwarnings("ignore:Tried to parse AWS")  # moto knows no policies of queues
def test_firings_of_one_schedule_come_to_the_queue_and_once_more_by_a_replay(aws: Any) -> None:
    events, sqs, stacks = (aws.client(name) for name in ("events", "sqs", "cloudformation"))
    events.create_event_bus(Name="chronowatch")
    chosen = [{"ParameterKey": "ScheduleId", "ParameterValue": "01KB"}]
    template = (EXAMPLES / "eventbridge.yaml").read_text()
    pattern = "EventPattern:\n        source: [chronowatch]\n        detail-type: [chronowatch.firings.v1]\nOutputs"
    assert pattern in template
    template = template.replace(pattern, f"EventPattern: '{ARCHIVED}'\nOutputs")  # the mock takes it as text only
    stacks.create_stack(StackName="c", TemplateBody=template, Parameters=chosen)
    described = stacks.describe_stacks(StackName="c")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    sender = EventBridgeSender(lambda *_: events, default_bus="chronowatch")
    assert {o.kind for o in sender.dispatch([_firing("01KB"), _firing("01KC")])} == {"completed"}
    assert _received(sqs, outputs["QueueUrl"]) == [f"01KB-{T0}"]

    archive = events.describe_archive(ArchiveName="chronowatch-firings")
    assert archive["EventCount"] == 2
    assert _replay("--from", "2026-01-01T00:00:00Z", "--to", "2030-01-01", "--wait-s", "5") == 0
    assert f"01KB-{T0}" in _received(sqs, outputs["QueueUrl"])  # with the id that it had


def test_what_cannot_be_replayed_is_one_line(aws: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert _replay("--archive", "nope", "--from", "2026-01-01", "--to", "2026-01-02") == 1
    assert "nope" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        _replay("--from", "2026-01-02", "--to", "2026-01-01")
    assert "--to must be after --from" in capsys.readouterr().err
