"""The API as an ASGI application: calls on threads, streams and WebSockets on the event loop.

A body is read here, before the call gets a thread, and never more of it than the limit. So a slow caller costs memory
and no thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from chalicelib.api.http.connection import CallerConnection, EventSource, Step
from chalicelib.api.http.edge import Asked, Edge, Opened
from chalicelib.api.http.problem import too_large
from chalicelib.core.errors import BadRequest, ChronoError
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.server.compression import compressed
from chalicelib.server.limits import (
    HELD_THREADS,
    QUEUED_CALLS_MAX,
    STREAM_BATCH,
    STREAM_THREADS,
    THREADS,
)
from chalicelib.server.streams import Streams
from chalicelib.server.threads import CallThreads

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Socket = Callable[[Scope, Receive, Send], Awaitable[None]]

# What the protocol leaves in the state of a scope: the caller's connection, and the target as it came.
CONNECTION = "chronowatch.connection"
TARGET = "chronowatch.target"

_log = logging.getLogger(__name__)


class CallerGone(Exception):
    """Raised when a caller hangs up before its request is whole."""


class Application:
    """``sockets`` are WebSocket endpoints by path, each an ASGI application."""

    def __init__(self, edge: Edge, sockets: Mapping[str, Socket]) -> None:
        self.edge = edge
        self.sockets = sockets
        self._calls = CallThreads("call", THREADS, QUEUED_CALLS_MAX)
        self._held = CallThreads("held", HELD_THREADS, QUEUED_CALLS_MAX)
        self._streams = Streams(STREAM_THREADS, STREAM_BATCH)
        self._pumps: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        if scope["type"] == "websocket":
            await self.sockets[scope["path"]](scope, receive, send)
            return
        try:
            opened = await self._open(scope, receive)
        except CallerGone:
            return
        except ChronoError as error:
            opened = Opened(*self.edge.refuse(error))
        except Exception as problem:
            _log.error("a request ended in %s", type(problem).__qualname__)
            opened = Opened(*self.edge.refuse(ChronoError("an internal error occurred")))
        await send({"type": "http.response.start", "status": opened.status, "headers": _encoded(opened.headers)})
        if opened.source is None:
            await send({"type": "http.response.body", "body": opened.body})
        else:
            await self._stream(opened.source, receive, send)

    async def _open(self, scope: Scope, receive: Receive) -> Opened:
        path, _, query = scope["state"][TARGET].partition("?")
        headers = _headers(scope["headers"])
        body = await _body(headers, receive)
        asked = Asked(scope["method"], path, query, headers, body)
        caller: CallerConnection = scope["state"][CONNECTION]
        threads = self._held if self.edge.may_hold(asked.method, path) else self._calls
        may_stream = scope["http_version"] == "1.1"  # an older caller knows no chunks
        opened = await threads.run(partial(self._answer, asked, caller, may_stream))
        if callable(body) and "expect" in headers:
            opened.headers["Connection"] = "close"  # it has not sent the body, and need not
        return opened

    def _answer(self, asked: Asked, caller: CallerConnection, may_stream: bool) -> Opened:
        """The answer, compressed here and not on the event loop, where all others would wait for it."""
        opened = self.edge.open(asked, caller, may_stream)
        if opened.source is not None or asked.method == "HEAD":
            return opened
        return replace(opened, body=compressed(asked.headers, opened.headers, opened.body))

    async def _stream(self, source: EventSource, receive: Receive, send: Send) -> None:
        """Send the pieces as they come; end with the stream, with its subscriber, or with the server."""
        pump = asyncio.create_task(self.pump(source, send))
        self._pumps.add(pump)
        watch = asyncio.create_task(_end_with_caller(receive, pump))
        try:
            await asyncio.wait([pump])
            if not pump.cancelled() and pump.exception() is not None:
                _log.error("a stream ended in %s", type(pump.exception()).__qualname__)
        finally:
            watch.cancel()
            self._pumps.discard(pump)
            source.close()
        await send({"type": "http.response.body", "body": b""})

    async def pump(self, source: EventSource, send: Send) -> None:
        """Send the pieces of a stream as they come, until its end."""
        step: Step | None = None
        while step is None or step.wait_s is not None:
            step = await self._streams.next(source, step)
            if step.piece:
                await send({"type": "http.response.body", "body": step.piece, "more_body": True})

    def end_streams(self) -> None:
        """Let every stream end as if it were over; its subscriber comes back, to another server."""
        for pump in self._pumps:
            pump.cancel()

    def close(self) -> None:
        """Begin nothing more."""
        self._calls.close()
        self._held.close()
        self._streams.close()


async def _end_with_caller(receive: Receive, pump: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    pump.cancel()


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes | Callable[[], bytes]:
    """The body; for one over the limit what refuses it, read no further. Raises BadRequest, CallerGone."""
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdecimal()):
        raise BadRequest("Content-Length is not a number")
    if int(declared) > BODY_MAX_BYTES:
        return _refuse_size
    pieces: list[bytes] = []
    length = 0
    if declared == "0" and "transfer-encoding" not in headers:
        return b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        pieces.append(message["body"])
        length += len(message["body"])
        if length > BODY_MAX_BYTES:
            return _refuse_size
        if not message["more_body"]:
            return b"".join(pieces)


def _refuse_size() -> bytes:
    raise too_large()


def _headers(given: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name; values of one name are joined as RFC 9110, section 5.3, allows."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in given:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
