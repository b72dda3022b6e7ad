"""Firings to methods of a real gRPC server, read by another implementation of protobuf."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cloudevents.core.v1.event import CloudEvent
from msgspec.structs import replace

from chalicelib.adapters.brokers.grpc_answers import too_large
from chalicelib.adapters.targets.grpc import GrpcSender
from chalicelib.core.targets import cloudevent
from chalicelib.ports.target import FAILED, Outcome
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
    parts,
    receipt,
    rejected,
    retried,
    same,
    send,
    took_s,
)
from tests.kit.ports import free_port
from tests.tidy.sources import ROOT

BUF = Path(sys.executable).with_name("buf")
TOKENS = {"GOOD": "Bearer right-token", "BAD": "Bearer wrong-token"}


class Service(BrokerProcess):
    """The server, and what it was sent."""

    def __init__(self, folder: Path, *options: str | Path) -> None:
        port = free_port()
        self.record = folder / f"grpc-{port}.jsonl"
        command = [sys.executable, str(ROOT / "tests" / "contract" / "grpc_service.py"), str(port), self.record]
        super().__init__([*command, *options], port, folder)

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(*options: str | Path) -> Service:
        started.append(Service(tmp_path, *options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve()


@pytest.fixture
def sender() -> Iterator[GrpcSender]:
    made = GrpcSender(parts(KnownSecrets(**TOKENS)))
    yield made
    made.close()


def target_at(port: int, method: str = "Due", **more: object) -> dict[str, Any]:
    return {"type": "grpc", "address": f"127.0.0.1:{port}", "method": f"/shop.v1.Orders/{method}", **more}


def target(service: Service, method: str = "Due", **more: object) -> dict[str, Any]:
    return target_at(service.port, method, **more)


def final(outcome: Outcome) -> str:
    """A status that no further attempt can change."""
    assert (outcome.kind, outcome.error_type, outcome.permanent) == (FAILED, "rpc_error", True), outcome
    return str(outcome.error)


def read_by_buf(request: str) -> dict[str, Any]:
    """A request as protobuf for Go reads it, in JSON."""
    command = [BUF, "convert", ROOT / "proto", "--type", "io.cloudevents.v1.CloudEvent"]
    command += ["--from", "-#format=binpb", "--to", "-#format=json"]
    ran = subprocess.run(command, input=bytes.fromhex(request), capture_output=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def event_of(read: dict[str, Any]) -> CloudEvent:
    """The event, as the SDK has it. It brings no protobuf: the attributes are handed to it by name."""
    attributes = {name: read[field] for field, name in _REQUIRED.items()}
    for name, value in read["attributes"].items():
        ((_, held),) = value.items()
        attributes[name] = held
    content_type = attributes.pop("datacontenttype")
    return binary_event(attributes, "", content_type, read["textData"].encode())


_REQUIRED = {"id": "id", "source": "source", "specVersion": "specversion", "type": "type"}


def test_a_firing_is_a_request_in_the_protobuf_format(service: Service, sender: GrpcSender) -> None:
    one = replace(delivery(1, **target(service, metadata={"tenant": "a b"})), depth=2, tracestate="a=1")
    assert receipt(send(sender, one)) == {"status": "OK"}
    (asked,) = service.requests()
    read = read_by_buf(asked["request"])
    same(event_of(read), one)
    kinds = {name: next(iter(value)) for name, value in read["attributes"].items()}
    texts = {"subject", "datacontenttype", "traceparent", "hlc"}
    assert kinds == {
        **dict.fromkeys(texts, "ceString"),
        "time": "ceTimestamp",
        "fencingtoken": "ceInteger",
        "attempt": "ceInteger",
    }
    known = asked["metadata"]
    assert known.items() >= {
        "tenant": "a b",
        "idempotency-key": one.execution_id,
        "traceparent": one.traceparent,
        "tracestate": "a=1",
        "x-chrono-depth": "3",
    }.items()  # fmt: skip
    assert known["user-agent"].startswith("chronowatch ")


def test_an_integer_beyond_the_formats_is_text(service: Service, sender: GrpcSender) -> None:
    one = delivery(1, **target(service))
    great = cloudevent.build(
        execution_id=one.execution_id,
        schedule_id=one.schedule_id,
        firing_unix_ms=one.firing_unix_ms,
        attempt=1,
        fencing_token=2**31,
        traceparent=one.traceparent,
        hlc="1.0",
        payload_json="null",
    )
    receipt(send(sender, replace(one, event=great)))
    read = read_by_buf(service.requests()[0]["request"])
    assert read["attributes"]["fencingtoken"] == {"ceString": str(2**31)}
    assert read["textData"] == "null"


def test_the_example_receives_a_firing(sender: GrpcSender, tmp_path: Path) -> None:
    port = free_port()
    example = [sys.executable, "-u", ROOT / "examples" / "grpc_receiver.py", "--port", str(port)]
    one = delivery(1, timeout_ms=20_000, **{**target_at(port), "method": "/chronowatch.examples.v1.Firings/Take"})
    with running(example, port, tmp_path):
        receipt(send(sender, one))
        receipt(send(sender, one))
    printed = (tmp_path / f"broker-{port}.log").read_text().splitlines()
    whole = json.loads(one.event)
    assert printed == [f"{one.execution_id} {one.fencing_token} {whole['time']} {printed[0].split(' ', 3)[3]}"]
    assert json.loads(printed[0].split(" ", 3)[3]) == whole["data"]


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_service_that_cannot_take_it_now_is_asked_again(service: Service, sender: GrpcSender, status: str) -> None:
    outcome = send(sender, delivery(1, **target(service, status)))
    assert f"gRPC status {status}" in retried(outcome)
    assert (outcome.error_type, outcome.retry_after_ms) == ("connection_error", 1_500)
    receipt(send(sender, delivery(2, **target(service))))


@pytest.mark.parametrize(
    "status", ["INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED", "INTERNAL", "ABORTED", "UNKNOWN"]
)
def test_other_statuses_are_final(service: Service, sender: GrpcSender, status: str) -> None:
    given = {"authorization": {"secret_ref": "env:GOOD"}}
    outcome = send(sender, delivery(1, **target(service, status, metadata=given)))
    assert f"gRPC status {status} (" in final(outcome)
    assert outcome.answer is not None
    assert f"said with {status} and [hidden]" in outcome.answer
    assert "reason: because" in outcome.answer


def test_a_call_without_an_answer_ends_by_its_deadline(service: Service, sender: GrpcSender) -> None:
    receipt(send(sender, delivery(1, **target(service))))  # connecting takes none of the time of the call below
    outcome = send(sender, delivery(2, timeout_ms=3_000, **target(service, "Slow")))
    assert (outcome.error_type, outcome.permanent) == ("timeout", False)
    assert "within 3000 ms" in str(outcome.error)
    wait_until(lambda: service.requests()[-1]["method"] == "broken off", 10, "the service's own end of it")


def test_a_call_that_is_cancelled_is_broken_off_at_the_service(service: Service, sender: GrpcSender) -> None:
    one, found = delivery(1, timeout_ms=60_000, **target(service, "Slow")), list[Outcome]()
    calling = threading.Thread(target=lambda: found.append(send(sender, one)))
    calling.start()
    wait_until(lambda: bool(service.requests()), 10, "a call under way")
    assert sender.cancel(one.execution_id, 2) is False
    # The service has the request a moment before its sender knows the call: whoever cancels asks again.
    wait_until(lambda: sender.cancel(one.execution_id, 1), 10, "a call that can be cancelled")
    calling.join(10)
    assert (found[0].closed, found[0].permanent, found[0].error) == (True, True, "the delivery was cancelled")
    wait_until(lambda: service.requests()[-1]["method"] == "broken off", 10, "the service's own end of it")
    assert sender.cancel(one.execution_id, 1) is False


def test_a_request_above_the_services_bound_names_it(serve: Callable[..., Service], sender: GrpcSender) -> None:
    small = serve("--max", "2000")
    assert "above the service's bound of 2000 bytes" in rejected(
        send(sender, delivery(1, payload="x" * 3000, **target(small)))
    )
    receipt(send(sender, delivery(2, **target(small))))


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        ("CLIENT: Sent message larger than max (10 vs. 5)", "5"),
        ("grpc: received message larger than max (10 vs. 5)", "5"),
        ("gRPC message exceeds maximum size 5: 10", "5"),
        ("out of something else", None),
    ],
)
def test_a_bound_is_read_off_what_implementations_say(said: str, bound: str | None) -> None:
    assert too_large(said) == bound


def test_killed_before_the_answer_is_unknown_and_comes_again_once_the_service_is_back(
    service: Service, sender: GrpcSender
) -> None:
    one = delivery(1, **target(service))
    assert "may have it" in retried(killed_before_it_answers(service, sender, one))
    assert "refused" in retried(send(sender, one)).lower()  # away
    service.start()
    receipt(send(sender, one))
    assert read_by_buf(service.requests()[-1]["request"])["id"] == one.execution_id


def test_a_firing_through_the_services_death_is_one_execution_with_all_its_attempts(
    service: Service, sender: GrpcSender
) -> None:
    execution = fired(Killed(service, sender), target(service))
    assert ledger_of_a_death(execution) == {"status": "OK"}
    assert read_by_buf(service.requests()[-1]["request"])["id"] == execution.id


def test_refused_credentials_are_one_attempt(service: Service, sender: GrpcSender) -> None:
    execution = fired(sender, target(service, "Guarded", metadata={"authorization": {"secret_ref": "env:BAD"}}))
    (attempt,) = execution.attempts
    assert (execution.state, attempt.outcome, attempt.error_type) == ("failed", "failed", "rpc_error")
    assert attempt.error == "gRPC status UNAUTHENTICATED (16)"
    assert "wrong-token" not in repr(attempt)
    assert [asked["method"] for asked in service.requests()] == ["Guarded"]


def test_a_secret_that_was_rotated_is_read_anew_in_the_same_attempt(service: Service) -> None:
    secrets = KnownSecrets(TURN="Bearer old")
    sender = GrpcSender(parts(secrets))
    one = delivery(1, **target(service, "Guarded", metadata={"authorization": {"secret_ref": "env:TURN"}}))
    final(send(sender, one))
    secrets.stored["env:TURN"] = TOKENS["GOOD"]
    receipt(send(sender, one))
    sender.close()


def test_a_secret_that_may_not_be_sent_is_not_sent(service: Service, sender: GrpcSender) -> None:
    given = {"authorization": {"secret_ref": "env:GOOD"}}
    lent = parts(KnownSecrets(**TOKENS))
    closed = GrpcSender(replace(lent, secret_policy=lent.secret_policy._replace(header_refs=())))
    assert "CHRONO_HEADER_SECRETS" in rejected(send(closed, delivery(1, **target(service, metadata=given))))
    for wrong in ({"Authorization": "x"}, {"grpc-timeout": "1S"}, {"a-bin": "x"}, {"a": "é"}):
        assert "target.metadata" in rejected(send(sender, delivery(1, **target(service, metadata=wrong))))
    assert service.requests() == []


def test_one_secret_under_two_names_is_each_time_under_its_own(service: Service, sender: GrpcSender) -> None:
    for name in ("authorization", "x-key"):
        receipt(send(sender, delivery(1, **target(service, metadata={name: {"secret_ref": "env:GOOD"}}))))
    found = [asked["metadata"].keys() & {"authorization", "x-key"} for asked in service.requests()]
    assert found == [{"authorization"}, {"x-key"}]


# -- TLS


class OwnAuthority:
    """A CA, its server and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.folder = trustme.CA(), folder
        self.server: BrokerTls = broker_tls(folder, self.ca)
        client = self.ca.issue_cert("client.example", common_name="chrono-client")
        self.secret = {
            "ca": self.ca.cert_pem.bytes().decode(),
            "certificate": client.cert_chain_pems[0].bytes().decode(),
            "key": client.private_key_pem.bytes().decode(),
        }

    @property
    def tls(self) -> tuple[str | Path, ...]:
        return ("--tls", self.server.certificate, self.server.key)


