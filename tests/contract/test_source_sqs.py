"""Triggers that hear a queue of SQS, as an emulator has it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.adapters.aws.clients import Clients
from tests.brokers import wait_until
from tests.contract.heard import WITHIN_S, Heard, event, fires_once_filters_and_sets_aside, listening

pytestmark = pytest.mark.emulator
STRUCTURED = "application/cloudevents+json"


@pytest.fixture
def heard(clients: Clients) -> Iterator[Heard]:
    with listening(client=clients) as found:
        yield found


@pytest.fixture
def queue(clients: Clients) -> str:
    return str(clients.get("sqs").create_queue(QueueName=f"heard-{uuid.uuid4().hex[:8]}")["QueueUrl"])


def publish(clients: Clients, queue: str, body: bytes, headers: dict[str, str], content_type: str) -> None:
    named = {f"ce-{name}": value for name, value in headers.items()}
    if content_type:
        named["content-type"] = content_type
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in named.items()}
    clients.get("sqs").send_message(QueueUrl=queue, MessageBody=body.decode(), MessageAttributes=attributes)


def test_what_becomes_of_each_message(clients: Clients, queue: str, heard: Heard) -> None:
    def sent(body: bytes, headers: dict[str, str], content_type: str) -> None:
        publish(clients, queue, body, headers, content_type)

    fires_once_filters_and_sets_aside(heard, {"type": "sqs", "queue_url": queue}, sent, takes_bytes=False)


@pytest.mark.slow
def test_workers_share_a_queue_and_a_paused_trigger_leaves_its_messages(
    clients: Clients, queue: str, heard: Heard
) -> None:
    trigger_id = heard.trigger({"type": "sqs", "queue_url": queue})
    with listening(None, heard, client=clients) as other:
        other.listeners.look()
        for number in range(20):
            publish(clients, queue, json.dumps(event(number)).encode(), {}, STRUCTURED)
        heard.wait_for(trigger_id, *range(20))
    wait_until(lambda: waiting(clients, queue) == (0, 0), WITHIN_S, "an empty queue")
    heard.switch(trigger_id, False)
    publish(clients, queue, json.dumps(event(20)).encode(), {}, STRUCTURED)
    wait_until(lambda: waiting(clients, queue) == (1, 0), WITHIN_S, "the message, given back by a last call")
    heard.wait_for(trigger_id, *range(20))
    heard.switch(trigger_id, True)
    heard.wait_for(trigger_id, *range(21))


def test_a_queue_that_is_not_there_is_said(
    clients: Clients, heard: Heard, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    trigger_id = heard.trigger({"type": "sqs", "queue_url": queue + "-gone"})
    heard.wait_for_state(trigger_id, "failing", queue.rpartition("/")[2] + "-gone")
    assert "hears nothing" in caplog.text
    made = clients.get("sqs").create_queue(QueueName=queue.rpartition("/")[2] + "-gone")["QueueUrl"]
    publish(clients, made, json.dumps(event(1)).encode(), {}, STRUCTURED)
    heard.wait_for(trigger_id, 1)
    assert heard.listening(trigger_id)[0] == "listening"


def waiting(clients: Clients, queue: str) -> tuple[int, int]:
    """Messages that can be received, and messages in hand."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found: Any = clients.get("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])
