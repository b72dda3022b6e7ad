"""Deliveries to brokers, and what every kind of broker must do with them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trustme
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from msgspec import json
from msgspec.structs import replace

from chalicelib.adapters.brokers.sender import BrokerSender
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import cloudevent, registry
from chalicelib.ports.target import COMPLETED, FAILED, Delivery, Outcome
from tests.brokers import BrokerProcess, BrokerTls, client_certificate, wait_until
from tests.kit.machine import NOW_MS
from tests.kit.plant import Plant
from tests.tidy.sources import ROOT

SCHEDULE = "01KB0000000000000000000000"
POLICY = SecretPolicy(environment=True, header_refs=("*",))
LOCAL = ("127.0.0.1", "localhost")
PATIENT_MS = 10_000  # the longest that most senders wait for a broker: on a busy machine an answer may take seconds
SOCKETS = Path("/proc/net")  # where Linux lists them
ESTABLISHED = "01"  # a state of TCP, as Linux writes it
ENDS_S = 30.0  # a sender's thread; the machine may be slow


class KnownSecrets:
    """Secrets by reference, which a test may rotate."""

    def __init__(self, **values: str) -> None:
        self.stored = {f"env:{name}": value for name, value in values.items()}
        self._read: dict[str, str] = {}
        self.readings = 0

    def values(self, ref: str) -> tuple[str, ...]:
        self.readings += ref not in self._read
        return (self._read.setdefault(ref, self.stored[ref]),)

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        self._read.pop(ref, None)
        return self.values(ref) != values


def parts(secrets: KnownSecrets | None = None, allow: tuple[str, ...] = LOCAL) -> TargetParts:
    return TargetParts(
        client=lambda _: object,
        now_ms=lambda: 1_795_252_805_000,
        monotonic_s=time.monotonic,
        webhook_allow=allow,
        event_bus="bus",
        secrets=secrets or KnownSecrets(),
        secret_policy=POLICY,
    )


def delivery(number: int = 1, *, timeout_ms: int = 5_000, payload: object = None, **target: object) -> Delivery:
    """One firing to a target, which has its kind's defaults as a stored one has."""
    execution_id = f"{SCHEDULE}-{1_795_252_800_000 + number}"
    return Delivery(
        execution_id=execution_id,
        tenant="default",
        schedule_id=SCHEDULE,
        firing_unix_ms=1_795_252_800_000 + number,
        attempt=1,
        fencing_token=number,
        target=registry.normal_target(target),
        event=cloudevent.build(
            execution_id=execution_id,
            schedule_id=SCHEDULE,
            firing_unix_ms=1_795_252_800_000 + number,
            attempt=1,
            fencing_token=number,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            hlc="1795252805000412000.0",
            payload_json=json.encode({"n": number, "text": "é€"} if payload is None else payload).decode(),
        ),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        timeout_ms=timeout_ms,
    )


def send(sender: BrokerSender, one: Delivery) -> Outcome:
    (outcome,) = sender.dispatch([one])
    return outcome


def receipt(outcome: Outcome) -> dict[str, Any]:
    """What a completed delivery was answered."""
    assert (outcome.kind, outcome.error) == (COMPLETED, None)
    found: dict[str, Any] = json.decode(outcome.receipt)
    return found


def rejected(outcome: Outcome) -> str:
    """Why a delivery was refused for good."""
    assert (outcome.kind, outcome.error_type, outcome.permanent) == (FAILED, "rejected", True), outcome
    return str(outcome.error)


def retried(outcome: Outcome) -> str:
    """Why a delivery failed that another attempt may bring through."""
    assert (outcome.kind, outcome.permanent) == (FAILED, False), outcome
    assert outcome.error_type in {"connection_error", "timeout"}, outcome
    return str(outcome.error)


MISSED = "the broker asks for a certificate that it trusts"


