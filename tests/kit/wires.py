"""The product's server around a deployment in memory, and callers that speak to it byte by byte."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.server.application import Socket
from chalicelib.server.limits import Patience
from chalicelib.server.server import Server
from chalicelib.server.tls import TlsFiles
from tests.kit.house import Answer, House

HEAD = b" HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Wires:
    """A server that runs, and connections to it."""

    house: House
    server: Server

    def connect(self, context: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout_s)
        return plain if context is None else context.wrap_socket(plain, server_hostname="localhost")

    def say(self, sent: bytes) -> list[Answer]:
        """All answers on a connection of its own, until the server ends it."""
        with self.connect() as sock:
            with suppress(ConnectionError):  # it need not read all of what it refuses
                sock.sendall(sent)
            return answers(read_to_end(sock))


def read_to_end(sock: socket.socket) -> bytes:
    got = b""
    while piece := sock.recv(65_536):
        got += piece
    return got


def read_one(sock: socket.socket) -> Answer:
    """The next answer of a connection; it must have a Content-Length, or no body."""
    got = b""
    while not (found := answers(got)):
        piece = sock.recv(65_536)
        assert piece, f"it ended after {got!r}"
        got += piece
    return found[0]


def answers(raw: bytes) -> list[Answer]:
    """The whole answers in ``raw``."""
    found = []
    while b"\r\n\r\n" in raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {_name(n): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("Content-Length", "0"))
        if len(rest) < length:
            break
        found.append(Answer(int(first.split()[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


def _name(name: str) -> str:
    return {"x-chrono-hlc": "X-Chrono-HLC", "traceparent": "traceparent"}.get(name.lower(), name.title())


def post(path: str, body: Any, extra: bytes = b"") -> bytes:
    raw = json.dumps(body).encode()
    head = b"POST " + path.encode() + HEAD + b"Content-Type: application/json\r\n" + extra
    return head + b"Content-Length: %d\r\n\r\n" % len(raw) + raw


@contextmanager
def serving(
    tls: TlsFiles | None = None,
    sockets: Mapping[str, Socket] | None = None,
    patience: Patience | None = None,
    house: House | None = None,
) -> Iterator[Wires]:
    """A server over an empty deployment, until the block ends."""
    house = house or House()
    now_ms = house.services.clock.now_ms
    server = Server(house.edge, "127.0.0.1", 0, now_ms, tls, sockets or {}, patience or Patience())
    thread = server.start()
    try:
        yield Wires(house, server)
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
