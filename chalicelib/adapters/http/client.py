"""Calls to services that the operator named, such as Vault: one request, one answer, one deadline, no proxy.

Their addresses are not judged: they lie inside by intention. Redirects are not followed, since a token must not follow.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address

from chalicelib.adapters.http.answer import UNREADABLE, HttpAnswer
from chalicelib.adapters.http.connection import ANSWER_MAX_BYTES, Connection, HttpCall, Peer, connect
from chalicelib.adapters.http.resolver import Resolver, resolve_within, system_resolver
from chalicelib.adapters.http.trust import trusting
from chalicelib.core.targets.ssrf import WebhookUrl, parse_url

TIMEOUT_S = 5.0


class NoAnswer(Exception):
    """Raised when a service gave no answer that can be read in time."""


class HttpClient:
    """Calls one service. Thread-safe; each call has a connection of its own, since calls are rare."""

    def __init__(
        self,
        base_url: str,
        *,
        monotonic_s: Callable[[], float],
        ca_file: str | None = None,
        timeout_s: float = TIMEOUT_S,
        resolver: Resolver = system_resolver,
    ) -> None:
        """``ca_file`` holds certificates that are trusted beside the system's."""
        self._base_url = base_url.rstrip("/")
        self._monotonic_s = monotonic_s
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> HttpAnswer:
        """One exchange. ``path`` begins with a slash and may have a query. Raises NoAnswer, which names no header."""
        url = parse_url(self._base_url + path)
        call = HttpCall(self._monotonic_s() + self._timeout_s, self._monotonic_s)
        try:
            connection = self._connect(url, call)
            try:
                connection.begin(call)
                connection.sendall(_request(method, url, headers, body))
                return _answer(connection)
            finally:
                connection.close()
        except UNREADABLE as error:
            raise NoAnswer(f"{url.authority}: {type(error).__name__}: {error}") from error

    def _connect(self, url: WebhookUrl, call: HttpCall) -> Connection:
        addresses: Sequence[object] = (url.literal,)
        if url.literal is None:
            addresses = resolve_within(self._resolver, url.host, url.port, call.remaining_s())
        tls = self._tls_context() if url.scheme == "https" else None
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            peer = Peer(url.scheme, url.host, ip_address(str(address)), url.port)
            try:
                return connect(peer, call, tls, call.remaining_s() / (len(addresses) - position))
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        assert failure is not None, "a name has an address"
        raise failure

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = trusting(self._ca_file)
            return self._tls


def _request(method: str, url: WebhookUrl, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {url.path} HTTP/1.1", f"Host: {url.authority}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    if any(not line.isprintable() for line in lines):
        raise OSError("a header holds a line break or another control character")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


def _answer(connection: Connection) -> HttpAnswer:
    answer = HttpAnswer()
    while not answer.is_complete:
        if answer.body_bytes > ANSWER_MAX_BYTES:
            raise OSError("the answer is too large")
        answer.feed(connection.receive())
    return answer
