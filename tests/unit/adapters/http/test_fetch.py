"""One document by GET: bounded in time and size, from exactly where it was asked for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chalicelib.adapters.http.fetch import Fetcher
from chalicelib.core.errors import Unavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@contextmanager
def _serving(answer: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """A server that takes one connection, and gives it what ``answer`` sends for its request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                answer(connection, connection.recv(65536))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys?x=1"
    finally:
        listener.close()
        thread.join(5)


def _fetcher(timeout_s: float = 30.0, max_bytes: int = 1000) -> Fetcher:
    return Fetcher(time.monotonic, timeout_s=timeout_s, max_bytes=max_bytes)


def test_a_document() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(HEAD + b"{}")

    with _serving(answer) as url:
        assert _fetcher().get(url, "application/json") == b"{}"
    assert seen[0].startswith(b"GET /keys?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n" in seen[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
def test_what_is_no_document_is_unavailable(sent: bytes) -> None:
    with _serving(lambda connection, _: connection.sendall(sent)) as url, pytest.raises(Unavailable):
        _fetcher().get(url, "application/json")


def test_one_deadline_for_all_of_it_however_slowly_it_comes() -> None:
    measured = threading.Event()

    def drip(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(HEAD[:-2])
        with suppress(OSError):
            while not measured.wait(0.02):
                connection.sendall(b"x: y\r\n")

    with _serving(drip) as url:
        began_s = time.monotonic()
        with pytest.raises(Unavailable, match="TimeoutError"):
            _fetcher(timeout_s=0.3).get(url, "application/json")
        took_s = time.monotonic() - began_s
        measured.set()
    assert took_s < 10


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port} did not answer"):
        _fetcher().get(f"http://127.0.0.1:{port}/", "application/json")