def shows_its_certificate(
    sender_of: Callable[[TargetParts], BrokerSender],
    target: Mapping[str, object],
    tls: BrokerTls,
    authority: trustme.CA,
    name: str = "chrono-client",
    at: str = "secret_ref",
    **signs_in: str,
) -> dict[str, Any]:
    """A broker that asks who calls gets the certificate of the secret, and takes no other: the receipt of the one
    delivery. ``at`` is where a target names its secret."""
    own, torn = client_certificate(authority, name), client_certificate(authority, name)
    secrets = KnownSecrets(
        WHOLE=tls.secret(**own, **signs_in),
        NONE=tls.secret(**signs_in),
        STRANGE=tls.secret(**client_certificate(trustme.CA(), name), **signs_in),
        HALF=tls.secret(certificate=own["certificate"], **signs_in),
        TORN=tls.secret(certificate=own["certificate"], key=torn["key"], **signs_in),
        TURNED=tls.secret(**client_certificate(trustme.CA(), name), **signs_in),
    )
    sender = sender_of(parts(secrets))

    def sent(ref: str) -> Outcome:
        outer, _, inner = at.partition(".")
        named = {outer: {**dict(target[outer]), inner: f"env:{ref}"}} if inner else {at: f"env:{ref}"}  # type: ignore[call-overload]
        return send(sender, delivery(1, timeout_ms=10_000, **{**target, **named}))

    try:
        found = receipt(sent("WHOLE"))
        missed, strange = retried(sent("NONE")), retried(sent("STRANGE"))
        assert MISSED in missed
        assert "certificate required" in missed
        assert MISSED in strange
        assert "unknown ca" in strange
        assert "certificate and key go together" in rejected(sent("HALF"))
        assert "certificate and key are no pair in PEM" in rejected(sent("TORN"))
        assert MISSED in retried(sent("TURNED"))
        secrets.stored["env:TURNED"] = secrets.stored["env:WHOLE"]
        receipt(sent("TURNED"))  # read anew in the same attempt
    finally:
        sender.close()
    return found


def killed_before_it_answers(broker: BrokerProcess, sender: BrokerSender, one: Delivery) -> Outcome:
    """The outcome of a delivery whose broker has what was sent, and is killed before it acknowledges."""
    # The connection is there. It has as long as it needs: the timeout is that of the broker's silence.
    assert send(sender, replace(one, timeout_ms=PATIENT_MS)).kind == COMPLETED
    broker.freeze()
    found: list[Outcome] = []
    before = unread_bytes(broker.port)
    sending = threading.Thread(target=lambda: found.append(send(sender, one)))
    sending.start()
    if SOCKETS.exists():
        # Half of the event: heads of a message may come alone, and protobuf is shorter than JSON.
        wait_until(lambda: unread_bytes(broker.port) - before >= len(one.event) // 2, what="a message that is not read")
    else:
        time.sleep(0.3)  # other systems do not tell
    broker.kill()
    sending.join(ENDS_S)
    return found[0]


def unread_bytes(port: int) -> int:
    """What lies at the connections of a server on this machine that it has not read, as Linux counts it."""
    found = 0
    for table in SOCKETS.glob("tcp*"):  # of IPv4 and, where there is one, of IPv6
        for row in table.read_text().splitlines()[1:]:
            local, state, queues = (row.split()[place] for place in (1, 3, 4))
            if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                found += int(queues.rpartition(":")[2], 16)
    return found


def at_once(sender: BrokerSender, several: list[Delivery], ended: list[int] | None = None) -> list[Outcome]:
    """The outcomes of deliveries that are sent from as many threads, as a worker does. ``ended`` gets the place of each
    as it ends."""
    outcomes: dict[int, Outcome] = {}

    def one(place: int) -> None:
        outcomes[place] = send(sender, several[place])
        if ended is not None:
            ended.append(place)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(several))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ENDS_S)
    return [outcomes[place] for place in range(len(several))]


