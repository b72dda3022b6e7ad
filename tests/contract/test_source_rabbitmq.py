"""Triggers that hear a real RabbitMQ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pika
import pytest
import trustme

from tests.brokers import (
    BrokerProcess,
    BrokerTls,
    broker_tls,
    client_certificate,
    rabbitmq_asks,
    rabbitmq_command,
    running,
    wait_until,
)
from tests.contract.broker_deliveries import KnownSecrets
from tests.contract.heard import (
    WITHIN_S,
    Heard,
    event,
    fires_once_filters_and_sets_aside,
    hears_by_its_certificate,
    listening,
)
from tests.kit.ports import free_port

# One server for all of this module: it takes seconds to start.
pytestmark = [pytest.mark.xdist_group("rabbitmq sources"), pytest.mark.slow]
START_S = 120.0  # Erlang on a machine that has much else to do
SECRETS = {"GOOD": '{"username":"guest","password":"guest"}', "BAD": '{"username":"guest","password":"x"}'}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> BrokerTls:
    return broker_tls(tmp_path_factory.mktemp("tls"), authority)


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tls: BrokerTls, tls_port: int) -> Iterator[BrokerProcess]:
    folder, port = tmp_path_factory.mktemp("rabbitmq"), free_port()
    command = rabbitmq_command(folder, port)
    rabbitmq_asks(folder, tls, tls_port)
    with running(command, port, folder, within_s=START_S, group=True) as found:
        yield found


@pytest.fixture
def broker(server: BrokerProcess) -> BrokerProcess:
    channel = owned(server)
    channel.queue_declare("heard", durable=True)
    channel.queue_purge("heard")
    channel.connection.close()
    return server


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening(KnownSecrets(**SECRETS)) as found:
        yield found


def owned(broker: BrokerProcess) -> Any:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port)).channel()


def source(broker: BrokerProcess, queue: str = "heard", **more: Any) -> dict[str, Any]:
    known = {"type": "rabbitmq", "url": f"amqp://127.0.0.1:{broker.port}", "secret_ref": "env:GOOD"}
    return {**known, "queue": queue, **more}


def publish(broker: BrokerProcess, *messages: tuple[bytes, dict[str, str], str], queue: str = "heard") -> None:
    channel = owned(broker)
    channel.confirm_delivery()
    for body, headers, content_type in messages:
        named = {f"cloudEvents:{name}": value for name, value in headers.items()}
        properties = pika.BasicProperties(content_type=content_type or None, headers=named or None, delivery_mode=2)
        channel.basic_publish("", queue, body, properties, mandatory=True)
    channel.connection.close()


def send(broker: BrokerProcess, *numbers: int) -> None:
    publish(broker, *((json.dumps(event(n)).encode(), {}, "application/cloudevents+json") for n in numbers))


def left(broker: BrokerProcess) -> int:
    """Messages that no worker has in hand."""
    channel = owned(broker)
    count = int(channel.queue_declare("heard", passive=True).method.message_count)
    channel.connection.close()
    return count


def test_what_becomes_of_each_message(broker: BrokerProcess, heard: Heard) -> None:
    fires_once_filters_and_sets_aside(heard, source(broker), lambda *message: publish(broker, message))
    assert left(broker) == 0


def test_a_paused_trigger_leaves_its_messages_in_the_queue(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    send(broker, 1)
    heard.wait_for(trigger_id, 1)
    heard.switch(trigger_id, False)
    wait_until(lambda: consumers(broker) == 0, WITHIN_S, "the end of its consumer")
    send(broker, 2)
    assert left(broker) == 1
    heard.switch(trigger_id, True)
    heard.wait_for(trigger_id, 1, 2)


def test_two_workers_share_the_queue(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    with listening(KnownSecrets(**SECRETS), heard) as other:
        other.listeners.look()
        wait_until(lambda: consumers(broker) == 2, WITHIN_S, "two consumers")
        send(broker, *range(24))
        heard.wait_for(trigger_id, *range(24))
    assert left(broker) == 0


def consumers(broker: BrokerProcess) -> int:
    channel = owned(broker)
    count = int(channel.queue_declare("heard", passive=True).method.consumer_count)
    channel.connection.close()
    return count


def test_what_is_wrong_is_said(broker: BrokerProcess, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    refused = heard.trigger(source(broker, secret_ref="env:BAD"))
    late = heard.trigger(source(broker, "late"))
    heard.wait_for_state(refused, "failing", "RabbitMQ refused the credentials")
    heard.wait_for_state(late, "failing", "no queue 'late'")
    assert f"trigger {late} hears nothing" in caplog.text
    channel = owned(broker)
    channel.queue_declare("late", auto_delete=True)
    publish(broker, (json.dumps(event(5)).encode(), {}, ""), queue="late")
    heard.wait_for(late, 5)
    heard.wait_for_state(late, "listening")
    channel.connection.close()


def test_the_secret_brings_the_ca_and_the_certificate(
    broker: BrokerProcess, tls: BrokerTls, tls_port: int, authority: trustme.CA
) -> None:
    over_tls = source(broker) | {"url": f"amqps://127.0.0.1:{tls_port}"}
    signs_in = {"username": "guest", "password": "guest"}
    hears_by_its_certificate(over_tls, tls, authority, lambda number: send(broker, number), **signs_in)


def test_a_certificate_that_the_server_takes_no_name_from_is_said(
    broker: BrokerProcess, tls: BrokerTls, tls_port: int, authority: trustme.CA
) -> None:
    with listening(KnownSecrets(NAMELESS=tls.secret(**client_certificate(authority, "guest")))) as heard:
        named = {"url": f"amqps://127.0.0.1:{tls_port}", "secret_ref": "env:NAMELESS"}
        trigger_id = heard.trigger(source(broker) | named)
        heard.wait_for_state(trigger_id, "failing", "RabbitMQ refused the credentials")


def test_a_server_that_was_away_is_heard_again(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    send(broker, 1)
    heard.wait_for(trigger_id, 1)
    broker.kill()
    broker.start()
    wait_until(lambda: _answers(broker), START_S, "RabbitMQ")
    send(broker, 2)
    heard.wait_for(trigger_id, 1, 2)


def _answers(broker: BrokerProcess) -> bool:
    try:
        owned(broker).connection.close()
    except pika.exceptions.AMQPError:
        return False
    return True
