"""Connections to webhooks: opened to one judged address, ended by one deadline, kept for the next delivery.

Why not urllib3, which botocore ships? A delivery must go to the very address that was judged, with the certificate
checked against the name, never through a proxy. Its deadline is for the whole exchange, where urllib3's read timeout
starts anew with every byte. A cancel must be able to close it from another thread. With ``http.answer`` reading the
answers, what is left to write is this page.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from chalicelib.adapters.http.answer import RECEIVE_BYTES, is_open
from chalicelib.core.targets.ssrf import Address

ANSWER_MAX_BYTES = 256 * 1024  # head, interim answers and body together, as they come over the wire


class Peer(NamedTuple):
    """Whom a connection belongs to: only a delivery to the same name at the same address may use it again."""

    scheme: str
    host: str
    address: Address
    port: int


class Cancelled(Exception):
    """Raised in the thread of a delivery that was cancelled."""


class HttpCall:
    """One exchange under way: its deadline, and the socket that a cancel has to close."""

    def __init__(self, deadline_s: float, monotonic_s: Callable[[], float]) -> None:
        self.cancelled = False
        self._deadline_s = deadline_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def remaining_s(self) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self._deadline_s - self._monotonic_s()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def attach(self, sock: socket.socket) -> None:
        """From now on a cancel closes ``sock``. Raises Cancelled when it came already."""
        with self._lock:
            self._socket = sock
            if self.cancelled:
                raise Cancelled

    def detach(self) -> bool:
        """From now on a cancel closes nothing. False when it came already: then the socket is of no more use."""
        with self._lock:
            self._socket = None
            return not self.cancelled

    def cancel(self) -> None:
        """End the exchange at once: a thread that waits on its socket wakes up."""
        with self._lock:
            self.cancelled = True
            if self._socket is not None:
                # close() would leave a blocked read blocked. The plain socket's shutdown, since that of an SSLSocket
                # takes the TLS object away under the thread that is using it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Connection:
    """A connected socket, every operation ended by the call's deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.received_bytes = 0
        self._socket = sock
        self._call: HttpCall | None = None

    def begin(self, call: HttpCall) -> None:
        """Serve ``call`` from now on. Raises Cancelled."""
        call.attach(self._socket)
        self._call = call
        self.received_bytes = 0

    def sendall(self, data: bytes) -> None:
        """Send everything. Raises TimeoutError, OSError."""
        view = memoryview(data)
        while view:
            self._arm()
            view = view[self._socket.send(view) :]

    def receive(self) -> bytes:
        """Read some bytes; none at the end. Raises TimeoutError, and OSError when the answer is endless."""
        self._arm()
        data = self._socket.recv(RECEIVE_BYTES)
        self.received_bytes += len(data)
        if self.received_bytes > ANSWER_MAX_BYTES:
            raise OSError("the answer is too large")
        return data

    def is_open(self) -> bool:
        """Whether an idle connection can still be used."""
        return is_open(self._socket)

    def close(self) -> None:
        """Close it; whatever is wrong with it no longer matters."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _arm(self) -> None:
        assert self._call is not None
        self._socket.settimeout(self._call.remaining_s())


def connect(peer: Peer, call: HttpCall, tls: ssl.SSLContext | None, timeout_s: float) -> Connection:
    """Open a connection to ``peer.address``; with ``tls``, its certificate must be for ``peer.host``.

    Raises Cancelled, TimeoutError after ``timeout_s``, ssl.SSLError, OSError. Never uses a proxy.
    """
    family = socket.AF_INET if peer.address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        call.attach(sock)
        sock.settimeout(timeout_s)
        sock.connect((str(peer.address), peer.port))
        # Head and body go out in one write, and nothing may wait for the acknowledgement of what went before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=peer.host, do_handshake_on_connect=False)
            call.attach(sock)
            sock.settimeout(min(timeout_s, call.remaining_s()))
            sock.do_handshake()
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


class _Idle(NamedTuple):
    peer: Peer
    since_s: float


class Pool:
    """Idle connections, at most ``max_idle`` in all and ``max_idle_per_peer`` for one peer, each for ``idle_s``.

    A herd has as many under way to one peer as it can. If few of them were kept, each of the others would cost the next
    one a handshake.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        *,
        max_idle: int = 256,
        max_idle_per_peer: int = 64,
        idle_s: float = 15.0,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._max_idle = max_idle
        self._max_idle_per_peer = max_idle_per_peer
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: OrderedDict[Connection, _Idle] = OrderedDict()  # the oldest first, as in each of the next
        self._of_peer: dict[Peer, deque[Connection]] = {}

    def take(self, peer: Peer) -> Connection | None:
        """A connection to ``peer`` that was open a moment ago, or None."""
        while (found := self._pop(peer)) is not None:
            if found.is_open():
                return found
            found.close()
        return None

    def put(self, peer: Peer, connection: Connection) -> None:
        """Keep ``connection`` for the next delivery, or close it when there are enough."""
        with self._lock:
            closing = self._expired()
            mine = self._of_peer.get(peer, ())
            if len(mine) >= self._max_idle_per_peer:
                closing.append(connection)
            else:
                self._of_peer.setdefault(peer, deque()).append(connection)
                self._idle[connection] = _Idle(peer, self._monotonic_s())
                closing += [self._drop_oldest() for _ in range(len(self._idle) - self._max_idle)]
        for each in closing:
            each.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            closing = [self._drop_oldest() for _ in range(len(self._idle))]
        for each in closing:
            each.close()

    def _pop(self, peer: Peer) -> Connection | None:
        """The most recently used one: the likeliest to be still open."""
        with self._lock:
            closing = self._expired()
            mine = self._of_peer.get(peer)
            found = mine.pop() if mine else None
            if found is not None:
                self._forget(found)
        for each in closing:
            each.close()
        return found

    def _expired(self) -> list[Connection]:
        limit_s = self._monotonic_s() - self._idle_s
        expired = []
        while self._idle and next(iter(self._idle.values())).since_s < limit_s:
            expired.append(self._drop_oldest())
        return expired

    def _drop_oldest(self) -> Connection:
        connection, idle = next(iter(self._idle.items()))
        self._of_peer[idle.peer].popleft()
        self._forget(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        """It has been taken from its peer's."""
        peer = self._idle.pop(connection).peer
        if not self._of_peer[peer]:
            del self._of_peer[peer]
