"""Ticks of the real dev server: over HTTP and SSE, and through the Python client."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.bus import BusEar
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import ROOT, DevServer, wait_for
from tests.e2e.tick_history import NANOS, TYPE, check_seconds, history, once_each, seconds


def test_the_other_frequencies_have_their_places(server: DevServer) -> None:
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    status, streams = server.call("GET", "/api/v1/ticks")
    assert status == 200
    assert [s["frequency"] for s in streams["items"]] == ["second", "minute", "hour", "day"]
    for stream, size_s in zip(streams["items"], (1, 60, 3600, 86_400), strict=True):
        assert stream["enabled"]
        assert stream["next_timestamp"] % (size_s * NANOS) == 0
        assert 0 < stream["next_timestamp"] - time.time_ns() + NANOS <= (size_s + 1) * NANOS


def events(server: DevServer, last_event_id: int | None, count: int) -> list[tuple[int, dict[str, Any], int]]:
    """(id, tick, when it came in unix nanoseconds) of the next events of a subscription."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=20)
    headers = {"Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    connection.request("GET", "/api/v1/ticks/second", headers=headers)
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    found: list[tuple[int, dict[str, Any], int]] = []
    number = 0
    while len(found) < count:
        line = answer.readline().decode().rstrip()
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            found.append((number, json.loads(line[6:]), time.time_ns()))
    connection.close()
    return found


def test_a_subscriber_gets_ticks_as_they_pass_and_goes_on_where_it_left_off(
    server: DevServer, stalls: StallMeter
) -> None:
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    first = events(server, None, 4)
    assert all(number == tick["sequence"] for number, tick, _ in first)
    # The newest one comes at once, the others when their instants come.
    for _, tick, at in first[1:]:
        stalled_ms = stalls.stalled_ms(tick["timestamp"] / 1e6, at / 1e6)
        assert 0 <= at - tick["timestamp"] < NANOS // 2 + stalled_ms * 1e6
    time.sleep(1.5)
    again = events(server, first[-1][0], 4)
    check_seconds([tick for _, tick, _ in [*first, *again]], first[0][0])


def test_the_python_client_follows(server: DevServer) -> None:
    sys.path.insert(0, str(ROOT / "clients" / "python" / "src"))
    try:
        from chronowatch import Client
    finally:
        sys.path.pop(0)
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    stop = threading.Event()
    with Client(f"http://127.0.0.1:{server.http_port}") as client:
        known = list(client.ticks("second", follow=False))
        found = []
        for tick in client.ticks("second", known[-1].sequence - 2, stop=stop):
            found.append(tick)
            if len(found) == 6:
                stop.set()
    assert found[:2] == known[-2:]
    assert [t.sequence for t in found] == list(range(found[0].sequence, found[0].sequence + 6))
    assert all(t.seed == t.timestamp ^ t.sequence for t in found)


@pytest.fixture
def ear(server: DevServer) -> Iterator[BusEar]:
    made = BusEar(server.endpoint, TYPE)
    yield made
    made.close()


def test_a_disabled_stream_ends_within_two_seconds_and_goes_on_without_a_hole(server: DevServer, ear: BusEar) -> None:
    assert server.call("POST", "/api/v1/ticks/second:enable")[0] == 200
    wait_for("a tick on the bus", lambda: seconds(ear))
    status, stopped = server.call("POST", "/api/v1/ticks/second:disable")
    assert (status, stopped["enabled"]) == (200, False)
    stopped_ns = time.time_ns()
    wait_for("the last tick", lambda: once_each(seconds(ear))[-1]["sequence"] >= stopped["reserved_sequence"])
    time.sleep(5)  # none follows
    last = once_each(seconds(ear))[-1]
    assert last["timestamp"] <= stopped_ns + 2 * NANOS
    assert last["sequence"] == stopped["reserved_sequence"]
    assert server.call("POST", "/api/v1/ticks/second:enable")[0] == 200

    def unbroken() -> list[dict[str, Any]] | None:
        """What was heard, once further ticks were and none is on its way that is older than the newest."""
        found = once_each(seconds(ear))
        numbers = [t["sequence"] for t in found]
        goes_on = numbers[-1] > last["sequence"] + 4 and numbers == list(range(numbers[0], numbers[-1] + 1))
        return found if goes_on else None

    heard = wait_for("further ticks without a hole", unbroken)
    assert heard is not None
    assert history(server, "second", heard[0]["sequence"] - 1)[: len(heard)] == heard
    after = heard[last["sequence"] - heard[0]["sequence"] + 1]
    assert after["timestamp"] >= last["timestamp"] + 4 * NANOS, "for the pause nothing is owed"
