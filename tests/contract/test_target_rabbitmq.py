"""Firings to a real RabbitMQ, read by a client of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from chalicelib.adapters.targets.rabbitmq import RabbitMqSender
from tests.brokers import BrokerProcess, free_port, running
from tests.contract.broker_deliveries import (
    KnownSecrets,
    at_once,
    delivery,
    killed_before_it_answers,
    parts,
    receipt,
    rejected,
    retried,
    send,
)
from tests.programs import program

# One server for all of this module: it takes seconds to start.
pytestmark = pytest.mark.xdist_group("rabbitmq")
START_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    program("rabbitmq-server", package="rabbitmq-server")
    if not script.exists():
        pytest.skip(f"rabbitmq-server is installed in another way than Debian's: there is no {script}")
    folder, port, other = tmp_path_factory.mktemp("rabbitmq"), free_port(), free_port()
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text("max_message_size = 60000\nloopback_users = none\n")
    known = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"chrono{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(other),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    env = ["env", *(f"{name}={value}" for name, value in known.items())]
    with running([*env, script], port, folder, within_s=START_S, group=True) as found:
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
    assert json.loads(body) == json.loads(one.event)


def test_binary_mode_has_its_attributes_in_headers(broker: BrokerProcess, sender: RabbitMqSender) -> None:
    one = delivery(1, **target(broker, mode="binary"))
    receipt(send(sender, one))
    ((properties, body),) = read(broker)
    whole = json.loads(one.event)
    assert json.loads(body) == whole.pop("data")
    assert properties.content_type == whole.pop("datacontenttype")
    assert properties.headers == {f"ce-{name}": str(value) for name, value in whole.items()}


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
    herd = [delivery(number, **target(broker, "nowhere" if number % 2 else "new")) for number in range(200)]
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


def test_killed_before_the_answer_is_unknown_and_comes_again_once_rabbitmq_is_back(
    broker: BrokerProcess, sender: RabbitMqSender
) -> None:
    one = delivery(1, **target(broker))
    assert "broker may have it" in retried(killed_before_it_answers(broker, sender, one))
    retried(send(sender, one))  # away
    broker.start()
    receipt(send(sender, one))
    assert {properties.message_id for properties, _ in read(broker)} == {one.execution_id}
