"""Ticks as the API and the bus give them, and what holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.e2e.bus import Arrival, BusEar
from tests.e2e.dev_server import DevServer

NANOS = 1_000_000_000
TYPE = "chronowatch.ticks.v1"


def history(server: DevServer, frequency: str, after_sequence: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = f"after_sequence={after_sequence}&limit=100"
    while True:
        status, page = server.call("GET", f"/api/v1/ticks/{frequency}?{query}")
        assert status == 200, page
        assert page["gaps"] == []
        found += page["items"]
        if page["next_page_token"] is None:
            return found
        query = f"after_sequence={after_sequence}&limit=100&page_token={page['next_page_token']}"


def check_seconds(ticks: Sequence[dict[str, Any]], first: int) -> None:
    assert [t["sequence"] for t in ticks] == list(range(first, first + len(ticks)))
    begin = ticks[0]["timestamp"]
    for place, tick in enumerate(ticks):
        assert tick["timestamp"] == begin + place * NANOS, "aligned to the nanosecond, and no drift"
        assert tick["timestamp"] % NANOS == 0
        assert tick["seed"] == tick["timestamp"] ^ tick["sequence"]
        assert tick["id"] == f"second-{tick['timestamp']}-{tick['sequence']}"


def once_each(arrivals: Sequence[Arrival]) -> list[dict[str, Any]]:
    """The seconds that arrived, each once; what came again must be the same."""
    by_sequence: dict[int, dict[str, Any]] = {}
    for arrival in arrivals:
        tick = arrival.detail
        if tick["frequency"] == "second":
            assert by_sequence.setdefault(tick["sequence"], tick) == tick
    return [by_sequence[s] for s in sorted(by_sequence)]


def seconds(ear: BusEar) -> list[Arrival]:
    return [a for a in ear.heard() if a.detail["frequency"] == "second"]
