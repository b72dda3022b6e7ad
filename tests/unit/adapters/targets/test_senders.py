"""What the port promises of every kind: one outcome each, in order, and no exception that leaves."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets import registry
from chalicelib.ports.target import ACCEPTED, COMPLETED, ERROR_TYPES, FAILED, Delivery, Target


def broken(_service: str) -> Callable[[], Any]:
    def client() -> Any:
        raise OSError("there is no network here")

    return client


PARTS = TargetParts(client=broken, now_ms=lambda: 0, monotonic_s=lambda: 0.0, webhook_allow=(), event_bus="bus")


@pytest.fixture(params=registry.NAMES)
def sender(request: pytest.FixtureRequest) -> Target:
    made: Target = import_module(f"chalicelib.adapters.targets.{registry.MODULES[request.param]}").make(PARTS)
    return made


def delivery(number: int, target: dict[str, object]) -> Delivery:
    return Delivery(
        execution_id=f"01KB-{number}",
        tenant="default",
        schedule_id="01KB",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=number,
        target=target,
        event=b'{"specversion":"1.0"}',
        traceparent="",
        timeout_ms=1000,
    )


ODD: list[dict[str, object]] = [
    {},
    {"type": "pigeon"},
    {"url": "http://127.0.0.1:1/", "bus": "b", "queue_url": "q", "topic_arn": "t", "function": "f"},
    {"url": 5, "bus": 5, "queue_url": [], "topic_arn": {}, "function": None, "state_machine_arn": 1.5},
]


def test_whatever_is_stored_every_delivery_has_its_outcome(sender: Target) -> None:
    several = [delivery(n, target) for n, target in enumerate(ODD * 7)]
    for each in several:
        sender.prepare(each)
    outcomes = sender.dispatch(several)
    assert len(outcomes) == len(several)
    for outcome in outcomes:
        assert outcome.kind in {COMPLETED, ACCEPTED, FAILED}
        assert (outcome.error_type in ERROR_TYPES) == (outcome.kind == FAILED)
        assert bool(outcome.error) == (outcome.kind == FAILED)


def test_nothing_to_send_and_nothing_to_cancel(sender: Target) -> None:
    assert sender.dispatch([]) == []
    assert sender.cancel("01KB-1", 1) is False
    assert sender.max_batch >= 1