@pytest.fixture
def own(tmp_path: Path) -> OwnAuthority:
    return OwnAuthority(tmp_path)


def test_the_services_certificate_must_be_of_a_trusted_ca(serve: Callable[..., Service], own: OwnAuthority) -> None:
    service = serve(*own.tls)
    secrets = KnownSecrets(CA=json.dumps({"ca": own.secret["ca"]}))
    known, strange = GrpcSender(parts(), ca_file=str(own.server.ca)), GrpcSender(parts(secrets))
    one = delivery(1, **target(service, tls=True))
    receipt(send(known, one))
    distrusted(send(strange, one))
    receipt(send(strange, delivery(2, **target(service, tls={"secret_ref": "env:CA"}))))
    other_name = {"secret_ref": "env:CA", "server_name": "other.example"}
    distrusted(send(strange, delivery(3, **target(service, tls=other_name))))
    receipt(send(strange, delivery(4, **target(service, tls={"secret_ref": "env:CA", "server_name": "localhost"}))))
    retried(send(known, delivery(5, **target(service))))  # plain, to a server of TLS
    known.close()
    strange.close()


def test_a_service_that_asks_for_a_certificate_gets_the_targets(
    serve: Callable[..., Service], own: OwnAuthority
) -> None:
    service = serve(*own.tls, "--client-ca", own.server.ca)
    secrets = KnownSecrets(
        WHOLE=json.dumps(own.secret), CA=json.dumps({"ca": own.secret["ca"]}), TORN=json.dumps({"key": "x"}),
        HALF=json.dumps({"ca": "none"}),
    )  # fmt: skip
    sender = GrpcSender(parts(secrets))
    receipt(send(sender, delivery(1, **target(service, tls={"secret_ref": "env:WHOLE"}))))
    assert service.requests()[-1]["client"] == ["chrono-client"]
    retried(send(sender, delivery(2, **target(service, tls={"secret_ref": "env:CA"}))))
    assert "go together" in rejected(send(sender, delivery(3, **target(service, tls={"secret_ref": "env:TORN"}))))
    assert "ca is no certificate" in rejected(
        send(sender, delivery(4, **target(service, tls={"secret_ref": "env:HALF"})))
    )
    assert len(service.requests()) == 1
    sender.close()


