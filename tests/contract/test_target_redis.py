"""Firings to streams of a real Redis, read back by a client of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client

from chalicelib.adapters.targets.redis import RedisSender
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
    took_s,
)
from tests.programs import program


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    port = free_port()
    users = tmp_path / "users.acl"
    users.write_text(
        "user default on nopass ~* &* +@all\nuser writer on >right ~orders* +xadd +ping +hello +client +select\n"
    )
    command = [program("redis-server", package="redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--aclfile", users]
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
    assert json.loads(fields["event"]) == json.loads(one.event)


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


def test_a_frozen_redis_ends_in_time_and_holds_up_no_other(
    broker: BrokerProcess, sender: RedisSender, tmp_path: Path
) -> None:
    port = free_port()
    with running(
        [program("redis-server", package="redis-server"), "--port", str(port), "--save", ""], port, tmp_path
    ) as slow:
        frozen = delivery(1, type="redis", url=url(slow), stream="s", timeout_ms=1_500)
        receipt(send(sender, frozen))
        slow.freeze()
        several = [frozen, delivery(2, type="redis", url=url(broker), stream="s")] * 5
        outcomes = []
        assert 1.0 < took_s(lambda: outcomes.extend(at_once(sender, several))) < 4.0
        for slow_one, quick in zip(outcomes[::2], outcomes[1::2], strict=True):
            retried(slow_one)
            receipt(quick)
        assert took_s(lambda: receipt(send(sender, several[1]))) < 0.5


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
