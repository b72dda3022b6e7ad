"""Calls, retries, ticks and schedules."""

from __future__ import annotations

import inspect
import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from chronowatch import ApiError, Client, LeaseNotHeld, Retries, Tick, Unreachable, resources
from chronowatch.testing import FakeServer
from chronowatch.transport import Answered

S = 1_000_000_000


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "/api"])
def test_a_wrong_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Client(url)


def test_an_error_of_the_service_keeps_status_code_and_detail(client: Client) -> None:
    with pytest.raises(LeaseNotHeld) as refused:
        client.leases.renew("job", "me", 1)
    assert (refused.value.status, refused.value.code, refused.value.detail) == (409, "lease_not_held", "job")
    with pytest.raises(ApiError) as unknown:
        client.schedules.get("nope")
    assert unknown.value.status == 404


def test_nobody_there(unused_port: int) -> None:
    slept: list[float] = []
    with (
        Client(f"http://127.0.0.1:{unused_port}", retries=Retries(3, slept.append)) as client,
        pytest.raises(Unreachable),
    ):
        client.schedules.get("x")
    assert len(slept) == 2
    assert all(0 <= s <= 2 for s in slept)


@pytest.fixture
def unused_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads one request on each connection, sends the next answer as it is, and closes."""
    requests: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        thread.join()


def http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: keep-alive", *headers, "", body]
    return "\r\n".join(lines).encode()


def test_retry_after_is_honoured_and_a_closed_kept_connection_is_opened_again() -> None:
    slept: list[float] = []
    busy = http("503 Service Unavailable", '{"code":"unavailable"}', "Retry-After: 7")
    with (
        answering(busy, http("200 OK", '{"id":"a"}'), http("200 OK", '{"id":"b"}')) as (url, requests),
        Client(url, retries=Retries(2, slept.append)) as client,
    ):
        first: object = client.schedules.get("a")
        assert first == {"id": "a"}
        second: object = client.schedules.get("b")
        assert second == {"id": "b"}
    assert slept[0] == 7
    assert [r.split(b" ", 2)[1] for r in requests] == [
        b"/api/v1/schedules/a",
        b"/api/v1/schedules/a",
        b"/api/v1/schedules/b",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", "<html>a proxy's page</html>"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"junk\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_unreachable(answer: bytes) -> None:
    with (
        answering(answer) as (url, _),
        Client(url, retries=Retries(1)) as client,
        pytest.raises(Unreachable),
    ):
        client.schedules.get("a")


def test_an_error_page_that_is_not_json_keeps_its_status() -> None:
    with (
        answering(http("403 Forbidden", "<html>")) as (url, _),
        Client(url) as client,
        pytest.raises(ApiError) as refused,
    ):
        client.schedules.get("a")
    assert (refused.value.status, refused.value.code) == (403, "unknown")


def test_a_server_that_says_nothing_times_out() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout=0.2, retries=Retries(1)) as client, pytest.raises(Unreachable, match="timed out"):
            client.schedules.get("a")


@pytest.mark.parametrize("prefix", ["", "/stage", "/stage/"])
def test_headers_are_asked_for_before_every_call_and_the_path_keeps_its_prefix(prefix: str) -> None:
    count = itertools.count()
    headers: Callable[[], dict[str, str]] = lambda: {"Authorization": f"Bearer t{next(count)}"}  # noqa: E731
    ok = http("200 OK", "{}", "Connection: close")
    with answering(ok, ok) as (url, requests), Client(url + prefix, headers=headers) as client:
        client.schedules.get("a/b c")
        client.schedules.get("a")
    assert b"Authorization: Bearer t0" in requests[0]
    assert b"Authorization: Bearer t1" in requests[1]
    assert requests[0].startswith(b"GET " + prefix.rstrip("/").encode() + b"/api/v1/schedules/a%2Fb%20c ")


# -- schedules


def test_a_lost_answer_does_not_make_a_second_schedule(server: FakeServer, client: Client) -> None:
    server.fault("schedules", "lose_answer")
    made = client.schedules.create("RATE", "rate:5s", name="beat")
    found: object = client.schedules.get(made["id"])
    assert found == {"id": made["id"], "type": "RATE", "expr": "rate:5s", "name": "beat"}
    assert [s["name"] for s in client.schedules.list()] == ["beat"]


def test_lists_go_through_all_pages(client: Client) -> None:
    for i in range(7):
        client.schedules.create("RATE", "rate:5s", name=f"n{i}")
    assert sorted(str(s["name"]) for s in client.schedules.list(limit=2)) == [f"n{i}" for i in range(7)]


# -- ticks


def test_ticks_come_once_and_in_order_from_where_one_left_off(server: FakeServer, client: Client) -> None:
    for i in range(1, 8):
        server.emit("second", i * S)
    found = list(client.ticks("second", follow=False, limit=3))
    assert [t.sequence for t in found] == list(range(1, 8))
    assert found[0] == Tick("second-1000000000-1", S, "second", 1, S ^ 1, 1, "fake", "fake")
    assert [t.sequence for t in client.ticks("second", 5, follow=False)] == [6, 7]
    assert list(client.ticks("minute", follow=False)) == []


def test_following_waits_for_the_next_and_stops_when_told(server: FakeServer, client: Client) -> None:
    stop = threading.Event()
    server.emit("second", S)
    stream = client.ticks("second", stop=stop)
    assert next(stream).sequence == 1

    def emit_later() -> None:
        server.wait_for_call("ticks", 3)
        server.emit("second", 2 * S)

    later = threading.Thread(target=emit_later)
    later.start()
    assert next(stream).sequence == 2
    later.join()
    stop.set()
    assert list(stream) == []


class _Anything:
    """A transport that answers every call, and keeps the headers of the last."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}

    def call(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        self.headers = how.get("headers") or {}
        return {"items": [], "next_page_token": None}

    def exchange(self, method: str, path: str, body: Any = None, **how: Any) -> Answered:
        self.headers = how.get("headers") or {}
        return Answered(200, {}, b"text")


def _nouns() -> list[type]:
    return [
        each for each in vars(resources).values() if isinstance(each, type) and each.__module__ == resources.__name__
    ]


@pytest.mark.parametrize("noun", _nouns(), ids=lambda noun: noun.__name__)
def test_every_call_takes_all_that_it_offers(noun: type) -> None:
    transport = _Anything()
    for name, method in inspect.getmembers(noun(transport), inspect.ismethod):
        if name.startswith("_"):
            continue
        said = dict.fromkeys(inspect.signature(method).parameters, "1")
        found = method(**said)
        if inspect.isgenerator(found):
            assert list(found) == []
        elif "if_match" in said:
            assert transport.headers["If-Match"] == '"1"'
