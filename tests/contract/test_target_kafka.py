"""Firings to Kafka: Tansu and the mock cluster of librdkafka, or a real cluster that KAFKA_BOOTSTRAP names.

The mock is a cluster of three brokers that are kin to the client. Tansu is a broker of another make.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec.structs import replace

from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused, BrokerSilent, SignInRefused
from chalicelib.adapters.targets.kafka import KafkaSender, meaning
from chalicelib.core.targets.kinds.kafka import KafkaMechanism
from tests.brokers import BrokerProcess, broker_tls, mock_kafka, running, tansu_command
from tests.contract.broker_deliveries import (
    PATIENT_MS,
    Killed,
    KnownSecrets,
    at_once,
    delivery,
    distrusted,
    fired,
    ledger_of_a_death,
    ledger_of_a_refusal,
    parts,
    read_by_example,
    receipt,
    rejected,
    retried,
    same,
    send,
    shows_its_certificate,
    structured_event,
)
from tests.kafka_front import KafkaFront
from tests.kit.ports import free_port

PARTITIONS = 4  # as both make them
SECRETS = KnownSecrets(GOOD='{"username":"writer","password":"right"}', BAD='{"username":"writer","password":"wrong"}')
GIVEN = os.environ.get("KAFKA_BOOTSTRAP")


@pytest.fixture(scope="module", params=["KAFKA_BOOTSTRAP"] if GIVEN else ["tansu", "mock"])
def bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if GIVEN:
        yield GIVEN
    elif request.param == "mock":
        with mock_kafka() as (found, _):
            yield found
    else:
        port = free_port()
        with running(tansu_command(port), port, tmp_path_factory.mktemp("tansu")):
            yield f"127.0.0.1:{port}"


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = new_topic()
    if GIVEN:  # the others make a topic that is asked for
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(10)
    return name


def new_topic() -> str:
    return f"orders-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def tansu(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker to kill."""
    port = free_port()
    with running(tansu_command(port), port, tmp_path) as found:
        yield found


@pytest.fixture
def sender() -> Iterator[KafkaSender]:
    made = KafkaSender(parts(SECRETS))
    yield made
    made.close()


def target(bootstrap: str, topic: str, **more: object) -> dict[str, Any]:
    return {"type": "kafka", "brokers": bootstrap.split(","), "topic": topic, **more}


def read(bootstrap: str, topic: str, count: int, **options: str) -> list[Any]:
    known = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
    reader = Consumer({**known, **options})
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    found = reader.consume(count, timeout=30)
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
    same(structured_event(record.value()), one)


def test_binary_mode_is_what_the_sdk_reads(bootstrap: str, topic: str, sender: KafkaSender) -> None:
    one = delivery(1, **target(bootstrap, topic, mode="binary", key="k", acks="leader"))
    receipt(send(sender, one))
    (record,) = read(bootstrap, topic, 1)
    assert record.key() == b"k"
    message = KafkaMessage(headers=dict(record.headers()), key=None, value=record.value())
    same(from_kafka(message, JSONFormat()), one)
    read_by_example(one, "kafka", bootstrap, topic)


@pytest.mark.skipif(not GIVEN, reason="KAFKA_BOOTSTRAP is not set: Tansu and the mock make any topic")
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


def test_a_firing_through_the_death_of_kafka_is_one_execution_with_all_its_attempts(
    tansu: BrokerProcess, sender: KafkaSender
) -> None:
    bootstrap, topic = f"127.0.0.1:{tansu.port}", new_topic()
    execution = fired(Killed(tansu, sender), target(bootstrap, topic), timeout_ms=1_500)
    said = ledger_of_a_death(execution)
    (record,) = read(bootstrap, topic, 1)
    assert said == {"partition": record.partition(), "offset": record.offset()}
    assert structured_event(record.value()).get_id() == execution.id


def test_refused_credentials_are_one_attempt_and_the_right_ones_pass(sender: KafkaSender, tmp_path: Path) -> None:
    """By every mechanism. SCRAM proves to the client too that the cluster knows the password."""
    port, front_port = free_port(), free_port()
    with running(tansu_command(port, front_port), port, tmp_path):
        front = KafkaFront(front_port, port, {"writer": "right"})
        for mechanism in get_args(KafkaMechanism):
            security = {"protocol": "SASL_PLAINTEXT", "mechanism": mechanism, "secret_ref": "env:GOOD"}
            to = target(f"127.0.0.1:{front_port}", "orders", security=security)
            receipt(send(sender, delivery(1, **to)))
            assert front.asked[mechanism]
            wrong = {**to, "security": {**security, "secret_ref": "env:BAD"}}
            assert "credentials" in ledger_of_a_refusal(fired(sender, wrong))
        user = {"sasl.mechanism": "PLAIN", "sasl.username": "writer", "sasl.password": "right"}
        read(f"127.0.0.1:{front_port}", "orders", 1, **{"security.protocol": "SASL_PLAINTEXT"}, **user)
        front.close()


def test_the_brokers_certificate_must_be_of_a_trusted_ca(tmp_path: Path) -> None:
    port, front_port, tls = free_port(), free_port(), broker_tls(tmp_path)
    with running(tansu_command(port, front_port), port, tmp_path):
        front = KafkaFront(front_port, port, {}, tls.context())
        secrets = KnownSecrets(OWN=tls.secret())
        known, strange = KafkaSender(parts(), ca_file=str(tls.ca)), KafkaSender(parts(secrets))
        to = target(f"127.0.0.1:{front_port}", "orders", security={"protocol": "SSL"})
        one = delivery(1, timeout_ms=PATIENT_MS, **to)  # which has to connect, and to wait for a new topic
        receipt(send(known, one))
        distrusted(send(strange, one))
        own = {"protocol": "SSL", "secret_ref": "env:OWN"}
        receipt(send(strange, replace(one, target={**one.target, "security": own})))
        known.close()
        strange.close()
        front.close()


def test_a_broker_that_asks_for_a_certificate_gets_the_targets(tmp_path: Path) -> None:
    port, front_port, authority = free_port(), free_port(), trustme.CA()
    tls = broker_tls(tmp_path, authority)
    with running(tansu_command(port, front_port), port, tmp_path):
        front = KafkaFront(front_port, port, {}, tls.asking())
        to = target(f"127.0.0.1:{front_port}", "orders", security={"protocol": "SSL"})
        shows_its_certificate(KafkaSender, to, tls, authority, at="security.secret_ref")
        front.close()


def test_a_herd_of_one_schedule_stays_in_order(bootstrap: str, topic: str, sender: KafkaSender) -> None:
    for number in range(50):
        receipt(send(sender, delivery(number, **target(bootstrap, topic))))
    records = read(bootstrap, topic, 50)
    assert len({record.partition() for record in records}) == 1
    assert [json.loads(record.value())["data"]["n"] for record in records] == list(range(50))
    keyed = [target(bootstrap, topic, key=f"k{number}") for number in range(200)]
    herd = at_once(sender, [delivery(number, timeout_ms=PATIENT_MS, **to) for number, to in enumerate(keyed)])
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
