"""Firings to a real broker of MQTT 5 (Mosquitto), read by a client of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec.structs import replace
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from chalicelib.adapters.targets.mqtt import MqttSender
from tests.brokers import BrokerProcess, BrokerTls, broker_tls, running, wait_until
from tests.contract.broker_deliveries import (
    PATIENT_MS,
    Killed,
    KnownSecrets,
    at_once,
    binary_event,
    delivery,
    distrusted,
    fired,
    killed_before_it_answers,
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
from tests.kit.ports import free_port
from tests.programs import program

READ_S = 20.0  # the machine may be slow
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
max_packet_size 40000
listener {tls_port} 127.0.0.1
certfile {tls.certificate}
keyfile {tls.key}
listener {asking_port} 127.0.0.1
certfile {tls.certificate}
keyfile {tls.key}
cafile {tls.ca}
require_certificate true
use_identity_as_username true
"""


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> BrokerTls:
    return broker_tls(tmp_path, authority)


@pytest.fixture
def tls_port() -> int:
    return free_port()


@pytest.fixture
def asking_port() -> int:
    """Of TLS that asks who calls."""
    return free_port()


@pytest.fixture
def broker(tmp_path: Path, tls: BrokerTls, tls_port: int, asking_port: int) -> Iterator[BrokerProcess]:
    server = program("mosquitto", package="mosquitto")
    port = free_port()
    # Mosquitto's own form: PBKDF2 of "right" is made by its own program.
    import subprocess

    passwords = tmp_path / "passwords"
    subprocess.run(
        [program("mosquitto_passwd", package="mosquitto"), "-c", "-b", passwords, "writer", "right"], check=True
    )
    passwords.chmod(0o644)
    acl = tmp_path / "acl"
    acl.write_text("user writer\ntopic readwrite orders/#\n")
    tmp_path.chmod(0o755)
    config = tmp_path / "mosquitto.conf"
    ports = {"port": port, "tls_port": tls_port, "asking_port": asking_port}
    config.write_text(CONFIG.format(**ports, folder=tmp_path, tls=tls) + "user root\n")
    with running([server, "-c", config], port, tmp_path) as found:
        yield found


@pytest.fixture
def sender() -> Iterator[MqttSender]:
    secrets = KnownSecrets(GOOD='{"username":"writer","password":"right"}', BAD='{"username":"writer","password":"x"}')
    made = MqttSender(parts(secrets))
    yield made
    made.close()


