"""Firings to a real RabbitMQ, read by a client of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pika
import pytest
import trustme
from msgspec.structs import replace

from chalicelib.adapters.targets.rabbitmq import RabbitMqSender
from tests.brokers import (
    BrokerProcess,
    BrokerTls,
    broker_tls,
    client_certificate,
    rabbitmq_asks,
    rabbitmq_command,
    running,
)
from tests.contract.broker_deliveries import (
    PATIENT_MS,
    Killed,
    KnownSecrets,
    at_once,
    binary_event,
    delivery,
    distrusted,
    fired,
    ledger_of_a_death,
    ledger_of_a_refusal,
    parts,
    read_by_example,
    receipt,
    rejected,
    same,
    send,
    shows_its_certificate,
    structured_event,
)
from tests.kit.ports import free_port

# One server for all of this module: it takes seconds to start.
pytestmark = pytest.mark.xdist_group("rabbitmq")
START_S = 120.0  # Erlang on a machine that has much else to do


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> BrokerTls:
    return broker_tls(tmp_path_factory.mktemp("tls"), authority)


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tls: BrokerTls, tls_port: int) -> Iterator[BrokerProcess]:
    folder, port = tmp_path_factory.mktemp("rabbitmq"), free_port()
    command = rabbitmq_command(folder, port, max_message_size=60_000)
    rabbitmq_asks(folder, tls, tls_port, by_name=True)
    with running(command, port, folder, within_s=START_S, group=True) as found:
        yield found


@pytest.fixture
def broker(server: BrokerProcess) -> BrokerProcess:
    owner = owned(server)
    owner.exchange_declare("orders", "direct", durable=True)
    owner.queue_delete("new")
    owner.queue_declare("new", durable=True)
    owner.queue_bind("new", "orders", "new")
    owner.connection.close()
    return server


@pytest.fixture
def sender() -> Iterator[RabbitMqSender]:
    secrets = KnownSecrets(GOOD='{"username":"guest","password":"guest"}', BAD='{"username":"guest","password":"x"}')
    made = RabbitMqSender(parts(secrets))
    yield made
    made.close()


def owned(broker: BrokerProcess) -> Any:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port)).channel()


def read(broker: BrokerProcess, queue: str = "new") -> list[tuple[Any, bytes]]:
    channel, found = owned(broker), []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append((got[1], got[2]))
    channel.connection.close()
    return found


def target(broker: BrokerProcess, routing_key: str = "new", **more: object) -> dict[str, Any]:
    known = {
        "type": "rabbitmq",
        "url": f"amqp://127.0.0.1:{broker.port}",
        "exchange": "orders",
        "secret_ref": "env:GOOD",
    }
    return {**known, "routing_key": routing_key, **more}


def test_a_firing_is_a_persistent_message(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    one = delivery(1, **target(broker))
    assert receipt(send(sender, one)) == {"confirmed": True}
    ((properties, body),) = read(broker)
    assert (properties.content_type, properties.delivery_mode) == ("application/cloudevents+json", 2)
    assert properties.message_id == one.execution_id
    same(structured_event(body), one)


def test_binary_mode_has_its_attributes_in_headers(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    one = delivery(1, **target(broker, mode="binary"))
    receipt(send(sender, one))
    ((properties, body),) = read(broker)
    assert all(name.startswith("ce-") for name in properties.headers)
    same(binary_event(properties.headers, "ce-", properties.content_type, body), one)


def test_the_example_reads_it(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    one = delivery(1, **target(broker, mode="binary"))
    receipt(send(sender, one))
    read_by_example(one, "rabbitmq", f"amqp://127.0.0.1:{broker.port}", "new", "--user", "guest", "--password", "guest")


def test_the_default_exchange_leads_to_the_queue_of_that_name(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    receipt(send(sender, delivery(1, **target(broker, exchange=""))))
    assert len(read(broker)) == 1


def test_what_rabbitmq_refuses_is_rejected_at_once(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    assert "NO_ROUTE" in rejected(send(sender, delivery(1, **target(broker, "nowhere"))))
    assert "no exchange 'gone'" in rejected(send(sender, delivery(1, **target(broker, exchange="gone"))))
    assert "refused the credentials" in rejected(send(sender, delivery(1, **target(broker, secret_ref="env:BAD"))))
    elsewhere = target(broker) | {"url": f"amqp://127.0.0.1:{broker.port}/elsewhere"}
    assert "elsewhere" in rejected(send(sender, delivery(1, **elsewhere)))
    large = delivery(1, payload="x" * 60_000, **target(broker))
    assert "max_message_size of 60000 bytes" in rejected(send(sender, large))
    receipt(send(sender, delivery(2, **target(broker))))
    assert len(read(broker)) == 1


def test_a_herd_is_confirmed_one_by_one(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    keys = ("new", "nowhere")
    herd = [delivery(number, timeout_ms=PATIENT_MS, **target(broker, keys[number % 2])) for number in range(200)]
    for number, outcome in enumerate(at_once(sender, herd)):
        if number % 2:
            assert "NO_ROUTE" in rejected(outcome)
        else:
            receipt(outcome)
    assert len({properties.message_id for properties, _ in read(broker)}) == 100


def test_an_address_that_the_guard_forbids_is_not_called(broker: BrokerProcess) -> None:
    guarded = RabbitMqSender(parts(KnownSecrets(GOOD='{"username":"guest","password":"guest"}'), allow=()))
    assert "loopback" in rejected(send(guarded, delivery(1, **target(broker))))
    assert read(broker) == []


def test_a_firing_through_the_death_of_rabbitmq_is_one_execution_with_all_its_attempts(
    broker: BrokerProcess, sender: RabbitMqSender
) -> None:
    execution = fired(Killed(broker, sender), target(broker))
    assert ledger_of_a_death(execution) == {"confirmed": True}
    assert {structured_event(body).get_id() for _, body in read(broker)} == {execution.id}


def test_refused_credentials_and_a_message_that_no_queue_takes_are_one_attempt(
    broker: BrokerProcess, sender: RabbitMqSender
) -> None:
    assert "credentials" in ledger_of_a_refusal(fired(sender, target(broker, secret_ref="env:BAD")))
    assert "NO_ROUTE" in ledger_of_a_refusal(fired(sender, target(broker, "nowhere")))


def test_the_servers_certificate_must_be_of_a_trusted_ca(
    broker: BrokerProcess, tls: BrokerTls, tls_port: int, authority: trustme.CA
) -> None:
    signs_in = {"username": "guest", "password": "guest", **client_certificate(authority)}  # which it asks for
    secrets = KnownSecrets(GOOD=json.dumps(signs_in))
    known, strange = RabbitMqSender(parts(secrets), ca_file=str(tls.ca)), RabbitMqSender(parts(secrets))
    one = delivery(1, **(target(broker) | {"url": f"amqps://127.0.0.1:{tls_port}"}))
    receipt(send(known, one))
    distrusted(send(strange, one))
    secrets.stored["env:OWN"] = tls.secret(**signs_in)
    receipt(send(strange, replace(one, target={**one.target, "secret_ref": "env:OWN"})))
    known.close()
    strange.close()


def test_a_server_that_asks_for_a_certificate_gets_the_targets(
    broker: BrokerProcess, tls: BrokerTls, tls_port: int, authority: trustme.CA
) -> None:
    to = {key: value for key, value in target(broker).items() if key != "secret_ref"}
    to["url"] = f"amqps://127.0.0.1:{tls_port}"
    shows_its_certificate(RabbitMqSender, to, tls, authority, username="guest", password="guest")
    assert len(read(broker)) == 2
    # Without a name it is who the certificate says: EXTERNAL.
    shows_its_certificate(RabbitMqSender, to, tls, authority, "guest")
    assert len(read(broker)) == 2
    sender = RabbitMqSender(parts(KnownSecrets(OTHER=tls.secret(**client_certificate(authority, "nobody")))))
    unknown = delivery(1, **{**to, "secret_ref": "env:OTHER"})
    assert "RabbitMQ refused the credentials" in rejected(send(sender, unknown))
    sender.close()
