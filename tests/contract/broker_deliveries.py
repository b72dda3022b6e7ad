"""Deliveries to brokers, and what every kind of broker must do with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec import json

from chalicelib.adapters.brokers.sender import BrokerSender
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import cloudevent, registry
from chalicelib.ports.target import COMPLETED, FAILED, Delivery, Outcome
from tests.brokers import BrokerProcess

SCHEDULE = "01KB0000000000000000000000"
LOCAL = ("127.0.0.1", "localhost")


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
        secret_policy=SecretPolicy(environment=True, header_refs=("*",)),
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


def killed_before_it_answers(broker: BrokerProcess, sender: BrokerSender, one: Delivery) -> Outcome:
    """The outcome of a delivery whose broker has what was sent, and is killed before it acknowledges."""
    assert send(sender, one).kind == COMPLETED  # the connection is there
    broker.freeze()
    found: list[Outcome] = []
    sending = threading.Thread(target=lambda: found.append(send(sender, one)))
    sending.start()
    time.sleep(0.3)
    assert not found
    broker.kill()
    sending.join(10)
    return found[0]


def at_once(sender: BrokerSender, several: list[Delivery]) -> list[Outcome]:
    """The outcomes of deliveries that are sent from as many threads, as a worker does."""
    outcomes: dict[int, Outcome] = {}

    def one(place: int) -> None:
        outcomes[place] = send(sender, several[place])

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(several))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [outcomes[place] for place in range(len(several))]


def took_s(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s
