"""The stream of ticks: one for each boundary of the calendar, numbered without gaps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from chronowatch.transport import Transport

Frequency = Literal["second", "minute", "hour", "day"]

_POLL_S: dict[str, float] = {"second": 0.25, "minute": 1.0, "hour": 5.0, "day": 5.0}


@dataclass(frozen=True, slots=True)
class Tick:
    """A boundary: ``timestamp`` in unix nanoseconds; ``caught_up`` when it was emitted late, after an outage."""

    id: str
    timestamp: int
    frequency: str
    sequence: int
    seed: int
    schema_version: int
    producer_version: str
    instance_id: str
    caught_up: bool = False


def stream(
    transport: Transport,
    frequency: Frequency,
    after_sequence: int,
    *,
    follow: bool,
    limit: int,
    stop: threading.Event | None,
) -> Iterator[Tick]:
    """Each tick once, in order, after ``after_sequence``; following waits for new ones until ``stop`` is set."""
    stop = stop or threading.Event()
    while not stop.is_set():
        query = {"after_sequence": after_sequence, "limit": limit}
        items = transport.call("GET", f"/api/v1/ticks/{frequency}", query=query)["items"]
        for item in items:
            if item["sequence"] > after_sequence:
                after_sequence = item["sequence"]
                yield _tick(item)
        if not items:
            if not follow:
                return
            stop.wait(_POLL_S[frequency])


def _tick(item: dict[str, Any]) -> Tick:
    # by name, not **item: a newer service may say more
    return Tick(
        id=item["id"],
        timestamp=item["timestamp"],
        frequency=item["frequency"],
        sequence=item["sequence"],
        seed=item["seed"],
        schema_version=item["schema_version"],
        producer_version=item["producer_version"],
        instance_id=item["instance_id"],
        caught_up=item.get("caught_up", False),
    )
