"""Triggers that hear Kafka: the mock cluster of librdkafka, or a real one that KAFKA_BOOTSTRAP names."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from chalicelib.adapters.brokers.faults import BrokerAway
from chalicelib.adapters.sources.kafka import KafkaConsumer
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.ports.event_sources import SourceProblem
from tests.brokers import broker_tls, client_certificate, mock_kafka, running, tansu_command, wait_until
from tests.contract.heard import (
    WITHIN_S,
    Heard,
    event,
    fires_once_filters_and_sets_aside,
    hears_by_its_certificate,
    listening,
)
from tests.kafka_front import KafkaFront
from tests.kit.ports import free_port

PARTITIONS = 4  # as the mock makes them


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    with mock_kafka() as (found, _):
        yield found


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = f"heard-{uuid.uuid4().hex[:8]}"
    if "KAFKA_BOOTSTRAP" in os.environ:  # the mock makes a topic that is asked for
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(10)
    return name


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as found:
        yield found


def source(bootstrap: str, topic: str, **more: Any) -> dict[str, Any]:
    return {"type": "kafka", "brokers": bootstrap.split(","), "topic": topic, **more}


def publish(bootstrap: str, topic: str, *messages: tuple[bytes, dict[str, str], str]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for body, headers, content_type in messages:
        named = [(f"ce_{name}", value.encode()) for name, value in headers.items()]
        if content_type:
            named.append(("content-type", content_type.encode()))
        producer.produce(topic, body, headers=named)
    assert producer.flush(20) == 0


def send(bootstrap: str, topic: str, *numbers: int) -> None:
    publish(bootstrap, topic, *((json.dumps(event(n)).encode(), {}, "") for n in numbers))


def ends_of(bootstrap: str, topic: str) -> int:
    """How many records a topic has, by what its cluster says."""
    asking = Consumer({"bootstrap.servers": bootstrap, "group.id": "asking", "log_level": 0})
    try:
        places = [TopicPartition(topic, number) for number in asking.list_topics(topic, 10).topics[topic].partitions]
        return sum(asking.get_watermark_offsets(place, 10)[1] for place in places)
    finally:
        asking.close()


def test_what_becomes_of_each_message(bootstrap: str, topic: str, heard: Heard) -> None:
    fires_once_filters_and_sets_aside(
        heard, source(bootstrap, topic), lambda *message: publish(bootstrap, topic, message)
    )


def test_what_came_before_the_trigger_is_not_its_own(bootstrap: str, topic: str, heard: Heard) -> None:
    send(bootstrap, topic, *range(9))
    if (ends := ends_of(bootstrap, topic)) != 9:
        pytest.skip(
            f"the cluster says that a topic of 9 records has {ends}: docs/triggers.md says what follows from it"
        )
    heard.let_pass()
    trigger_id = heard.trigger(source(bootstrap, topic))
    send(bootstrap, topic, 10)  # before any worker listens
    heard.wait_for(trigger_id, 10)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Tansu, or the cluster that KAFKA_BOOTSTRAP names: brokers of which the mock knows nothing."""
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    port = free_port()
    with running(tansu_command(port), port, tmp_path_factory.mktemp("tansu"), within_s=WITHIN_S):
        yield f"127.0.0.1:{port}"


