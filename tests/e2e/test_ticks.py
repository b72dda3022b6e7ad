"""Ticks of the real dev server: on the bus, over HTTP and SSE, through the Python client, and through kill -9.

``CHRONO_TICKS_RUN_S=600`` makes the first test the full measurement; with ``-s`` it prints what it measured.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.e2e.bus import Arrival, BusEar
from tests.e2e.dev_server import ROOT, DevServer, wait_for

NANOS = 1_000_000_000
RUN_S = int(os.environ.get("CHRONO_TICKS_RUN_S", "10"))
TYPE = "chronowatch.ticks.v1"

NewServer = Callable[..., DevServer]


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


@pytest.fixture
def ear(server: DevServer) -> Iterator[BusEar]:
    made = BusEar(server.endpoint, TYPE)
    yield made
    made.close()


def seconds(ear: BusEar) -> list[Arrival]:
    return [a for a in ear.heard() if a.detail["frequency"] == "second"]


@pytest.mark.parametrize("run_s", [RUN_S])
def test_second_ticks_arrive_on_the_bus_at_their_instants(server: DevServer, ear: BusEar, run_s: int) -> None:
    assert server.call("POST", "/api/v1/ticks/second:enable")[0] == 200
    wait_for(f"{run_s} ticks", lambda: len(seconds(ear)) >= run_s, run_s + 30)
    arrivals = seconds(ear)
    ticks = once_each(arrivals)
    assert len(ticks) == len(arrivals) >= run_s
    check_seconds(ticks, ticks[0]["sequence"])
    assert history(server, "second", ticks[0]["sequence"] - 1)[: len(ticks)] == ticks
    late_ms = sorted(a.at_ms - a.detail["timestamp"] // 1_000_000 for a in arrivals)
    p50, p99 = late_ms[len(late_ms) // 2], late_ms[len(late_ms) * 99 // 100 - (len(late_ms) < 100)]
    print(f"\n{len(ticks)} ticks on the bus: lateness p50 {p50} ms, p99 {p99} ms, most {late_ms[-1]} ms")
    assert late_ms[0] >= 0
    assert p50 <= 50  # machines that run tests are busy; the full run says what holds on one that is not


def test_the_other_frequencies_have_their_places(server: DevServer) -> None:
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


def test_a_subscriber_gets_ticks_as_they_pass_and_goes_on_where_it_left_off(server: DevServer) -> None:
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    first = events(server, None, 4)
    assert all(number == tick["sequence"] for number, tick, _ in first)
    # The newest one comes at once, the others when their instants come.
    assert all(0 <= at - tick["timestamp"] < NANOS // 2 for _, tick, at in first[1:])
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


def test_a_disabled_stream_ends_within_two_seconds_and_goes_on_without_a_hole(server: DevServer, ear: BusEar) -> None:
    assert server.call("POST", "/api/v1/ticks/second:enable")[0] == 200
    wait_for("a tick on the bus", lambda: seconds(ear))
    status, stopped = server.call("POST", "/api/v1/ticks/second:disable")
    assert (status, stopped["enabled"]) == (200, False)
    stopped_ns = time.time_ns()
    time.sleep(5)
    last = once_each(seconds(ear))[-1]
    assert last["timestamp"] <= stopped_ns + 2 * NANOS
    assert last["sequence"] == stopped["reserved_sequence"]
    assert server.call("POST", "/api/v1/ticks/second:enable")[0] == 200
    wait_for("further ticks", lambda: once_each(seconds(ear))[-1]["sequence"] > last["sequence"] + 4)
    time.sleep(1.5)
    heard = once_each(seconds(ear))
    assert [t["sequence"] for t in heard] == list(range(heard[0]["sequence"], heard[-1]["sequence"] + 1))
    assert history(server, "second", heard[0]["sequence"] - 1)[: len(heard)] == heard
    after = heard[last["sequence"] - heard[0]["sequence"] + 1]
    assert after["timestamp"] >= last["timestamp"] + 4 * NANOS, "for the pause nothing is owed"


def test_a_killed_producer_leaves_no_hole_in_the_history(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    for _ in range(3):
        worker = server.pids()["worker"]
        os.kill(worker, signal.SIGKILL)
        wait_for("another worker", lambda killed=worker: server.pids().get("worker") not in (None, killed), 30)
        time.sleep(1.5)
    ticks = history(server, "second")
    check_seconds(ticks, 1)
    assert time.time_ns() - ticks[-1]["timestamp"] < 2 * NANOS


@pytest.mark.slow
def test_what_a_killed_worker_had_in_hand_is_published_after_all_under_the_same_ids(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    ear = BusEar(server.endpoint, TYPE)
    begin = wait_for("the first ticks", lambda: history(server, "second"))[-1]["sequence"] + 3
    wait_for("a tick on the bus", lambda: any(t["sequence"] >= begin for t in once_each(ear.heard())))
    server.kill_all_but_the_emulator()
    time.sleep(3)
    server.start()
    # Messages that were received stay hidden for as long as their function may run, a minute.
    wait_for("seventy ticks", lambda: len([t for t in once_each(ear.heard()) if t["sequence"] >= begin]) >= 100, 180)
    time.sleep(2)
    ear.close()
    ticks = [t for t in once_each(ear.heard()) if t["sequence"] >= begin]
    check_seconds(ticks, begin)
    assert history(server, "second", begin - 1)[: len(ticks)] == ticks
