"""The answer to an HTTP/1.1 request (RFC 9112) as its bytes come in, parsed by httptools.

Used by all who send requests: deliveries to webhooks, and the calls of botocore's clients.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

import httptools

RECEIVE_BYTES = 64 * 1024

# What ``HttpAnswer.feed`` raises, with what sockets raise: the answer cannot be read.
UNREADABLE = (OSError, httptools.HttpParserError)


class BrokenOff(ConnectionError):
    """Raised when the peer closed the connection before its answer was complete."""


class HttpAnswer:
    """One answer. httptools calls the methods that begin with ``on_``."""

    def __init__(self) -> None:
        self.status = 0  # until the head is complete
        self.reason = ""
        self._headers: list[tuple[bytes, bytes]] = []  # as they came: most are never asked for
        self.body_bytes = 0
        self.is_complete = False
        self.is_kept = False  # whether the connection can serve another request after this
        self._has_begun = False
        self._parts: list[bytes] = []
        # The parser holds this answer too. It is let go at the end: a ring would wait for a collection of all garbage.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # "A recipient MAY recognize a single LF as a line terminator" (RFC 9112, section 2.2), and servers rely on it.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    @property
    def headers(self) -> dict[str, str]:
        """The headers so far, by their names in lower case."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._headers}

    @property
    def body(self) -> bytes:
        """What has come of it."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def feed(self, data: bytes) -> None:
        """What was read; nothing at all when the connection has ended. Raises BrokenOff, HttpParserError.

        The status of a status line that was read stands, also when a header after it cannot be read.
        """
        if data:
            self._has_begun = True
            self._parse(data)
            if self.is_complete:
                self._parser = None
        elif not self._has_begun:
            raise BrokenOff("the connection was closed without an answer")
        elif not self.is_complete:
            # A body of no stated length lasts until the connection ends; any other must be complete by then.
            stated = self.is_kept or not self.headers.keys().isdisjoint(("content-length", "transfer-encoding"))
            if stated or not self.status:
                raise BrokenOff("the connection was closed before the answer was complete")
            self.is_complete = True

    def _parse(self, data: bytes) -> None:
        if self._parser is None:  # nothing asked for more than the answer
            self.is_kept = False
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # no request asks for another protocol: its 101 is the answer
            self.is_complete, self.is_kept = True, False
        except httptools.HttpParserInvalidStatusError:
            raise
        except httptools.HttpParserError:
            self.is_kept = False
            if not self.status and self._parser.get_status_code() >= 200:
                self.status = self._parser.get_status_code()
            raise

    def on_message_begin(self) -> None:
        """Another answer than the one that was asked for leaves the connection of no more use."""
        if self.is_complete:
            self.is_kept = False

    def on_status(self, reason: bytes) -> None:
        """The words after the status."""
        if not self.is_complete:
            self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self.is_complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there."""
        if not self.is_complete and self._parser is not None:
            self.status = self._parser.get_status_code()
            self.is_kept = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.is_complete:
            self._parts.append(data)
            self.body_bytes += len(data)

    def on_message_complete(self) -> None:
        """The end, unless it is of an interim answer: the one that counts follows."""
        if self.status >= 200 or (self._parser is not None and self._parser.should_upgrade()):
            self.is_complete = True
        elif not self.is_complete:
            self.status, self.reason, self.is_kept = 0, "", False
            self._headers.clear()


def is_open(sock: socket.socket) -> bool:
    """Whether an idle connection was neither closed by the peer nor holds bytes that no request asked for.

    Reading, not polling: TLS 1.3 tickets make a connection readable without there being anything to read. The
    socket is left non-blocking.
    """
    sock.settimeout(0)
    with contextlib.suppress(OSError):
        try:
            sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
    return False
