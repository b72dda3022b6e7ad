"""Firings to Kafka: the mock cluster of librdkafka, or a real one that KAFKA_BOOTSTRAP names.

The mock is a cluster of three brokers in a process of its own, which speaks Kafka's protocol over TCP.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused, BrokerSilent, SignInRefused
from chalicelib.adapters.targets.kafka import KafkaSender, meaning
from chalicelib.ports.target import Outcome
from tests.brokers import free_port
from tests.contract.broker_deliveries import KnownSecrets, at_once, delivery, parts, receipt, rejected, retried, send

PARTITIONS = 4  # as the mock makes them
MOCK = """
import time
from confluent_kafka import Producer
mock = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3, "log_level": 0})
brokers = mock.list_topics(timeout=10).brokers.values()
print(",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
while True:
    mock.poll(1)
"""


@contextlib.contextmanager
def mock_cluster() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen([sys.executable, "-c", MOCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    with mock_cluster() as (found, _):
        yield found


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = f"orders-{uuid.uuid4().hex[:8]}"
    if "KAFKA_BOOTSTRAP" in os.environ:  # the mock makes a topic that is asked for
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(10)
    return name


@pytest.fixture
def sender() -> Iterator[KafkaSender]:
    made = KafkaSender(parts(KnownSecrets(GOOD='{"username":"writer","password":"right"}')))
    yield made
    made.close()


def target(bootstrap: str, topic: str, **more: object) -> dict[str, Any]:
    return {"type": "kafka", "brokers": bootstrap.split(","), "topic": topic, **more}


def read(bootstrap: str, topic: str, count: int) -> list[Any]:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False})
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    found = reader.consume(count, timeout=10)
    reader.close()
    assert len(found) == count
    assert all(record.error() is None for record in found)
    return found


def test_a_firing_is_a_record_whose_place_is_the_receipt(bootstrap: str, topic: str, sender: KafkaSender) -> None:
    one = delivery(1, **target(bootstrap, topic))
    said = receipt(send(sender, one))
    (record,) = read(bootstrap, topic, 1)
    assert said == {"partition": record.partition(), "offset": record.offset()}
    assert record.key() == one.schedule_id.encode()
    assert dict(record.headers()) == {"content-type": b"application/cloudevents+json"}
    assert json.loads(record.value()) == json.loads(one.event)


def test_binary_mode_is_what_the_sdk_reads(bootstrap: str, topic: str, sender: KafkaSender) -> None:
    one = delivery(1, **target(bootstrap, topic, mode="binary", key="k", acks="leader"))
    receipt(send(sender, one))
    (record,) = read(bootstrap, topic, 1)
    assert record.key() == b"k"
    message = KafkaMessage(headers=dict(record.headers()), key=None, value=record.value())
    event = from_kafka(message, JSONFormat())
    whole = json.loads(one.event)
    assert (event.get_id(), event.get_type(), event.get_data()) == (whole["id"], whole["type"], whole["data"])


@pytest.mark.skipif("KAFKA_BOOTSTRAP" not in os.environ, reason="KAFKA_BOOTSTRAP: the mock makes any topic")
def test_a_topic_that_is_not_there_is_rejected(bootstrap: str, sender: KafkaSender) -> None:
    assert "has no topic" in rejected(send(sender, delivery(1, **target(bootstrap, f"gone-{uuid.uuid4().hex}"))))


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, BrokerRefused, "Kafka has no topic orders"),
        (KafkaError.MSG_SIZE_TOO_LARGE, BrokerRefused, "above max.message.bytes of the topic orders"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, BrokerRefused, "refused it"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, SignInRefused, "credentials"),
        (KafkaError._MSG_TIMED_OUT, BrokerSilent, "the broker may have it"),
        (KafkaError.NOT_ENOUGH_REPLICAS, BrokerAway, "did not take it"),
        (KafkaError._TRANSPORT, BrokerAway, "did not take it"),
    ],
)
def test_what_a_report_means(code: int, kind: type[Exception], text: str) -> None:
    found = meaning(KafkaError(code), 70_000, "orders")
    assert type(found) is kind
    assert text in str(found)


def test_killed_before_the_answer_is_unknown(topic: str, sender: KafkaSender) -> None:
    with mock_cluster() as (bootstrap, process):
        one = delivery(1, timeout_ms=1_500, **target(bootstrap, topic))
        receipt(send(sender, one))
        process.send_signal(signal.SIGSTOP)
        found: list[Outcome] = []
        sending = threading.Thread(target=lambda: found.append(send(sender, one)))
        sending.start()
        time.sleep(0.3)
        process.kill()
        sending.join(10)
        assert "broker may have it" in retried(found[0])
        retried(send(sender, one))  # away


def test_a_herd_of_one_schedule_stays_in_order(bootstrap: str, topic: str, sender: KafkaSender) -> None:
    for number in range(50):
        receipt(send(sender, delivery(number, **target(bootstrap, topic))))
    records = read(bootstrap, topic, 50)
    assert len({record.partition() for record in records}) == 1
    assert [json.loads(record.value())["data"]["n"] for record in records] == list(range(50))
    herd = at_once(sender, [delivery(number, **target(bootstrap, topic, key=f"k{number}")) for number in range(200)])
    assert len({(receipt(each)["partition"], receipt(each)["offset"]) for each in herd}) == 200


def test_a_cluster_that_is_away_is_asked_again(topic: str, sender: KafkaSender) -> None:
    away = delivery(1, timeout_ms=1_000, **target(f"127.0.0.1:{free_port()}", topic))
    assert "cannot be reached" in retried(send(sender, away))


def test_an_advertised_address_that_the_guard_forbids_is_not_called(bootstrap: str, topic: str) -> None:
    host, _, port = bootstrap.split(",")[0].partition(":")
    guarded = KafkaSender(parts(allow=("localhost",)), resolver=lambda *_: ["127.0.0.1"])
    one = delivery(1, **(target(bootstrap, topic) | {"brokers": [f"localhost:{port}"]}))
    assert f"{host}" in rejected(send(guarded, one))
    guarded.close()
