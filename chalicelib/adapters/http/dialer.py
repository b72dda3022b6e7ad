"""Who may be called, and a connection to them: names resolved, all addresses judged, one of them dialled.

A name is resolved anew for each delivery. A kept connection is used again only by a delivery whose name leads to that
very address now. So a name that moved takes its connections along, and one that was rebound gains nothing.
"""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from chalicelib.adapters.http.connection import Connection, HttpCall, Peer, Pool, connect
from chalicelib.adapters.http.resolver import Resolver, resolve_within
from chalicelib.adapters.http.trust import trusting
from chalicelib.core.targets.ssrf import Address, WebhookUrl, check_address

PREPARED_MAX_COUNT = 1024
PREPARED_CONNECTIONS_MAX = 64
PREPARED_S = 30.0  # what was prepared and not dispatched by then is given up


class AddressRefused(Exception):
    """Raised when policy forbids a call; no retry can change that."""


class Prepared(NamedTuple):
    """What was found out before the instant. The addresses are kept even when forbidden: a name is asked only once."""

    addresses: tuple[Address, ...]
    peer: Peer | None
    connection: Connection | None
    since_s: float


class Dialer:
    """Thread-safe; one a process, so that connections are shared."""

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        allow: Sequence[str],
        resolver: Resolver,
        pool: Pool | None = None,
        ca_file: str | None = None,
    ) -> None:
        """``allow`` is CHRONO_WEBHOOK_ALLOW taken apart; ``ca_file`` holds certificates trusted beside the system's."""
        self._monotonic_s = monotonic_s
        self._allow = tuple(allow)
        self._resolver = resolver
        self._pool = pool or Pool(monotonic_s)
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._prepared: OrderedDict[Hashable, Prepared] = OrderedDict()
        self._held = 0  # connections among what is prepared

    def resolve(self, url: WebhookUrl, call: HttpCall) -> tuple[Address, ...]:
        """The addresses of a URL's host, asked now."""
        if url.literal is not None:
            return (url.literal,)
        return resolve_within(self._resolver, url.host, url.port, call.remaining_s())

    def judge(self, url: WebhookUrl, addresses: Sequence[Address]) -> list[Peer]:
        """The peers that may be called. Raises AddressRefused when one of a name's addresses may not.

        One is enough: a name that leads both outside and inside is not an accident. To dial only what is public would
        leave the choice to the order of the next look-up's answers.
        """
        for address in addresses:
            problem = check_address(url.host, address, self._allow)
            if problem is not None:
                raise AddressRefused(f"{url.host}: {problem}")
        return [Peer(url.scheme, url.host, address, url.port) for address in addresses]

    def open_kept(self, allowed: Sequence[Peer], prepared: Prepared | None = None) -> tuple[Peer, Connection | None]:
        """A connection opened earlier to a peer that was judged just now, or None."""
        if prepared is not None and prepared.connection is not None and prepared.peer is not None:
            if prepared.peer in allowed and prepared.connection.is_open():
                return prepared.peer, prepared.connection
            prepared.connection.close()
        for peer in allowed:
            if (connection := self._pool.take(peer)) is not None:
                return peer, connection
        return allowed[0], None

    def connect(self, url: WebhookUrl, allowed: Sequence[Peer], call: HttpCall) -> tuple[Peer, Connection]:
        """Connect to the first peer that answers; each has an even share of the time that is left."""
        tls = self._tls_context() if url.scheme == "https" else None
        for position, peer in enumerate(allowed[:-1]):
            try:
                return peer, connect(peer, call, tls, call.remaining_s() / (len(allowed) - position))
            except ssl.SSLError:
                raise
            except OSError:
                continue  # such as ::1 for a server that listens on 127.0.0.1 only
        return allowed[-1], connect(allowed[-1], call, tls, call.remaining_s())

    def put_back(self, peer: Peer, connection: Connection) -> None:
        """Keep a connection for the next delivery."""
        self._pool.put(peer, connection)

    def close(self) -> None:
        """Close what is kept: idle connections and those prepared and never used."""
        with self._lock:
            prepared = [self._drop(key) for key in list(self._prepared)]
        _close([each for each in prepared if each is not None])
        self._pool.close()

    # -- before the instant

    def prepare(self, key: Hashable, url: WebhookUrl, call: HttpCall) -> None:
        """Resolve the name. Raises what resolving raises."""
        self._keep(key, Prepared(self.resolve(url, call), None, None, self._monotonic_s()))

    def prepare_connection(self, key: Hashable, url: WebhookUrl, call: HttpCall) -> None:
        """Connect to what was prepared, where that saves round trips. Raises AddressRefused, OSError."""
        with self._lock:
            known, held = self._prepared.get(key), self._held
        if known is None:
            return
        allowed = self.judge(url, known.addresses)
        if url.scheme == "http" and all(peer.address.is_loopback for peer in allowed):
            return  # saves no round trip, and would block a simple server that serves one connection at a time
        if held >= PREPARED_CONNECTIONS_MAX:
            return
        peer, connection = self.open_kept(allowed)
        if connection is None:
            peer, connection = self.connect(url, allowed, call)
        self._keep(key, Prepared(known.addresses, peer, connection, self._monotonic_s()))

    def take(self, key: Hashable) -> Prepared | None:
        """What was prepared under ``key``, once."""
        with self._lock:
            prepared = self._drop(key)
        if prepared is not None and self._monotonic_s() - prepared.since_s > PREPARED_S:
            _close([prepared])
            return None
        return prepared

    def _keep(self, key: Hashable, prepared: Prepared) -> None:
        limit_s = self._monotonic_s() - PREPARED_S
        with self._lock:
            given_up = [self._drop(key)]
            self._prepared[key] = prepared
            self._held += prepared.connection is not None
            while len(self._prepared) > PREPARED_MAX_COUNT or next(iter(self._prepared.values())).since_s < limit_s:
                given_up.append(self._drop(next(iter(self._prepared))))
        _close([each for each in given_up if each is not None])

    def _drop(self, key: Hashable) -> Prepared | None:
        """Under the lock: what was prepared under ``key`` is no longer kept here."""
        prepared = self._prepared.pop(key, None)
        self._held -= prepared is not None and prepared.connection is not None
        return prepared

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                context = trusting(self._ca_file)
                context.set_alpn_protocols(["http/1.1"])
                self._tls = context
            return self._tls


def _close(prepared: Sequence[Prepared]) -> None:
    for each in prepared:
        if each.connection is not None:
            each.connection.close()