def took_s(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


# -- read by the SDK


def structured_event(body: bytes) -> CloudEvent:
    """The object, as the SDK reads it."""
    return JSONFormat().read(CloudEvent, body)


def binary_event(attributes: Mapping[str, object], prefix: str, content_type: str, body: bytes) -> CloudEvent:
    """The event, as the SDK reads one. It has no binding but HTTP's and Kafka's, which differ from others in names."""
    named = {f"ce-{n.removeprefix(prefix)}": str(v) for n, v in attributes.items() if n.startswith(prefix)}
    return from_http(HTTPMessage({**named, "content-type": content_type}, body), JSONFormat())


def same(event: CloudEvent, sent: Delivery) -> None:
    """What the SDK read is what was sent."""
    whole = json.decode(sent.event)
    assert event.get_data() == whole["data"]
    known = event.get_attributes()
    assert (known["time"], known.keys()) == (event.get_time(), whole.keys() - {"data"})
    for name in known.keys() - {"time"}:
        assert str(known[name]) == str(whole[name]), name


def read_by_example(sent: Delivery, *asked: str) -> None:
    """The consumer of examples/ prints a firing that the broker has."""
    command = [sys.executable, str(ROOT / "examples" / "broker_consumer.py"), *asked, "--count", "1"]
    # Tansu takes 25 s to let a new group read.
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-1000:]
    known_as, token, at, data = ran.stdout.strip().split(" ", 3)
    whole = json.decode(sent.event)
    assert (known_as, token, at) == (sent.execution_id, str(sent.fencing_token), whole["time"])
    assert json.decode(data) == whole["data"]


# -- from the schedule to the ledger


class Killed:
    """A target whose broker is killed under the first attempt, away at the second, and back at the third."""

    max_batch = 1

    def __init__(self, broker: BrokerProcess, sender: BrokerSender, back: Callable[[], object] | None = None) -> None:
        """``back`` brings the broker back."""
        self._broker = broker
        self._sender = sender
        self._back = back or broker.start

    def prepare(self, delivery: Delivery) -> None:
        self._sender.prepare(delivery)

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        (one,) = deliveries
        if one.attempt == 1:
            return [killed_before_it_answers(self._broker, self._sender, one)]
        if one.attempt == 3:
            self._back()
            one = replace(one, timeout_ms=PATIENT_MS)  # a broker that has just started
        return [send(self._sender, one)]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False


def fired(sender: Any, target: Mapping[str, object], timeout_ms: int = 5_000) -> Execution:
    """The one execution of a schedule, as the ledger has it in the end: real workers, over time that is not."""
    plant = Plant(NOW_MS, secrets=POLICY)
    plant.services = replace(plant.services, targets={**plant.services.targets, str(target["type"]): sender})
    schedule_id = plant.create(
        type="DELAY",
        expr="delay:5s",
        max_runs=1,
        payload='{"n":1,"text":"é€"}',
        target=registry.normal_target(target),
        timeout_ms=timeout_ms,
        retry_policy=RetryPolicy(max_attempts=5, backoff="fixed", base_ms=1_000, jitter=False),
    )
    plant.run_until(NOW_MS + 60_000)
    (execution,) = plant.executions(schedule_id)
    return execution


def ledger_of_a_death(execution: Execution) -> dict[str, Any]:
    """The receipt of an execution whose broker was ``Killed``: three attempts, and what became of each is on record."""
    outcomes = [attempt.outcome for attempt in execution.attempts]
    assert outcomes in (["failed", "failed", "completed"], ["timeout", "failed", "completed"]), execution.attempts
    assert execution.state == "completed"
    unknown, away, done = execution.attempts
    assert "may have it" in str(unknown.error)
    assert {unknown.error_type, away.error_type} <= {"connection_error", "timeout"}
    assert (unknown.receipt, away.receipt) == ("", "")
    tokens = [attempt.fencing_token for attempt in execution.attempts]
    assert tokens == sorted(set(tokens)), "each attempt has a higher token"
    found: dict[str, Any] = json.decode(done.receipt)
    return found


def ledger_of_a_refusal(execution: Execution) -> str:
    """Why one attempt was the last: the broker refused it."""
    (attempt,) = execution.attempts
    assert (execution.state, attempt.outcome, attempt.error_type) == ("failed", "failed", "rejected")
    return str(attempt.error)


def distrusted(outcome: Outcome) -> None:
    """The broker's certificate is of a CA that is not trusted. An operator may mend that, so it is tried again."""
    assert (outcome.kind, outcome.error_type, outcome.permanent) == (FAILED, "connection_error", False), outcome
    assert "certificate" in str(outcome.error).lower(), outcome.error
