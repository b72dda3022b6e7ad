"""HTTP/1.1 of one connection: uvicorn's protocol on llhttp, made strict, bounded, and polite in its refusals.

What is no request is answered as problem+json, after the answers that are owed before it, and the connection ends.
Every phase of a connection has a deadline, so that slow callers hold nothing for long.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chalicelib.api.http.connection import CallerConnection, ClientCertificate
from chalicelib.core.errors import BadRequest, ChronoError, HeadersTooLarge, TooSlow, UriTooLong, VersionNotSupported
from chalicelib.server import client_certificates
from chalicelib.server.application import CONNECTION, TARGET, Application
from chalicelib.server.limits import (
    HEAD_MAX_BYTES,
    PIPELINED_MAX,
    READ_MAX_BYTES,
    TARGET_MAX_BYTES,
    Patience,
)

_HOST: Final = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S{1,4096}) HTTP/1\.[01]\r?\n")
_ABSOLUTE: Final = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")


class Shared(ServerState):
    """What the connections of one server share."""

    def __init__(self, application: Application, config: Config, patience: Patience, now_ms: Callable[[], int]) -> None:
        super().__init__()
        self.patience = patience
        self.application = application
        self.config = config
        self.stopping = False
        self._now_ms = now_ms
        self._dated_s = -1

    def keep_time(self) -> None:
        """Date the answers. It is asked for by those who are read from: a server at rest has no clock to wind."""
        now_s = self._now_ms() // 1000
        if now_s != self._dated_s:
            self._dated_s = now_s
            self.default_headers = [(b"date", formatdate(now_s, usegmt=True).encode())]


class HttpProtocol(HttpToolsProtocol):
    """One connection. uvicorn reads, writes and keeps the order of answers; what it leaves open is here."""

    def __init__(self, shared: Shared, lost: Callable[[], None]) -> None:
        super().__init__(shared.config, shared, {})
        self.access_log = False
        self._shared = shared
        self._lost = lost
        self._certificate: ClientCertificate | None = None
        self._active: RequestResponseCycle | None = None  # the request whose answer is made
        self._reading: RequestResponseCycle | None = None  # the request whose body is still coming
        self._in_head = False
        self._head_bytes = 0  # of its headers that are whole
        self._unfinished_bytes = 0  # that came while it was read
        self._begun = 0  # requests of which some part is in the piece that is being parsed
        self._dropped_bytes = 0
        self._last_words: bytes | None = None  # goes out after the answers that are owed before it
        self._over = False  # nothing more is read: what comes is dropped
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = client_certificates.read(tls.getpeercert())
        self._arm(self._shared.patience.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in (self._active, *waiting):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._disarm()
        if self._stalled is not None:
            self._stalled.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._lost()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self._in_head and self._reading is None:
            self.transport.close()  # it has not begun to ask
            return
        what = "headers" if self._reading is None else "body"
        self._fail(TooSlow(f"the {what} of the request took too long to arrive"))

    def pause_writing(self) -> None:
        """The caller does not read what it asked for."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._shared.patience.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    # -- reading

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless nothing more is taken."""
        if self._over:
            self._drop(len(data))
            return
        self._shared.keep_time()
        self._unfinished_bytes = self._unfinished_bytes + len(data) if self._in_head else 0
        self._begun = 1 if self._in_head or self._reading is not None else 0
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__ if isinstance(error.__context__, ChronoError) else _unreadable(error))
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._disarm()
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            self._fail_to_parse(error, data)
        else:
            if self._in_head and self._unfinished_bytes > HEAD_MAX_BYTES:
                self._fail(_headers_too_large())

    def _drop(self, count: int) -> None:
        """Count what is read to no purpose; it must not go on for ever."""
        self._dropped_bytes += count
        if self._dropped_bytes > READ_MAX_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._in_head, self._head_bytes, self._dropped_bytes = True, 0, 0
        self._arm(self._shared.patience.head_s)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > TARGET_MAX_BYTES:
            raise UriTooLong(f"path and query may have at most {TARGET_MAX_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + len(b": \r\n")
        if self._head_bytes > HEAD_MAX_BYTES:
            raise _headers_too_large()

    def on_headers_complete(self) -> None:
        """The head is whole: judge it, and begin the call, or line it up behind those before it."""
        self._check_head()
        self._in_head = False
        if self.parser.should_upgrade() and self._should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        cycle = self._begin()
        self._reading = cycle
        self._arm(self._shared.patience.body_s)
        if self._active is None or self._active.response_complete:
            self._start(cycle)
        else:
            self.pipeline.appendleft((cycle, self.app))
            if len(self.pipeline) >= PIPELINED_MAX:
                self.flow.pause_reading()

    def _check_head(self) -> None:
        """Raises what is wrong with a head that can be read (RFC 9112, sections 2.3, 3.2 and 6.1)."""
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise VersionNotSupported("HTTP/1.1 and 1.0 are spoken here")
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise BadRequest("a request must have one Host header")
        if hosts and _HOST.fullmatch(hosts[0].strip()) is None:
            raise BadRequest("Host is no name or address")
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise BadRequest("Transfer-Encoding: only chunked is understood, and only in HTTP/1.1")
        if codings and any(name == b"content-length" for name, _ in self.headers):
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other")

    def _begin(self) -> RequestResponseCycle:
        version = self.parser.get_http_version()
        target = _ABSOLUTE.sub(b"", self.url) if not self.url.startswith(b"/") else self.url
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["state"][TARGET] = (target or b"/").decode("latin-1")
        outlet = _Outlet(self.transport, self._close)
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=outlet,  # type: ignore[arg-type] # all that it uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive() and not self.parser.should_upgrade(),
            on_response=partial(self._answered, outlet),
        )
        self.scope["state"][CONNECTION] = self._connection(self.cycle)
        return self.cycle

    def _connection(self, cycle: RequestResponseCycle) -> CallerConnection:
        shared = self._shared
        address = self.client[0] if self.client else ""
        return CallerConnection(lambda: cycle.disconnected or shared.stopping, address, self._certificate)

    def _start(self, cycle: RequestResponseCycle) -> None:
        self._active = cycle
        cycle.keep_alive = cycle.keep_alive and not self._shared.stopping
        self._start_asgi_task(cycle, self.app)

    def on_body(self, body: bytes) -> None:
        if self._reading is None:
            return  # an upgrade
        if self._reading.response_complete:
            self._drop(len(body))
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._reading is None:
            return  # an upgrade
        cycle, self._reading = self._reading, None
        self._disarm()
        super().on_message_complete()
        if cycle.response_complete and self._active is cycle:
            self._rest()

    # -- answering

    def _answered(self, outlet: _Outlet) -> None:
        outlet.flush()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or say the last words, or rest."""
        self.server_state.total_requests += 1
        if (self._over and self._last_words is None) or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])
        elif self._last_words is not None:
            self._end_with(self._last_words)
        elif self._reading is None:
            self._rest()

    def _rest(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self._shared.patience.idle_s, self.timeout_keep_alive_handler
        )

    def _fail_to_parse(self, error: httptools.HttpParserError, data: bytes) -> None:
        """A method that no standard knows is refused as any other that a path does not have."""
        found = _REQUEST_LINE.match(data) if self._begun <= 1 else None
        if isinstance(error, httptools.HttpParserInvalidMethodError) and found is not None:
            path, _, query = found[2].decode("latin-1").partition("?")
            status, headers, body = self._shared.application.edge.handle(found[1].decode(), path, query, {})
            self._finish(message(status, headers, body))
            return
        self._fail(_unreadable(error))

    def _fail(self, error: ChronoError) -> None:
        """End with the answer to what was no request."""
        status, headers, body = self._shared.application.edge.refuse(error)
        self._finish(message(status, headers, body))

    def _finish(self, last_words: bytes) -> None:
        self._over = True
        self._disarm()
        broken, self._reading = self._reading, None
        if broken is not None and broken is self._active:
            if broken.response_started:
                self.transport.abort() if not broken.response_complete else self.transport.close()
                return
            broken.disconnected = True  # the call that waits for its body learns that there is none
            broken.message_event.set()
        elif broken is not None:
            self.pipeline = type(self.pipeline)(entry for entry in self.pipeline if entry[0] is not broken)
        if self._active is None or self._active.response_complete or self._active is broken:
            self._end_with(last_words)
        else:
            self._last_words = last_words

    def _close(self) -> None:
        """After the last answer: at once, unless more of its request is still to come."""
        if self._reading is None:
            self.transport.close()
        else:
            self._end_with(b"")

    def _end_with(self, last_words: bytes) -> None:
        """Write, and let the caller read it: closed at once, unread data of its own would take the answer away."""
        self._over = True
        self._last_words = None
        self.flow.resume_reading()
        self.transport.write(last_words)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._disarm()
        self._unset_keepalive_if_required()
        self._deadline = self.loop.call_later(self._shared.patience.linger_s, self.transport.close)

    # -- WebSockets

    def _should_upgrade(self) -> bool:
        """Only where there is one; any other request to upgrade is answered as if it had not asked (RFC 9110, 7.8)."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        return path in self._shared.application.sockets and bool(super()._should_upgrade())

    def shutdown(self) -> None:
        """The server stops: end now when nothing is under way, else after that."""
        if self._active is None or self._active.response_complete:
            self.transport.close()
            return
        for cycle in (self._active, *(entry[0] for entry in self.pipeline)):
            cycle.keep_alive = False


class _Outlet:
    """What an answer is written to: the transport, closed in our way, its head in one piece with what follows."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._head: bytes | None = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send; the head of an answer waits for the first piece of its body, which comes in the same breath."""
        if self._head == b"" and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        elif self._head:
            head, self._head = self._head, None
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """After the answer: it may have had no body."""
        self.flush()
        self._close()

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._head:
            head, self._head = self._head, None
            self._transport.write(head)


def _headers_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"a request's headers may have at most {HEAD_MAX_BYTES} bytes")


def _unreadable(error: Exception) -> ChronoError:
    text = str(error.args[0]) if error.args else "it cannot be read"
    if "HTTP version" in text or "PRI" in text:
        return VersionNotSupported("HTTP/1.1 and 1.0 are spoken here")
    return BadRequest(f"not a request of HTTP/1.1: {text}")


def message(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """A whole answer, after which the connection ends."""
    lines = [f"{name}: {value}\r\n" for name, value in {**headers, "Connection": "close"}.items()]
    return b"".join([STATUS_LINE[status], "".join(lines).encode("latin-1"), b"\r\n", body])
