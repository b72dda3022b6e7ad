"""Streams and WebSockets through the server."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chalicelib.adapters.machine.system import SystemClock, SystemTasks
from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.schedules.schedule import Key
from chalicelib.server.application import Receive, Scope, Send
from chalicelib.workers import changes
from tests.kit.house import House
from tests.kit.records import execution
from tests.kit.wires import HEAD, Wires, serving

SUBSCRIBE = b"GET /api/v1/ticks/minute" + HEAD + b"Accept: text/event-stream\r\n\r\n"


@pytest.fixture
def wires() -> Iterator[Wires]:
    house = House()
    house.services = replace(house.services, clock=SystemClock())
    with serving(house=house) as running:
        yield running


def test_open_streams_have_no_threads_and_give_their_places_back(wires: Wires) -> None:
    places = wires.house.services.process.tick_streams
    before = places._free
    subscribers = [wires.connect() for _ in range(300)]
    for sock in subscribers:
        sock.sendall(SUBSCRIBE)
    for sock in subscribers:
        text = b""
        while b"retry: 1000" not in text:
            text += sock.recv(4096)
        assert text.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"transfer-encoding: chunked" in text
    assert places._free == before - len(subscribers)
    assert threading.active_count() < 60
    for sock in subscribers:
        sock.close()
    end = time.monotonic() + 9  # a stream that is silent for 15 s is written to, and would notice then
    while places._free < before:
        assert time.monotonic() < end, "a subscriber that hung up is noticed at once"
        time.sleep(0.01)


def test_a_stop_ends_streams_as_if_they_were_over(wires: Wires) -> None:
    with wires.connect() as sock:
        sock.sendall(SUBSCRIBE)
        text = b""
        while b"retry" not in text:
            text += sock.recv(4096)
        wires.server.stop()
        while piece := sock.recv(4096):
            text += piece
    assert text.endswith(b"0\r\n\r\n")


def test_a_caller_of_http_1_0_gets_what_there_is_and_no_chunks(wires: Wires) -> None:
    [answer] = wires.say(SUBSCRIBE.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert answer.body == b"retry: 1000\n\n"


def test_a_change_reaches_many_subscribers_at_once(wires: Wires) -> None:
    """They wait for a bell, and not for the next poll: the heartbeat is ten seconds away."""
    s = wires.house.services
    wires.house.services = s = replace(s, tasks=SystemTasks(SystemClock()))
    subscribers = [wires.connect() for _ in range(100)]
    for sock in subscribers:
        sock.sendall(b"GET /api/tasks/subscribe" + HEAD + b"Accept: text/event-stream\r\n\r\n")
    for sock in subscribers:
        text = b""
        while b"retry: 1000" not in text:
            text += sock.recv(4096)
    for number in range(3):
        found = execution(Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC"), 1_000 + number)
        changes.record(s, "s", [Arrived(number, "default", Change("execution", found.id, 5, None, found))])
        began = time.monotonic()
        for sock in subscribers:
            text = b""
            while b"\n\n" not in text:
                text += sock.recv(4096)
            assert f"id: {number + 1:016d}".encode() in text
            assert found.id.encode() in text
        assert time.monotonic() - began < 9, "before the heartbeat"
    for sock in subscribers:
        sock.close()


# -- WebSockets


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def masked(text: bytes) -> bytes:
    mask = os.urandom(4)
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text))


def test_a_websocket_echoes_beside_ordinary_calls() -> None:
    key = base64.b64encode(os.urandom(16))
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key
    with serving(sockets={"/ws": echo}) as wires:
        with wires.connect() as sock:
            sock.sendall(b"GET /ws" + HEAD + upgrade + b"\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
            for word in (b"first", b"second"):
                sock.sendall(masked(word))
                assert sock.recv(4096) == bytes([0x81, len(word)]) + word
        [answer] = wires.say(b"GET /elsewhere" + HEAD + b"Connection: close\r\n" + upgrade + b"\r\n\r\n")
        assert (answer.status, answer.code) == (404, "not_found")
