"""How botocore's requests reach the wire: kept connections, one write a request, answers parsed outside of Python.

botocore sends through urllib3 and ``http.client``, which take two fifths of the CPU time of a call to DynamoDB, and
calls are most of what a firing costs. A client asks its session only to ``send``; this one does that for direct
connections. Through a proxy botocore's own session stays (``is_direct``).

What goes wrong is raised as botocore's exceptions, by what is known: before anything was sent
``EndpointConnectionError``, ``ConnectTimeoutError`` or ``SSLError``; after that ``ReadTimeoutError`` or
``ConnectionClosedError``. ``adapters.aws`` judges by them, and it alone repeats calls.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httptools
from botocore import exceptions
from botocore.awsrequest import AWSResponse
from botocore.utils import get_environ_proxies

RECEIVE_BYTES = 64 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Where a URL leads: connections to equal addresses serve each other's requests."""

    scheme: str
    host: str
    port: int

    @property
    def host_header(self) -> str:
        """As botocore signs it: without the port that goes without saying."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"


class _Body(io.BytesIO):
    """An answer's body as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        """All of it, in one piece."""
        yield self.read()


class _Answer:
    """An answer as its bytes come in; httptools calls the methods that begin with ``on_``."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_kept = False
        self.is_complete = False
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def receive(self, sock: socket.socket) -> None:
        """Read all of it. Raises OSError, HttpParserError."""
        while not self.is_complete:
            data = sock.recv(RECEIVE_BYTES)
            if not data:
                break
            self._parser.feed_data(data)
        # A body of no stated length lasts until the connection ends; any other must be complete by then.
        stated = self.is_kept or not self.headers.keys().isdisjoint(("content-length", "transfer-encoding"))
        if not self.is_complete and (stated or not self.status):
            raise ConnectionError("the connection was closed before the answer was complete")

    @property
    def body(self) -> bytes:
        """What was received."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def on_message_begin(self) -> None:
        """Another answer than the one that was asked for leaves the connection of no more use."""
        if self.is_complete:
            self.is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self.is_complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        if not self.is_complete:
            self.status = self._parser.get_status_code()
            self.is_kept = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.is_complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The end, unless it is of an interim answer: the one that counts follows."""
        if self.status >= 200:
            self.is_complete = True
        else:
            self.status, self.is_kept = 0, False
            self.headers.clear()


class HttpSession:
    """What a botocore client sends with. Safe to share between threads."""

    def __init__(self, *, connect_timeout_s: float, read_timeout_s: float, max_idle: int, ca_file: str) -> None:
        """``read_timeout_s`` is for each read; ``ca_file`` holds the certificates that are trusted."""
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_idle = max_idle
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Address, list[socket.socket]] = {}
        self._places: dict[str, tuple[Address, str]] = {}

    def send(self, request: Any) -> AWSResponse:
        """Send a prepared request and read its answer to the end."""
        address, path = self._place(request.url)
        data = _encoded(request, address, path)
        sock = self._take(address) or self._connect(address, request.url)
        answer = _Answer()
        try:
            sock.sendall(data)
            answer.receive(sock)
        except TimeoutError as error:
            sock.close()
            raise exceptions.ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, httptools.HttpParserError) as error:
            sock.close()
            raise exceptions.ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        except BaseException:
            sock.close()
            raise
        if answer.is_complete and answer.is_kept:
            self._keep(address, sock)
        else:
            sock.close()
        return AWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle = [sock for several in self._idle.values() for sock in several]
            self._idle.clear()
        for sock in idle:
            sock.close()

    def _place(self, url: str) -> tuple[Address, str]:
        """Where a URL leads, and its path: of the few that a client's operations have, each is taken apart once."""
        found = self._places.get(url)
        if found is None:
            parts = urlsplit(url)
            address = Address(parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
            found = address, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if len(self._places) < self._max_idle:
                self._places[url] = found
        return found

    def _take(self, address: Address) -> socket.socket | None:
        """The connection that was used last, if it still is open: what AWS closed must not cost a call."""
        while True:
            with self._lock:
                idle = self._idle.get(address)
                if not idle:
                    return None
                sock = idle.pop()
            if _is_open(sock):
                sock.settimeout(self._read_timeout_s)
                return sock
            sock.close()

    def _keep(self, address: Address, sock: socket.socket) -> None:
        with self._lock:
            idle = self._idle.setdefault(address, [])
            if len(idle) < self._max_idle:
                idle.append(sock)
                return
        sock.close()

    def _connect(self, address: Address, url: str) -> socket.socket:
        try:
            sock = socket.create_connection((address.host, address.port), self._connect_timeout_s)
        except TimeoutError as error:
            raise exceptions.ConnectTimeoutError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise exceptions.EndpointConnectionError(endpoint_url=url, error=error) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if address.scheme == "https":
                sock = self._context().wrap_socket(sock, server_hostname=address.host)
            sock.settimeout(self._read_timeout_s)
        except TimeoutError as error:
            sock.close()
            raise exceptions.ConnectTimeoutError(endpoint_url=url, error=error) from error
        except ssl.SSLError as error:
            sock.close()
            raise exceptions.SSLError(endpoint_url=url, error=error) from error
        except OSError as error:
            sock.close()
            raise exceptions.EndpointConnectionError(endpoint_url=url, error=error) from error
        return sock

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self._ca_file)
            return self._tls


def is_direct(url: str) -> bool:
    """Whether no proxy is set for ``url`` in the environment."""
    return not get_environ_proxies(url)


def _is_open(sock: socket.socket) -> bool:
    """Whether an idle connection was neither closed by the peer nor holds bytes that nobody asked for.

    Reading, not polling: TLS 1.3 tickets make a connection readable without there being anything to read.
    """
    sock.settimeout(0)
    with contextlib.suppress(OSError):
        try:
            sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
    return False


def _encoded(request: Any, address: Address, path: str) -> bytes:
    """The whole request in one piece. Raises ValueError when a header would break the lines."""
    body = _body_of(request)
    names = set()
    lines = [f"{request.method} {path} HTTP/1.1"]
    for name, value in request.headers.items():
        names.add(name.lower())
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    if "host" not in names:
        lines.append(f"Host: {address.host_header}")
    if "content-length" not in names and (body or request.method != "GET"):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header holds a line break")
    return f"{head}\r\n\r\n".encode("latin-1") + body


def _body_of(request: Any) -> bytes:
    body = request.body
    if isinstance(body, bytes):
        return body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("latin-1")  # as http.client does, and as botocore counts its length
    data = body.read()
    assert isinstance(data, bytes), "botocore gives bytes to be sent"
    return data