# -- lanes


def test_a_frozen_service_ends_in_time_and_holds_up_no_other(
    serve: Callable[..., Service], service: Service, sender: GrpcSender
) -> None:
    slow = serve()
    frozen = delivery(1, timeout_ms=1_500, **target(slow))
    receipt(send(sender, replace(frozen, timeout_ms=PATIENT_MS)))
    slow.freeze()
    outcomes = at_once(sender, [frozen, delivery(2, **target(service))] * 5)
    assert all("may have it" in retried(outcome) for outcome in outcomes[::2])
    assert all(receipt(outcome) for outcome in outcomes[1::2])
    slow.thaw()
    receipt(send(sender, replace(frozen, timeout_ms=PATIENT_MS)))


def test_a_herd_is_answered_one_by_one(service: Service, sender: GrpcSender) -> None:
    herd = [delivery(number, timeout_ms=30_000, **target(service)) for number in range(200)]
    print(f"200 calls in {took_s(lambda: [receipt(each) for each in at_once(sender, herd)]):.3f} s")
    ids = {asked["metadata"]["idempotency-key"] for asked in service.requests()}
    assert ids == {one.execution_id for one in herd}


def test_what_is_prepared_is_connected_and_nothing_is_sent(service: Service, sender: GrpcSender) -> None:
    sender.prepare(delivery(1, **target(service)))
    assert service.requests() == []
    receipt(send(sender, delivery(1, **target(service))))


def test_an_address_that_the_guard_forbids_is_not_called(service: Service) -> None:
    guarded = GrpcSender(parts(allow=()), resolver=lambda host, port: ["127.0.0.1"])
    assert "loopback" in rejected(send(guarded, delivery(1, **target(service))))
    named = {**target(service), "address": f"orders.example.com:{service.port}"}
    assert "loopback" in rejected(send(guarded, delivery(1, **named)))
    assert service.requests() == []


def test_a_name_is_dialled_at_the_address_that_was_judged(service: Service) -> None:
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["::1", "127.0.0.1"]  # nothing listens at the first

    sender = GrpcSender(parts(allow=("127.0.0.1", "::1")), resolver=resolver)
    receipt(send(sender, delivery(1, **{**target(service), "address": f"orders.example.com:{service.port}"})))
    assert asked == ["orders.example.com"]
    sender.close()
