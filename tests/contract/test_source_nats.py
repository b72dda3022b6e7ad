"""Triggers that hear a real NATS server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme
from nats.js.api import StreamConfig

from tests.brokers import BrokerProcess, BrokerTls, broker_tls, nats_program, running, wait_until
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

CONFIG = """
port: {port}
host: 127.0.0.1
jetstream {{ store_dir: "{folder}" }}
tls {{ cert_file: "{tls.certificate}", key_file: "{tls.key}", ca_file: "{tls.ca}", verify: true }}
allow_non_tls: true
authorization {{ users: [{{user: owner, password: owner}}, {{user: reader, password: right}}] }}
"""
SECRETS = {"GOOD": '{"username":"reader","password":"right"}', "BAD": '{"username":"reader","password":"x"}'}


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> BrokerTls:
    return broker_tls(tmp_path, authority)


@pytest.fixture
def broker(tmp_path: Path, tls: BrokerTls) -> Iterator[BrokerProcess]:
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(CONFIG.format(port=port, folder=tmp_path / "store", tls=tls))
    with running([nats_program(), "-c", config], port, tmp_path) as found:
        stream = StreamConfig(name="ORDERS", subjects=["orders.>"])
        owned(found, lambda owner: owner.jetstream().add_stream(stream))
        yield found


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening(KnownSecrets(**SECRETS)) as found:
        yield found


def owned(broker: BrokerProcess, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Something that the owner of the server does, by a connection of its own."""

    async def run() -> Any:
        client = await nats.connect(f"nats://127.0.0.1:{broker.port}", user="owner", password="owner")
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def source(broker: BrokerProcess, subject: str = "orders.new", **more: Any) -> dict[str, Any]:
    known = {"type": "nats", "servers": [f"nats://127.0.0.1:{broker.port}"], "secret_ref": "env:GOOD"}
    return {**known, "subject": subject, **more}


def publish(broker: BrokerProcess, body: bytes, headers: dict[str, str], content_type: str) -> None:
    named = {f"ce-{name}": value for name, value in headers.items()}
    if content_type:
        named["ce-datacontenttype" if headers else "Content-Type"] = content_type
    owned(broker, lambda owner: owner.jetstream().publish("orders.new", body, headers=named or None))


def send(broker: BrokerProcess, *numbers: int) -> None:
    for number in numbers:
        publish(broker, json.dumps(event(number)).encode(), {}, "application/cloudevents+json")


def consumers(broker: BrokerProcess) -> list[str]:
    found = owned(broker, lambda owner: owner.jetstream().consumers_info("ORDERS"))
    return [one.name for one in found]


def test_what_becomes_of_each_message(broker: BrokerProcess, heard: Heard) -> None:
    fires_once_filters_and_sets_aside(heard, source(broker), lambda *message: publish(broker, *message))
    wait_until(lambda: not consumers(broker), WITHIN_S, "the end of its consumer")


def test_what_came_before_the_trigger_is_not_its_own(broker: BrokerProcess, heard: Heard) -> None:
    send(broker, 1)
    heard.let_pass()
    trigger_id = heard.trigger(source(broker))
    send(broker, 2)
    heard.wait_for(trigger_id, 2)


def test_a_paused_trigger_leaves_its_messages(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    send(broker, 1)
    heard.wait_for(trigger_id, 1)
    heard.switch(trigger_id, False)
    send(broker, 2)
    heard.listeners.look()
    heard.switch(trigger_id, True)
    heard.wait_for(trigger_id, 1, 2)


def test_two_workers_share_and_do_not_double(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    with listening(KnownSecrets(**SECRETS), heard) as other:
        other.listeners.look()
        send(broker, *range(20))
        heard.wait_for(trigger_id, *range(20))


def test_a_server_that_was_away_is_heard_again(broker: BrokerProcess, heard: Heard) -> None:
    trigger_id = heard.trigger(source(broker))
    send(broker, 1)
    heard.wait_for(trigger_id, 1)
    broker.kill()
    broker.start()
    send(broker, 2)
    heard.wait_for(trigger_id, 1, 2)


def test_what_is_wrong_is_said_and_mended_without_a_restart(
    broker: BrokerProcess, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    refused = heard.trigger(source(broker, secret_ref="env:BAD"))
    lost = heard.trigger(source(broker, "nowhere"))
    heard.wait_for_state(refused, "failing", "refused the credentials")
    heard.wait_for_state(lost, "failing", "no stream of JetStream binds the subject nowhere")
    assert f"trigger {lost} hears nothing: no stream" in caplog.text
    owned(broker, lambda owner: owner.jetstream().add_stream(StreamConfig(name="LATE", subjects=["nowhere"])))
    body = json.dumps(event(7)).encode()
    owned(broker, lambda owner: owner.jetstream().publish("nowhere", body))
    heard.wait_for(lost, 7)
    assert heard.listening(lost)[0] == "listening"
    assert heard.listening(refused)[0] == "failing"
    assert not heard.fired(refused)


def test_the_secret_brings_the_ca_and_the_certificate(
    broker: BrokerProcess, tls: BrokerTls, authority: trustme.CA
) -> None:
    over_tls = source(broker) | {"servers": [f"tls://127.0.0.1:{broker.port}"]}
    signs_in = {"username": "reader", "password": "right"}
    hears_by_its_certificate(over_tls, tls, authority, lambda number: send(broker, number), **signs_in)


def test_an_address_that_the_guard_forbids_is_not_called(broker: BrokerProcess) -> None:
    with listening(KnownSecrets(**SECRETS), allow=()) as heard:
        trigger_id = heard.trigger(source(broker) | {"servers": [f"nats://localhost:{broker.port}"]})
        heard.wait_for_state(trigger_id, "failing", "loopback")
    assert consumers(broker) == []
