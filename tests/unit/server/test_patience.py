"""Slow callers hold nothing for long, callers that hang up are noticed, and a stop cuts off no answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec.structs import replace

from chalicelib.adapters.machine.signals import ThreadSignals
from chalicelib.adapters.machine.system import SystemClock
from chalicelib.process.permits import Permits
from chalicelib.server.limits import THREADS, Patience
from tests.kit.house import House
from tests.kit.wires import HEAD, answers, post, read_one, read_to_end, serving

HASTY = Patience(head_s=0.3, body_s=0.3, idle_s=0.3, stall_s=0.3, linger_s=0.2)
NOW = b"GET /api/v1/time/now" + HEAD + b"\r\n"
CREATE = b"POST /api/v1/schedules" + HEAD + b"Content-Length: 100\r\n\r\n"
LEASE = {"name": "n", "ttl_ms": 60_000}


def real_house() -> House:
    """A deployment whose clock is the machine's."""
    house, clock = House(), SystemClock()
    house.services = replace(house.services, clock=clock, signals=ThreadSignals(clock.now_ms))
    return house


def until(what: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def acquire(holder: str, wait_ms: int = 0) -> bytes:
    return post("/api/v1/leases:acquire", {**LEASE, "holder_id": holder, "wait_ms": wait_ms})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", []),
        (b"G", [408]),
        (b"GET /api/v1/time/now HTTP/1.1\r\nHost: x\r\nX-Slow: ", [408]),
        (CREATE + b"{", [408]),
        (NOW, [200]),
        (NOW + b"GET /", [200, 408]),
        (CREATE.replace(b": 100\r", b": 9000000\r") + b" " * 300_000, [413]),
    ],
)
def test_what_stays_unfinished_is_ended(sent: bytes, status: list[int]) -> None:
    with serving(patience=HASTY) as wires, wires.connect(timeout_s=30) as sock:
        begun = time.monotonic()
        sock.sendall(sent)
        assert [a.status for a in answers(read_to_end(sock))] == status
        assert time.monotonic() - begun < 12, "less than without haste"


def test_drop_by_drop_is_no_way_around_a_deadline() -> None:
    with serving(patience=HASTY) as wires, wires.connect() as sock:
        begun = time.monotonic()
        with suppress(ConnectionError):
            for byte in b"GET /api/v1/time/now HTTP/1.1\r\nX-Slow: " + b"x" * 1000:
                sock.sendall(bytes([byte]))
                time.sleep(0.02)
                if time.monotonic() - begun > 2:
                    break
        assert read_one(sock).code == "request_timeout"


def test_many_slow_callers_make_no_other_wait() -> None:
    with serving() as wires:
        begun = time.monotonic()
        slow = [wires.connect() for _ in range(3 * THREADS)]
        for number, sock in enumerate(slow):
            sock.sendall(CREATE + b"{" if number % 2 else b"GET /api/v1/time/now HT")
        for _ in range(20):
            assert wires.say(NOW.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))[0].status == 200
        assert time.monotonic() - begun < Patience().head_s, "before any of them is given up"
        for sock in slow:
            sock.close()


def test_a_caller_that_does_not_read_is_cut_off() -> None:
    house = real_house()
    with serving(patience=HASTY, house=house) as wires, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", wires.server.port))
        sock.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            for _ in range(400):
                sock.sendall((b"GET /api/v1/openapi.json" + HEAD + b"\r\n") * 4)
        until(lambda: _is_cut(sock))


def _is_cut(sock: socket.socket) -> bool:
    try:
        sock.send(b"x")
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


def test_a_held_call_learns_that_its_caller_hung_up_also_behind_further_requests() -> None:
    house = real_house()
    held = house.services.process.held_calls
    few = replace(house.services.process, held_calls=Permits(1))
    house.services = replace(house.services, process=few)
    assert held is not few.held_calls
    with serving(house=house) as wires:
        with wires.connect() as sock:
            sock.sendall(acquire("a"))
            assert read_one(sock).json["acquired"] is True
        waiting = wires.connect()
        waiting.sendall(acquire("b", 20_000) + NOW)
        until(lambda: few.held_calls._free == 0)
        waiting.close()
        until(lambda: few.held_calls._free == 1, 15)  # before its wait ends by itself
        with wires.connect() as sock:
            sock.sendall(post("/api/v1/leases:release", {"name": "n", "holder_id": "a", "fencing_token": 1}))
            assert read_one(sock).status == 200
            sock.sendall(acquire("c"))
            assert read_one(sock).json["acquired"] is False, "b's place stands until its ttl ends, and c is behind it"


def test_as_many_held_calls_as_there_are_leave_threads_for_others() -> None:
    house = real_house()
    with serving(house=house) as wires:
        with wires.connect() as sock:
            sock.sendall(acquire("a"))
            assert read_one(sock).json["acquired"] is True
        waiting = [wires.connect() for _ in range(2 * THREADS)]
        for number, sock in enumerate(waiting):
            sock.sendall(acquire(f"w{number}", 20_000))
        with wires.connect() as sock:
            sock.settimeout(15)  # before a held call ends by itself
            for _ in range(10):
                sock.sendall(NOW)
                assert read_one(sock).status == 200
        for sock in waiting:
            sock.close()


def test_a_stop_answers_what_is_held_and_ends_what_is_idle() -> None:
    house = real_house()
    with serving(house=house) as wires:
        with wires.connect() as sock:
            sock.sendall(acquire("a"))
            read_one(sock)
        held, before = house.services.process.held_calls, house.services.process.held_calls._free
        idle, waiting = wires.connect(), wires.connect()
        idle.sendall(NOW)
        read_one(idle)
        waiting.sendall(acquire("b", 20_000))
        until(lambda: held._free == before - 1)
        begun = time.monotonic()
        threading.Thread(target=wires.server.stop).start()
        [answer] = answers(read_to_end(waiting))
        assert (answer.status, answer.json["acquired"], answer.headers["Connection"]) == (200, False, "close")
        assert read_to_end(idle) == b""
        assert time.monotonic() - begun < 15, "before the wait ends by itself"
        with pytest.raises(ConnectionError):
            wires.connect()
        idle.close()
        waiting.close()
