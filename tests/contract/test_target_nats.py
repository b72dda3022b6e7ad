"""Firings to a real NATS server, read back by a client of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme
from msgspec.structs import replace
from nats.js.api import StreamConfig

from chalicelib.adapters.targets.nats import NatsSender
from tests.brokers import BrokerProcess, BrokerTls, broker_tls, nats_program, running
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

CONFIG = """
port: {port}
host: 127.0.0.1
max_payload: 100000
tls {{ cert_file: "{tls.certificate}", key_file: "{tls.key}" }}
allow_non_tls: true
jetstream {{ store_dir: "{folder}" }}
authorization {{
  users: [
    {{user: owner, password: owner}}
    {{user: writer, password: right, permissions: {{publish: ["orders.>", "$JS.API.>"], subscribe: ["_INBOX.>"]}}}}
  ]
}}
"""

ASKING = """
port: {port}
host: 127.0.0.1
tls {{ cert_file: "{tls.certificate}", key_file: "{tls.key}", ca_file: "{tls.ca}", verify_and_map: true }}
authorization {{ users: [{{user: "client.example", permissions: {{publish: ["orders.>"]}}}}] }}
"""


@pytest.fixture
def tls(tmp_path: Path) -> BrokerTls:
    return broker_tls(tmp_path)


@pytest.fixture
def broker(tmp_path: Path, tls: BrokerTls) -> Iterator[BrokerProcess]:
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(CONFIG.format(port=port, folder=tmp_path / "store", tls=tls))
    with running([nats_program(), "-c", config], port, tmp_path) as found:
        owned(
            found,
            lambda owner: owner.jetstream().add_stream(
                StreamConfig(name="ORDERS", subjects=["orders.>"], max_msg_size=50_000)
            ),
        )
        yield found


@pytest.fixture
def sender() -> Iterator[NatsSender]:
    secrets = KnownSecrets(GOOD='{"username":"writer","password":"right"}', BAD='{"username":"writer","password":"x"}')
    made = NatsSender(parts(secrets))
    yield made
    made.close()


def owned(broker: BrokerProcess, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Something that the owner of the server does, by a connection of its own."""

    async def run() -> Any:
        owner = await nats.connect(f"nats://owner:owner@127.0.0.1:{broker.port}")
        try:
            return await work(owner)
        finally:
            await owner.close()

    return asyncio.run(run())


def stored(broker: BrokerProcess, seq: int) -> Any:
    return owned(broker, lambda owner: owner.jetstream().get_msg("ORDERS", seq))


def count(broker: BrokerProcess) -> int:
    info = owned(broker, lambda owner: owner.jetstream().stream_info("ORDERS"))
    return int(info.state.messages)


def target(broker: BrokerProcess, subject: str = "orders.new", **more: object) -> dict[str, Any]:
    server = f"nats://127.0.0.1:{broker.port}"
    return {"type": "nats", "servers": [server], "subject": subject, "secret_ref": "env:GOOD", **more}


def test_a_firing_is_a_message_of_the_stream(broker: BrokerProcess, sender: NatsSender) -> None:
    one = delivery(1, **target(broker))
    assert receipt(send(sender, one)) == {"stream": "ORDERS", "seq": 1, "duplicate": False}
    found = stored(broker, 1)
    assert found.subject == "orders.new"
    assert found.headers["Content-Type"] == "application/cloudevents+json"
    same(structured_event(found.data), one)


def test_binary_mode_has_its_attributes_in_headers(broker: BrokerProcess, sender: NatsSender) -> None:
    one = delivery(1, **target(broker, mode="binary"))
    receipt(send(sender, one))
    found = stored(broker, 1)
    attributes = dict(found.headers)
    same(binary_event(attributes, "ce-", attributes.pop("ce-datacontenttype"), found.data), one)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_example_reads_it(broker: BrokerProcess, sender: NatsSender, mode: str) -> None:
    one = delivery(1, **target(broker, mode=mode))
    receipt(send(sender, one))
    signed_in = ("--user", "owner", "--password", "owner")
    read_by_example(one, "nats", f"nats://127.0.0.1:{broker.port}", "orders.new", *signed_in)


def test_the_same_attempt_again_is_a_duplicate_and_a_new_generation_is_not(
    broker: BrokerProcess, sender: NatsSender
) -> None:
    one = delivery(1, **target(broker))
    receipt(send(sender, one))
    assert receipt(send(sender, replace(one, attempt=2))) == {"stream": "ORDERS", "seq": 1, "duplicate": True}
    again = receipt(send(sender, replace(one, attempt=3, generation=2)))
    assert again == {"stream": "ORDERS", "seq": 2, "duplicate": False}


def test_what_nats_refuses_is_rejected_at_once(broker: BrokerProcess, sender: NatsSender) -> None:
    assert "credentials" in rejected(send(sender, delivery(1, **target(broker, secret_ref="env:BAD"))))
    without = {name: value for name, value in target(broker).items() if name != "secret_ref"}
    assert "credentials" in rejected(send(sender, delivery(1, **without)))
    assert "orders.d" not in rejected(send(sender, delivery(1, **target(broker, "other"))))
    owner = NatsSender(parts(KnownSecrets(OWNER='{"username":"owner","password":"owner"}')))
    unrouted = delivery(1, **target(broker, "nowhere", secret_ref="env:OWNER"))
    assert "no stream of JetStream binds the subject nowhere" in rejected(send(owner, unrouted))
    owner.close()
    assert count(broker) == 0


