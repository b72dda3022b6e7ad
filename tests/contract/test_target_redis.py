"""Firings to streams of a real Redis, read back by a client of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client
import trustme
from msgspec.structs import replace

from chalicelib.adapters.targets.redis import RedisSender
from chalicelib.ports.target import Outcome
from tests.brokers import BrokerProcess, BrokerTls, broker_tls, running
from tests.contract.broker_deliveries import (
    PATIENT_MS,
    Killed,
    KnownSecrets,
    at_once,
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
    took_s,
)
from tests.kit.ports import free_port
from tests.programs import program


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> BrokerTls:
    return broker_tls(tmp_path, authority)


@pytest.fixture
def tls_port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path: Path, tls: BrokerTls, tls_port: int) -> Iterator[BrokerProcess]:
    port = free_port()
    users = tmp_path / "users.acl"
    users.write_text(
        "user default on nopass ~* &* +@all\nuser writer on >right ~orders* +xadd +ping +hello +client +select\n"
    )
    command = [program("redis-server", package="redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--aclfile", users, "--tls-port", str(tls_port), "--tls-auth-clients", "no"]
    command += ["--tls-cert-file", tls.certificate, "--tls-key-file", tls.key, "--tls-ca-cert-file", tls.ca]
    with running(command, port, tmp_path) as found:
        yield found


@pytest.fixture
def sender() -> Iterator[RedisSender]:
    made = RedisSender(
        parts(KnownSecrets(GOOD='{"username":"writer","password":"right"}', BAD='{"username":"writer","password":"x"}'))
    )
    yield made
    made.close()


def url(broker: BrokerProcess, database: str = "/0") -> str:
    return f"redis://127.0.0.1:{broker.port}{database}"


def entries(broker: BrokerProcess, stream: str, database: int = 0) -> list[tuple[str, dict[str, str]]]:
    with redis_client.Redis(port=broker.port, db=database, decode_responses=True) as reader:
        found: list[tuple[str, dict[str, str]]] = reader.xrange(stream)
        return found


def test_a_firing_is_an_entry_whose_id_is_the_receipt(broker: BrokerProcess, sender: RedisSender) -> None:
    one = delivery(1, type="redis", url=url(broker, "/3"), stream="orders", secret_ref="env:GOOD")
    said = receipt(send(sender, one))
    ((entry, fields),) = entries(broker, "orders", 3)
    assert said == {"id": entry}
    assert fields.keys() == {"event"}
    same(structured_event(fields["event"].encode()), one)
    read_by_example(one, "redis", url(broker, "/3"), "orders")


def test_a_stream_is_cut_to_about_its_length(broker: BrokerProcess, sender: RedisSender) -> None:
    for number in range(300):
        receipt(send(sender, delivery(number, type="redis", url=url(broker), stream="short", maxlen=100)))
    assert 100 <= len(entries(broker, "short")) < 300


def test_what_redis_refuses_is_rejected_at_once(broker: BrokerProcess, sender: RedisSender) -> None:
    with redis_client.Redis(port=broker.port) as owner:
        owner.set("text", "x")
    wrong = delivery(1, type="redis", url=url(broker), stream="orders", secret_ref="env:BAD")
    assert "refused the credentials" in rejected(send(sender, wrong))
    assert "WRONGTYPE" in rejected(send(sender, delivery(1, type="redis", url=url(broker), stream="text")))
    other = delivery(1, type="redis", url=url(broker), stream="secret", secret_ref="env:GOOD")
    assert "refused" in rejected(send(sender, other))
    assert "DB index" in rejected(send(sender, delivery(1, type="redis", url=url(broker, "/99"), stream="s")))


def test_a_rotated_secret_is_read_anew_in_the_same_attempt(broker: BrokerProcess) -> None:
    secrets = KnownSecrets(TURN='{"username":"writer","password":"x"}')
    sender = RedisSender(parts(secrets))
    one = delivery(1, type="redis", url=url(broker), stream="orders", secret_ref="env:TURN")
    rejected(send(sender, one))
    secrets.stored["env:TURN"] = '{"username":"writer","password":"right"}'
    receipt(send(sender, one))
    assert len(entries(broker, "orders")) == 1
    sender.close()


def test_killed_before_the_answer_is_unknown_and_comes_again_once_redis_is_back(
    broker: BrokerProcess, sender: RedisSender
) -> None:
    one = delivery(1, type="redis", url=url(broker), stream="orders")
    assert "broker may have it" in retried(killed_before_it_answers(broker, sender, one))
    retried(send(sender, one))  # away
    broker.start()
    receipt(send(sender, one))
    ((_, fields),) = entries(broker, "orders")
    assert json.loads(fields["event"])["id"] == one.execution_id


def test_a_firing_through_the_death_of_redis_is_one_execution_with_all_its_attempts(
    broker: BrokerProcess, sender: RedisSender
) -> None:
    execution = fired(Killed(broker, sender), {"type": "redis", "url": url(broker), "stream": "orders"})
    said = ledger_of_a_death(execution)
    ((entry, fields),) = entries(broker, "orders")
    assert (said, json.loads(fields["event"])["id"]) == ({"id": entry}, execution.id)


def test_refused_credentials_are_one_attempt(broker: BrokerProcess, sender: RedisSender) -> None:
    wrong = {"type": "redis", "url": url(broker), "stream": "orders", "secret_ref": "env:BAD"}
    assert "credentials" in ledger_of_a_refusal(fired(sender, wrong))
    assert entries(broker, "orders") == []


def test_the_servers_certificate_must_be_of_a_trusted_ca(broker: BrokerProcess, tls: BrokerTls, tls_port: int) -> None:
    secrets = KnownSecrets(OWN=tls.secret())
    known, strange = RedisSender(parts(), ca_file=str(tls.ca)), RedisSender(parts(secrets))
    one = delivery(1, type="redis", url=f"rediss://127.0.0.1:{tls_port}/0", stream="orders")
    receipt(send(known, one))
    distrusted(send(strange, one))
    assert len(entries(broker, "orders")) == 1
    receipt(send(strange, replace(one, target={**one.target, "secret_ref": "env:OWN"})))
    known.close()
    strange.close()


def test_a_redis_that_asks_for_a_certificate_gets_the_targets(
    broker: BrokerProcess, tls: BrokerTls, tls_port: int, authority: trustme.CA
) -> None:
    with redis_client.Redis(port=broker.port) as owner:
        owner.config_set("tls-auth-clients", "yes")
    to = {"type": "redis", "url": f"rediss://127.0.0.1:{tls_port}/0", "stream": "orders"}
    said = shows_its_certificate(RedisSender, to, tls, authority, username="writer", password="right")
    first, _ = entries(broker, "orders")  # and the one of the secret that was turned
    assert said == {"id": first[0]}


def test_a_frozen_redis_ends_in_time_and_holds_up_no_other(
    broker: BrokerProcess, sender: RedisSender, tmp_path: Path
) -> None:
    port = free_port()
    with running(
        [program("redis-server", package="redis-server"), "--port", str(port), "--save", ""], port, tmp_path
    ) as slow:
        frozen = delivery(1, type="redis", url=url(slow), stream="s", timeout_ms=4_000)
        quick = delivery(2, type="redis", url=url(broker), stream="s", timeout_ms=PATIENT_MS)
        receipt(send(sender, frozen))
        receipt(send(sender, quick))
        slow.freeze()
        ended: list[int] = []
        outcomes: list[Outcome] = []
        # Five times four seconds would be one after the other.
        assert 3.5 < took_s(lambda: outcomes.extend(at_once(sender, [frozen, quick] * 5, ended))) < 15.0
        for slow_one, quick_one in zip(outcomes[::2], outcomes[1::2], strict=True):
            retried(slow_one)
            receipt(quick_one)
        assert {place % 2 for place in ended[:5]} == {1}, "every quick one ended before the first that was frozen"
        receipt(send(sender, quick))  # the other is still frozen


def test_a_full_redis_is_asked_again(broker: BrokerProcess, sender: RedisSender) -> None:
    with redis_client.Redis(port=broker.port) as owner:
        owner.config_set("maxmemory", "1")
        one = delivery(1, type="redis", url=url(broker), stream="orders")
        assert "maxmemory" in retried(send(sender, one))
        owner.config_set("maxmemory", "0")
    receipt(send(sender, one))


def test_an_address_that_the_guard_forbids_is_not_called(broker: BrokerProcess) -> None:
    guarded = RedisSender(parts(allow=()), resolver=lambda host, port: ["127.0.0.1"])
    target = {"type": "redis", "url": f"redis://redis.example.com:{broker.port}", "stream": "s"}
    assert "loopback" in rejected(send(guarded, delivery(1, **target)))
    assert entries(broker, "s") == []
