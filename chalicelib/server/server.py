"""Serves the API on a socket: accepts, hands each connection its protocol, and stops without cutting off answers."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from uvicorn.config import Config

from chalicelib.api.http.edge import Edge
from chalicelib.core.errors import SettingsError, Unavailable
from chalicelib.server.application import Application, Socket
from chalicelib.server.limits import (
    BACKLOG,
    CERTIFICATES_CHECK_S,
    CONNECTIONS_MAX,
    DRAIN_S,
    HANDSHAKE_TIMEOUT_S,
    SOCKET_MESSAGE_MAX_BYTES,
    Patience,
)
from chalicelib.server.protocol import HttpProtocol, Shared, message
from chalicelib.server.tls import Certificates, TlsFiles

NO_SOCKETS: Final[Mapping[str, Socket]] = MappingProxyType({})
DEFAULT_PATIENCE: Final = Patience()
_ACCEPT_AGAIN_S = 0.2  # after the machine had no descriptor or memory for one more
_SPARE_FILES = 256  # descriptors for all else: AWS, logs, tables

_log = logging.getLogger(__name__)


class Server:
    """Bound from the start; ``run`` serves until ``stop``. ``now_ms`` dates the answers.

    Raises OSError when the address cannot be bound, SettingsError when a file of ``tls`` is wrong.
    """

    def __init__(
        self,
        edge: Edge,
        host: str,
        port: int,
        now_ms: Callable[[], int],
        tls: TlsFiles | None = None,
        sockets: Mapping[str, Socket] = NO_SOCKETS,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self._edge = edge
        self._now_ms = now_ms
        self._sockets = sockets
        self._patience = patience
        self._certificates = None if tls is None else Certificates(tls)
        self._listening = _bind(host, port)
        self._connections_max = min(CONNECTIONS_MAX, _descriptors() - _SPARE_FILES)
        self._port = int(self._listening.getsockname()[1])
        self._open = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The port it is bound to."""
        return self._port

    def run(self) -> None:
        """Serve until ``stop``, on this thread."""
        asyncio.run(self._serve())

    def start(self) -> threading.Thread:
        """Serve on a thread of its own."""
        thread = threading.Thread(target=self.run, name="server", daemon=True)
        thread.start()
        self._ready.wait()
        return thread

    def stop(self) -> None:
        """Ask ``run`` to end, from any thread. Calls under way get DRAIN_S; streams and held calls end at once."""
        self._ready.wait()
        assert self._loop is not None
        assert self._stop is not None
        try:
            self._loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            return  # it has ended

    # -- the event loop

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = Application(self._edge, self._sockets)
        shared = Shared(application, _config(application), self._patience, self._now_ms)
        works: list[asyncio.Task[None]] = []
        if self._certificates is not None:
            works.append(asyncio.create_task(self._renew(self._certificates)))
        self._listen(shared)
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            for work in works:
                work.cancel()
            self._loop.remove_reader(self._listening)
            self._listening.close()
            await _drain(shared)
            application.close()

    def _accept(self, shared: Shared) -> None:
        """All who wait to be let in."""
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            try:
                accepted, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as problem:
                _log.warning("no connection was accepted: %s", problem)
                loop.remove_reader(self._listening)
                loop.call_later(_ACCEPT_AGAIN_S, self._listen, shared)
                return
            self._open += 1
            if self._open > self._connections_max:
                self._turn_away(accepted)
                continue
            accepted.setblocking(False)
            task = loop.create_task(self._begin(accepted, shared))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
            task.add_done_callback(partial(_close_unbegun, accepted))

    def _listen(self, shared: Shared) -> None:
        if not shared.stopping:
            asyncio.get_running_loop().add_reader(self._listening, self._accept, shared)

    async def _begin(self, accepted: socket.socket, shared: Shared) -> None:
        """The handshake of a connection, with the certificates of now."""
        context = None if self._certificates is None else self._certificates.context
        timeout_s = None if context is None else HANDSHAKE_TIMEOUT_S
        began = False

        def protocol() -> HttpProtocol:
            return HttpProtocol(shared, self._lost)

        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, accepted, ssl=context, ssl_handshake_timeout=timeout_s
            )
            began = True
        except (OSError, ssl.SSLError) as problem:
            _log.debug("a connection was refused in the handshake: %s", problem)
        finally:
            if not began:
                accepted.close()
                self._lost()

    def _lost(self) -> None:
        self._open -= 1

    def _turn_away(self, accepted: socket.socket) -> None:
        """One connection too many: say so where that takes no handshake."""
        self._lost()
        with accepted:
            if self._certificates is not None:
                return
            answer = message(*self._edge.refuse(Unavailable("this server has no more connections", code="overloaded")))
            try:
                accepted.setblocking(False)
                accepted.send(answer)
            except OSError:
                return  # it is gone already

    async def _renew(self, certificates: Certificates) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_CHECK_S)
            try:
                if certificates.renew():
                    _log.info("the certificates were read anew")
            except SettingsError as problem:
                _log.warning("the certificates stay as they were: %s", problem)


def _close_unbegun(accepted: socket.socket, task: asyncio.Task[None]) -> None:
    """A task that is cancelled before it begins runs no ``finally`` of its own."""
    if task.cancelled():
        accepted.close()


async def _drain(shared: Shared) -> None:
    """End what waits, and let what works end."""
    shared.stopping = True
    shared.application.end_streams()
    for connection in list(shared.connections):
        connection.shutdown()
    if shared.tasks:
        _, late = await asyncio.wait(set(shared.tasks), timeout=DRAIN_S)
        if late:
            _log.info("stopped with %d calls under way", len(late))


def _config(application: Application) -> Config:
    config = Config(
        application,
        interface="asgi3",
        http=HttpProtocol,
        ws="websockets-sansio",
        ws_max_size=SOCKET_MESSAGE_MAX_BYTES,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _descriptors() -> int:
    """How many files this process may open; as many as it is allowed to allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
