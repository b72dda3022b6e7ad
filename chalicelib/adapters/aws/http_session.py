"""How botocore's requests reach the wire: kept connections, and one write a request.

botocore sends through urllib3 and ``http.client``, which take two fifths of the CPU time of a call to DynamoDB. Calls
are most of what a firing costs. A client asks its session only to ``send`` and to ``close``. This one does that over
direct connections, and leaves to botocore's own what has to go through a proxy.

What goes wrong is raised as botocore's exceptions, by what is known: before anything was sent
``EndpointConnectionError``, ``ConnectTimeoutError`` or ``SSLError``; after that ``ReadTimeoutError`` or
``ConnectionClosedError``. ``adapters.aws.clients`` judges by them, and it alone repeats calls.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from botocore import exceptions
from botocore.awsrequest import AWSResponse
from botocore.utils import get_environ_proxies

from chalicelib.adapters.aws import sending
from chalicelib.adapters.http.answer import RECEIVE_BYTES, UNREADABLE, BrokenOff, HttpAnswer, is_open

DEFAULT_PORTS = {"http": 80, "https": 443}
PLACES_MAX = 256


class Address(NamedTuple):
    """Where a URL leads: connections to equal addresses serve each other's requests."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, parts: SplitResult) -> Address:
        """Where a URL that was taken apart leads."""
        return cls(parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])

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


class HttpSession:
    """What a botocore client sends with. Safe to share between threads."""

    def __init__(
        self, proxied: Any, *, connect_timeout_s: float, read_timeout_s: float, max_idle: int, ca_file: str
    ) -> None:
        """``proxied`` is botocore's own session, ``read_timeout_s`` for each read, ``ca_file`` what certificates are
        trusted."""
        self.on_sent: Callable[[Any], None] | None = None  # hears of each request that passed no proxy
        self._proxied = proxied
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_idle = max_idle
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Address, list[socket.socket]] = {}
        self._busy: set[socket.socket] | None = None  # kept for those who may want to break off their calls
        self._is_broken_off = False
        self._places: dict[str, tuple[Address, str] | None] = {}
        weakref.finalize(self, _close, self._idle)  # a client that is dropped gets no call of close

    def send(self, request: Any) -> AWSResponse:
        """Send a prepared request and read its answer to the end."""
        place = self._place(request.url)
        if place is None:
            return self._proxied.send(request)
        address, path = place
        answer = self.exchange(address, request.url, _encoded(request, address, path), request)
        if self.on_sent is not None:
            self.on_sent(request)
        return self.answer(request.url, answer)

    def exchange(self, address: Address, url: str, data: bytes, request: Any = None) -> HttpAnswer:
        """Send ``data``, a whole request to ``url``, and read its answer to the end."""
        sock = self._take(address) or self._connect(address, url)
        answer, keep = HttpAnswer(), False
        if self._busy is not None:
            self._busy.add(sock)
        try:
            if self._is_broken_off:
                raise BrokenOff("calls were broken off")
            sock.sendall(data)
            sending.written()
            while not answer.is_complete:
                answer.feed(sock.recv(RECEIVE_BYTES))
            keep = answer.is_kept
        except TimeoutError as error:
            raise exceptions.ReadTimeoutError(endpoint_url=url, error=error) from error
        except UNREADABLE as error:
            raise exceptions.ConnectionClosedError(endpoint_url=url, request=request, error=error) from error
        finally:
            if self._busy is not None:
                self._busy.discard(sock)
            if keep:
                self._keep(address, sock)
            else:
                sock.close()
        return answer

    def answer(self, url: str, answer: HttpAnswer) -> AWSResponse:
        """An answer as botocore reads it."""
        return AWSResponse(url, answer.status, answer.headers, _Body(answer.body))

    def allow_break_off(self) -> None:
        """Let calls from now on be broken off."""
        self._busy = set()

    def break_off(self) -> None:
        """End the calls that are under way with ``ConnectionClosedError``, and so all that begin later."""
        self._is_broken_off = True
        for sock in tuple(self._busy or ()):
            with contextlib.suppress(OSError):  # it has just ended
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            _close(self._idle)
        self._proxied.close()

    def _place(self, url: str) -> tuple[Address, str] | None:
        """Where a URL leads, and its path; None when a proxy is set for it in the environment. Of the few that a
        client's operations have, each is taken apart once."""
        if url in self._places:
            return self._places[url]
        parts = urlsplit(url)
        address = Address.of(parts)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        found = None if get_environ_proxies(url) else (address, path)
        if len(self._places) < PLACES_MAX:
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
            if is_open(sock):
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
        """A new connection. Raises ConnectTimeoutError, SSLError, EndpointConnectionError."""
        try:
            sock = socket.create_connection((address.host, address.port), self._connect_timeout_s)
            try:
                return self._prepared(sock, address)
            except BaseException:
                sock.close()
                raise
        except TimeoutError as error:
            raise exceptions.ConnectTimeoutError(endpoint_url=url, error=error) from error
        except ssl.SSLError as error:
            raise exceptions.SSLError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise exceptions.EndpointConnectionError(endpoint_url=url, error=error) from error

    def _prepared(self, sock: socket.socket, address: Address) -> socket.socket:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if address.scheme == "https":
            sock = self._context().wrap_socket(sock, server_hostname=address.host)
        sock.settimeout(self._read_timeout_s)
        return sock

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self._ca_file)
            return self._tls


def _close(idle: dict[Address, list[socket.socket]]) -> None:
    for several in idle.values():
        while several:
            several.pop().close()


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