def test_a_message_above_a_bound_is_rejected_by_its_name(broker: BrokerProcess, sender: NatsSender) -> None:
    assert "max_payload of 100000" in rejected(send(sender, delivery(1, payload="x" * 100_000, **target(broker))))
    assert "max_msg_size" in rejected(send(sender, delivery(1, payload="x" * 60_000, **target(broker))))
    receipt(send(sender, delivery(2, **target(broker))))


def test_core_nats_says_that_nobody_acknowledged(broker: BrokerProcess, sender: NatsSender) -> None:
    assert receipt(send(sender, delivery(1, **target(broker, jetstream=False)))) == {"acknowledged": False}


def test_killed_before_the_answer_is_unknown_and_comes_again_once_nats_is_back(
    broker: BrokerProcess, sender: NatsSender
) -> None:
    one = delivery(1, **target(broker))
    assert "broker may have it" in retried(killed_before_it_answers(broker, sender, one))
    retried(send(sender, one))  # away
    broker.start()
    assert receipt(send(sender, one))["seq"] == 1
    assert count(broker) == 1


def test_a_firing_through_the_death_of_nats_is_one_execution_with_all_its_attempts(
    broker: BrokerProcess, sender: NatsSender
) -> None:
    execution = fired(Killed(broker, sender), target(broker))
    # That it is a duplicate proves that an attempt before it had arrived.
    assert ledger_of_a_death(execution) == {"stream": "ORDERS", "seq": 1, "duplicate": True}
    assert structured_event(stored(broker, 1).data).get_id() == execution.id
    assert count(broker) == 1


def test_refused_credentials_are_one_attempt(broker: BrokerProcess, sender: NatsSender) -> None:
    assert "credentials" in ledger_of_a_refusal(fired(sender, target(broker, secret_ref="env:BAD")))


def test_the_servers_certificate_must_be_of_a_trusted_ca(broker: BrokerProcess, tls: BrokerTls) -> None:
    secrets = KnownSecrets(GOOD='{"username":"writer","password":"right"}')
    known, strange = NatsSender(parts(secrets), ca_file=str(tls.ca)), NatsSender(parts(secrets))
    # The server takes callers without TLS, too: who asks for TLS must not be talked out of it.
    one = delivery(1, **target(broker, servers=[f"tls://127.0.0.1:{broker.port}"]))
    receipt(send(known, one))
    distrusted(send(strange, one))
    secrets.stored["env:OWN"] = tls.secret(username="writer", password="right")
    receipt(send(strange, replace(one, target={**one.target, "secret_ref": "env:OWN"})))
    known.close()
    strange.close()


def test_a_server_that_asks_for_a_certificate_gets_the_targets_and_takes_its_name(tmp_path: Path) -> None:
    port, authority = free_port(), trustme.CA()
    tls, config = broker_tls(tmp_path, authority), tmp_path / "asking.conf"
    config.write_text(ASKING.format(port=port, tls=tls))
    with running([nats_program(), "-c", config], port, tmp_path):
        to = {"type": "nats", "servers": [f"tls://127.0.0.1:{port}"], "subject": "orders.new", "jetstream": False}
        assert shows_its_certificate(NatsSender, to, tls, authority) == {"acknowledged": False}


def test_a_frozen_server_ends_in_time(broker: BrokerProcess, sender: NatsSender) -> None:
    one = delivery(1, timeout_ms=1_000, **target(broker))
    receipt(send(sender, replace(one, timeout_ms=PATIENT_MS)))
    broker.freeze()
    outcomes = at_once(sender, [one] * 5)
    assert [retried(outcome) for outcome in outcomes] == [f"NATS: {outcome_text()}"] * 5
    broker.thaw()
    receipt(send(sender, replace(one, timeout_ms=PATIENT_MS)))


def outcome_text() -> str:
    return "the message was sent and not acknowledged, so the broker may have it"


def test_a_herd_goes_by_one_connection(broker: BrokerProcess, sender: NatsSender) -> None:
    herd = [delivery(number, timeout_ms=PATIENT_MS, **target(broker)) for number in range(200)]
    before = owned(broker, lambda owner: asyncio.sleep(0, owner.client_id))
    assert sorted(receipt(outcome)["seq"] for outcome in at_once(sender, herd)) == list(range(1, 201))
    after = owned(broker, lambda owner: asyncio.sleep(0, owner.client_id))
    assert after - before == 2  # the sender's, and this test's own


def test_another_server_is_asked_when_the_first_is_away(broker: BrokerProcess, sender: NatsSender) -> None:
    servers = [f"nats://127.0.0.1:{free_port()}", f"nats://127.0.0.1:{broker.port}"]
    receipt(send(sender, delivery(1, **target(broker, servers=servers))))


def test_an_address_that_the_guard_forbids_is_not_called(broker: BrokerProcess) -> None:
    guarded = NatsSender(parts(KnownSecrets(GOOD='{"username":"writer","password":"right"}'), allow=()))
    assert "loopback" in rejected(send(guarded, delivery(1, **target(broker))))
    assert count(broker) == 0
