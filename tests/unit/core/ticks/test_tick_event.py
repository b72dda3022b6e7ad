"""Ticks as they leave: the tick itself on the bus, a CloudEvents object elsewhere."""

from __future__ import annotations

import json

from chalicelib.core.ticks.numbering import build
from chalicelib.core.ticks.tick_event import clock_jump, cloud_event, detail

TICK = build("minute", 1_795_252_860_000_000_000, 7, "0.1.0", "01KB", caught_up=True)


def test_on_the_bus_the_detail_is_the_tick() -> None:
    assert json.loads(detail(TICK)) == {
        "id": "minute-1795252860000000000-7",
        "timestamp": 1_795_252_860_000_000_000,
        "frequency": "minute",
        "sequence": 7,
        "seed": 1_795_252_860_000_000_000 ^ 7,
        "schema_version": 1,
        "producer_version": "0.1.0",
        "instance_id": "01KB",
        "caught_up": True,
    }


def test_elsewhere_it_is_the_data_of_a_cloudevent() -> None:
    event = json.loads(cloud_event(TICK))
    assert event.pop("data") == TICK.as_json()
    assert event == {
        "specversion": "1.0",
        "id": TICK.id,
        "source": "/chronowatch/ticks/minute",
        "type": "chronowatch.ticks.v1",
        "subject": "minute",
        "time": "2026-11-21T09:21:00.000Z",
        "datacontenttype": "application/json",
    }


def test_a_jump_says_which_way() -> None:
    back, forth = (json.loads(clock_jump("i", 9, step, "monotonic")) for step in (-5, 5))
    assert (back["direction"], back["step_nanos"], forth["direction"]) == ("backward", -5, "forward")
    assert back["id"] == "clock-i-9"