def made(bootstrap: str, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(WITHIN_S)
    return name


@pytest.mark.slow
def test_a_topic_that_is_not_there_is_named_and_read_once_it_is(real: str, heard: Heard) -> None:
    topic = f"late-{uuid.uuid4().hex[:8]}"
    trigger_id = heard.trigger(source(real, topic))
    heard.wait_for_state(trigger_id, "failing", f"Kafka has no topic {topic}")
    made(real, topic)
    send(real, topic, 1)
    heard.wait_for(trigger_id, 1)
    assert heard.listening(trigger_id)[0] == "listening"


@pytest.mark.slow
def test_what_comes_while_nobody_listens_is_read_later(bootstrap: str, topic: str) -> None:
    with listening() as heard:
        trigger_id = heard.trigger(source(bootstrap, topic))
        send(bootstrap, topic, 1)
        heard.wait_for(trigger_id, 1)
        heard.switch(trigger_id, False)
        send(bootstrap, topic, 2, 3)
        heard.switch(trigger_id, True)
        heard.wait_for(trigger_id, 1, 2, 3)


@pytest.mark.slow
def test_two_workers_share_the_partitions(bootstrap: str, topic: str, heard: Heard) -> None:
    trigger_id = heard.trigger(source(bootstrap, topic))
    with listening(None, heard) as other:
        other.listeners.look()
        send(bootstrap, topic, *range(24))
        heard.wait_for(trigger_id, *range(24))


def test_the_secret_brings_the_ca_and_the_certificate(tmp_path: Path) -> None:
    port, front_port, authority = free_port(), free_port(), trustme.CA()
    tls = broker_tls(tmp_path, authority)
    with running(tansu_command(port, front_port), port, tmp_path, within_s=WITHIN_S):
        front, by = KafkaFront(front_port, port, {}, tls.asking()), client_certificate(authority)
        options = {"security.protocol": "SSL", "ssl.ca.location": str(tls.ca)}
        options |= {"ssl.certificate.pem": by["certificate"], "ssl.key.pem": by["key"]}
        bootstrap = f"127.0.0.1:{front_port}"

        def sent(number: int) -> None:
            producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, **options})
            producer.produce("heard", json.dumps(event(number)).encode())
            assert producer.flush(20) == 0

        admin = AdminClient({"bootstrap.servers": bootstrap, **options})
        admin.create_topics([NewTopic("heard", 1, 1)])["heard"].result(WITHIN_S)
        asking = source(bootstrap, "heard", security={"protocol": "SSL"})
        hears_by_its_certificate(asking, tls, authority, sent, at="security.secret_ref")
        front.close()


class DiesBeforeItsOffsetsAreWritten(KafkaConsumer):
    """A consumer whose cluster is killed when it knows where to begin, and has not written it down."""

    cluster: subprocess.Popen[str]

    def _first_offsets(self, partitions: list[int]) -> dict[int, int]:
        found = super()._first_offsets(partitions)
        self.cluster.kill()
        return found


def options(bootstrap: str) -> dict[str, Any]:
    return {"bootstrap.servers": bootstrap, "group.id": "dying", "enable.auto.commit": False}


def test_a_cluster_that_dies_before_the_first_commit_holds_up_nothing() -> None:
    with mock_kafka() as (bootstrap, process):
        send(bootstrap, "dying", 1)
        consumer = DiesBeforeItsOffsetsAreWritten(options(bootstrap), "dying", 0)
        consumer.cluster = process
        with pytest.raises(BrokerAway, match="Kafka cannot be reached"):
            consumer.begin()


def test_a_cluster_that_dies_before_a_commit_is_said() -> None:
    with mock_kafka() as (bootstrap, process):
        send(bootstrap, "dying", 1)
        consumer = KafkaConsumer(options(bootstrap), "dying", 0)
        consumer.begin()
        found: list[EventMessage] = []
        wait_until(lambda: bool(found.extend(consumer.receive(1.0)) or found), WITHIN_S, "the record")
        process.kill()
        consumer.settle(found, [True])

        def is_said() -> bool:
            try:
                consumer.receive(1.0)
            except SourceProblem as problem:
                return "Kafka cannot be reached" in str(problem)
            return False

        wait_until(is_said, WITHIN_S, "the problem")


def test_a_cluster_that_is_away_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as heard, mock_kafka() as (bootstrap, process):
        trigger_id = heard.trigger(source(bootstrap, "away"))
        send(bootstrap, "away", 1)
        heard.wait_for(trigger_id, 1)
        process.kill()
        heard.wait_for_state(trigger_id, "failing")
        assert f"trigger {trigger_id} hears nothing" in caplog.text
