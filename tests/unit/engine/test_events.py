"""Sending the service's own events: at least once, and a bus that is away is waited for once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.schedules.schedule import Key
from chalicelib.engine.events import emit
from chalicelib.ports.target import COMPLETED, FAILED, Delivery, Outcome
from tests.kit.plant import Plant

T0 = 1_795_252_800_000
BROKER = {"type": "redis", "url": "redis://r.example:6379", "stream": "s"}


class Bus:
    """A bus that answers as it is told, and keeps what it was sent."""

    max_batch = 1

    def __init__(self, *answers: Outcome) -> None:
        self.answers = list(answers)
        self.sent: list[Delivery] = []

    def prepare(self, delivery: Delivery) -> None:
        """There is nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        self.sent += deliveries
        return [self.answers.pop(0) for _ in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False


def sent_by(bus: Bus, count: int) -> Plant:
    plant = Plant(T0, default_target=BROKER)
    plant.services = replace(plant.services, targets={**plant.services.targets, "redis": bus})
    events = [PolicyEvent("a.v1", f"e{n}", Key("default", "s"), T0, {"n": n}, "/x") for n in range(count)]
    emit(plant.services, events)
    return plant


def test_all_events_reach_the_default_target() -> None:
    bus = Bus(*[Outcome(COMPLETED)] * 3)
    sent_by(bus, 3)
    assert [(one.execution_id, one.target, one.event_type) for one in bus.sent] == [
        (f"e{n}", BROKER, "a.v1") for n in range(3)
    ]


def test_a_broker_that_is_away_is_waited_for_once() -> None:
    bus = Bus(Outcome(COMPLETED), *[Outcome(FAILED, error_type="connection_error", error="away")] * 9)
    with pytest.raises(Unavailable, match="did not take 1 of 1"):
        sent_by(bus, 10)
    assert [one.execution_id for one in bus.sent] == ["e0", "e1"]


def test_an_event_that_is_refused_for_good_is_a_dead_letter_and_the_rest_go_on() -> None:
    refused = Outcome(FAILED, error_type="rejected", error="no such stream", permanent=True)
    bus = Bus(refused, Outcome(COMPLETED))
    plant = sent_by(bus, 2)
    assert [one.execution_id for one in bus.sent] == ["e0", "e1"]
    assert [(dead.execution_id, dead.reason) for dead in plant.queue.dead] == [("e0", "no such stream")]