class Reader:
    """A subscriber that keeps what it is sent."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.found: list[Any] = []
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set("writer", "right")
        self._client.on_message = lambda _, __, message: self.found.append(message)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_connect = lambda client, *_: client.subscribe("orders/#", 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert subscribed.wait(READ_S)

    def first(self) -> Any:
        wait_until(lambda: bool(self.found), READ_S, "a message")
        return self.found[0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def reader(broker: BrokerProcess) -> Iterator[Reader]:
    made = Reader(broker)
    yield made
    made.close()


def target(broker: BrokerProcess, topic: str = "orders/new", **more: object) -> dict[str, Any]:
    return {
        "type": "mqtt",
        "broker": f"mqtt://127.0.0.1:{broker.port}",
        "topic": topic,
        "secret_ref": "env:GOOD",
        **more,
    }


def test_a_firing_is_a_message_with_its_acknowledgement(
    broker: BrokerProcess, reader: Reader, sender: MqttSender
) -> None:
    one = delivery(1, **target(broker, retain=True))
    assert receipt(send(sender, one)) == {"packet_id": 1}
    found = reader.first()
    assert (found.topic, found.qos, found.properties.ContentType) == ("orders/new", 1, "application/cloudevents+json")
    same(structured_event(found.payload), one)
    signed_in = ("--user", "writer", "--password", "right")
    read_by_example(one, "mqtt", f"127.0.0.1:{broker.port}", "orders/#", *signed_in)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_binary_mode_has_its_attributes_in_user_properties(
    broker: BrokerProcess, reader: Reader, sender: MqttSender, qos: int
) -> None:
    one = delivery(1, **target(broker, mode="binary", qos=qos))
    assert receipt(send(sender, one)) == {"packet_id": 1} | ({"acknowledged": False} if qos == 0 else {})
    found = reader.first()
    attributes = dict(found.properties.UserProperty)
    same(binary_event(attributes, "", found.properties.ContentType, found.payload), one)


def test_a_message_that_no_subscriber_gets_says_so_in_its_receipt(broker: BrokerProcess, sender: MqttSender) -> None:
    assert receipt(send(sender, delivery(1, **target(broker)))) == {"packet_id": 1, "subscribers": False}


def test_what_the_broker_refuses_is_rejected_at_once(broker: BrokerProcess, sender: MqttSender) -> None:
    assert "Not authorized" in rejected(send(sender, delivery(1, **target(broker, secret_ref="env:BAD"))))
    assert "not authorized" in rejected(send(sender, delivery(1, **target(broker, "other"))))
    assert "Maximum Packet Size of 40000" in rejected(send(sender, delivery(1, payload="x" * 50_000, **target(broker))))
    receipt(send(sender, delivery(2, **target(broker))))


def test_killed_before_the_answer_is_unknown_and_comes_again_once_the_broker_is_back(
    broker: BrokerProcess, sender: MqttSender
) -> None:
    one = delivery(1, **target(broker))
    assert "broker may have it" in retried(killed_before_it_answers(broker, sender, one))
    retried(send(sender, one))  # away
    broker.start()
    reader = Reader(broker)
    receipt(send(sender, one))
    assert json.loads(reader.first().payload)["id"] == one.execution_id
    reader.close()


def test_a_firing_through_the_brokers_death_is_one_execution_with_all_its_attempts(
    broker: BrokerProcess, sender: MqttSender
) -> None:
    readers: list[Reader] = []

    def back() -> None:
        broker.start()
        readers.append(Reader(broker))

    execution = fired(Killed(broker, sender, back), target(broker))
    assert ledger_of_a_death(execution) == {"packet_id": 1}
    assert structured_event(readers[0].first().payload).get_id() == execution.id
    readers[0].close()


def test_refused_credentials_are_one_attempt(broker: BrokerProcess, sender: MqttSender) -> None:
    assert "Not authorized" in ledger_of_a_refusal(fired(sender, target(broker, secret_ref="env:BAD")))


def test_the_brokers_certificate_must_be_of_a_trusted_ca(broker: BrokerProcess, tls: BrokerTls, tls_port: int) -> None:
    secrets = KnownSecrets(GOOD='{"username":"writer","password":"right"}')
    known, strange = MqttSender(parts(secrets), ca_file=str(tls.ca)), MqttSender(parts(secrets))
    one = delivery(1, **(target(broker) | {"broker": f"mqtts://127.0.0.1:{tls_port}"}))
    receipt(send(known, one))
    distrusted(send(strange, one))
    secrets.stored["env:OWN"] = tls.secret(username="writer", password="right")
    receipt(send(strange, replace(one, target={**one.target, "secret_ref": "env:OWN"})))
    known.close()
    strange.close()


def test_a_broker_that_asks_for_a_certificate_gets_the_targets_and_takes_its_name(
    broker: BrokerProcess, reader: Reader, tls: BrokerTls, asking_port: int, authority: trustme.CA
) -> None:
    to = {"type": "mqtt", "broker": f"mqtts://127.0.0.1:{asking_port}", "topic": "orders/new"}
    shows_its_certificate(MqttSender, to, tls, authority, "writer")  # whom alone the ACL lets write
    wait_until(lambda: len(reader.found) == 2, READ_S, "the messages")


def test_a_frozen_broker_ends_in_time(broker: BrokerProcess, sender: MqttSender) -> None:
    one = delivery(1, timeout_ms=1_000, **target(broker))
    receipt(send(sender, replace(one, timeout_ms=PATIENT_MS)))
    broker.freeze()
    for outcome in at_once(sender, [one] * 4):
        assert "broker may have it" in retried(outcome)
    broker.thaw()
    receipt(send(sender, replace(one, timeout_ms=PATIENT_MS)))


def test_a_herd_is_acknowledged_one_by_one(broker: BrokerProcess, reader: Reader, sender: MqttSender) -> None:
    herd = at_once(sender, [delivery(number, timeout_ms=PATIENT_MS, **target(broker)) for number in range(200)])
    assert len({receipt(outcome)["packet_id"] for outcome in herd}) == 200
    wait_until(lambda: len({json.loads(message.payload)["id"] for message in reader.found}) == 200, READ_S, "the herd")


def test_an_address_that_the_guard_forbids_is_not_called(broker: BrokerProcess) -> None:
    guarded = MqttSender(parts(KnownSecrets(GOOD='{"username":"writer","password":"right"}'), allow=()))
    assert "loopback" in rejected(send(guarded, delivery(1, **target(broker))))
