"""One document over HTTP(S): one deadline for all of it, a bounded answer, no redirects, no proxy."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from chalicelib.adapters.http.answer import UNREADABLE, HttpAnswer
from chalicelib.adapters.http.connection import Connection, HttpCall, Peer, connect
from chalicelib.adapters.http.resolver import Resolver, resolve_within, system_resolver
from chalicelib.core.errors import Unavailable
from chalicelib.core.targets.ssrf import WebhookUrl, parse_url

USER_AGENT: Final = "ChronoWatch/1"


class Fetcher:
    """Fetches documents of at most ``max_bytes``, each within ``timeout_s``. Any number of threads may call it."""

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        *,
        timeout_s: float,
        max_bytes: int,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._resolver = resolver

    def get(self, url: str, accept: str) -> bytes:
        """The document at ``url``. Raises Unavailable, which names the host and what went wrong, for all but a 200."""
        parts = parse_url(url)
        call = HttpCall(self._monotonic_s() + self._timeout_s, self._monotonic_s)
        try:
            peers = self._peers(parts, call)
            request = (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.authority}\r\nUser-Agent: {USER_AGENT}\r\n"
                f"Accept: {accept}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
            )
            answer = self._exchange(_connected(peers, call), request.encode("latin-1"), call)
        except UNREADABLE as error:
            raise Unavailable(f"{parts.authority} did not answer: {type(error).__name__}") from error
        if answer.status != 200:
            raise Unavailable(f"{parts.authority} answered {answer.status} where 200 was expected")
        return answer.body

    def post_form(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer to a form. Raises Unavailable where there is none."""
        parts = parse_url(url)
        call = HttpCall(self._monotonic_s() + self._timeout_s, self._monotonic_s)
        body = urlencode(fields).encode("ascii")
        try:
            peers = self._peers(parts, call)
            head = (
                f"POST {parts.path} HTTP/1.1\r\nHost: {parts.authority}\r\nUser-Agent: {USER_AGENT}\r\n"
                f"Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            answer = self._exchange(_connected(peers, call), head.encode("latin-1") + body, call)
        except UNREADABLE as error:
            raise Unavailable(f"{parts.authority} did not answer: {type(error).__name__}") from error
        return answer.status, answer.body

    def _peers(self, parts: WebhookUrl, call: HttpCall) -> list[Peer]:
        if parts.literal is not None:
            return [Peer(parts.scheme, parts.host, parts.literal, parts.port)]
        addresses = resolve_within(self._resolver, parts.host, parts.port, call.remaining_s())
        return [Peer(parts.scheme, parts.host, address, parts.port) for address in addresses]

    def _exchange(self, connection: Connection, request: bytes, call: HttpCall) -> HttpAnswer:
        try:
            connection.begin(call)
            connection.sendall(request)
            answer = HttpAnswer()
            while not answer.is_complete:
                answer.feed(connection.receive())
                if answer.body_bytes > self._max_bytes:
                    raise OSError("the answer is too large")
            return answer
        finally:
            call.detach()
            connection.close()


def _connected(peers: list[Peer], call: HttpCall) -> Connection:
    """A connection to the first peer that answers; each has an even share of the time that is left."""
    tls = ssl.create_default_context() if peers[0].scheme == "https" else None
    for position, peer in enumerate(peers[:-1]):
        try:
            return connect(peer, call, tls, call.remaining_s() / (len(peers) - position))
        except ssl.SSLError:
            raise
        except OSError:
            continue  # such as ::1 for a server that listens on 127.0.0.1 only
    return connect(peers[-1], call, tls, call.remaining_s())
