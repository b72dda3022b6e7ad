#!/usr/bin/env python3
"""Receive ChronoWatch's firings as webhooks: verify the Standard Webhooks signature, print each with its lateness.

Notifications and cancellations come in the same form, and are printed with their type.

Standard library only, so that it can be copied into a service as it is.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300
BODY_MAX_BYTES = 1024 * 1024
SEEN_MAX_COUNT = 100_000


class Refused(Exception):
    """Raised when a request is not an authentic firing; carries the HTTP status to answer with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def decode_secret(text: str) -> bytes:
    """The key in ``whsec_`` + base64. Raises ValueError."""
    if not text.startswith("whsec_"):
        raise ValueError("the secret must begin with whsec_")
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows whsec_ must be base64: {error}") from None
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now_s: float, tolerance_s: float = TOLERANCE_S) -> None:
    """Check that ``body`` was signed with ``key`` not long ago. Raises Refused.

    The timestamp is signed too, so a recorded request is worth nothing after ``tolerance_s`` seconds.
    """
    message_id, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
    signatures = headers.get("webhook-signature")
    if not (message_id and timestamp and signatures):
        raise Refused(401, "the request is not signed")
    if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > tolerance_s:
        raise Refused(401, "the timestamp is too far from this clock")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = [each.removeprefix("v1,").encode() for each in signatures.split() if each.startswith("v1,")]
    if not any(hmac.compare_digest(expected, each) for each in given):  # several while a secret is rotated
        raise Refused(401, "the signature does not match")


def lateness_ms(firing: dict[str, Any], now_s: float) -> int:
    """Milliseconds from the firing's instant to ``now_s``."""
    instant = datetime.fromisoformat(firing["time"].replace("Z", "+00:00"))
    return round((now_s - instant.timestamp()) * 1000)


class Handler(BaseHTTPRequestHandler):
    """Answers 204 to a firing and to the service's other events, 401 to a forgery, 400 to anything else."""

    protocol_version = "HTTP/1.1"  # keeps the connection for the next firing
    timeout = 60
    key: bytes | None = None
    tolerance_s: float = TOLERANCE_S
    seen: set[str]

    def do_POST(self) -> None:
        """One event."""
        now_s = time.time()
        try:
            firing = self._firing(now_s)
        except Refused as refused:
            print(f"refused: {refused}", file=sys.stderr, flush=True)
            self.close_connection = True
            self._answer(refused.status, str(refused))
            return
        # A retry comes with the same id: work that must happen once is keyed by it.
        if len(self.seen) >= SEEN_MAX_COUNT:
            self.seen.clear()
        again = "  (again)" if firing["id"] in self.seen else ""
        self.seen.add(firing["id"])
        data = json.dumps(firing.get("data"), ensure_ascii=False)
        late = lateness_ms(firing, now_s)
        what = f"attempt {firing['attempt']}" if "attempt" in firing else firing["type"]
        print(f"{firing['time']}  {late:+6d} ms  {firing['id']}  {what}  {data}{again}", flush=True)
        self._answer(204)

    def _firing(self, now_s: float) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            raise Refused(413 if length.isdecimal() else 411, "a Content-Length of at most 1 MiB is needed")
        body = self.rfile.read(int(length))
        if self.key is not None:
            verify(
                self.key, {name.lower(): value for name, value in self.headers.items()}, body, now_s, self.tolerance_s
            )
        try:
            firing = json.loads(body)
            lateness_ms(firing, now_s)
            if "attempt" not in firing and not firing["type"].startswith("chronowatch."):
                raise ValueError("neither a firing nor another event of the service")
            return {"id": firing["id"], **firing}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(400, "the body is not a firing") from None

    def _answer(self, status: int, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: do_POST prints what there is to say."""


class Server(ThreadingHTTPServer):
    """A thread a connection, none of which keeps the process alive."""

    daemon_threads = True
    request_queue_size = 128


def make_server(host: str, port: int, key: bytes | None, tolerance_s: float = TOLERANCE_S) -> Server:
    """A server that is bound and not yet serving. Raises OSError."""
    handler = type("BoundHandler", (Handler,), {"key": key, "tolerance_s": tolerance_s, "seen": set()})
    return Server((host, port), handler)


def arguments(argv: list[str] | None) -> tuple[argparse.Namespace, bytes | None]:
    """The command line and the decoded secret, checked."""
    parser = argparse.ArgumentParser(description="Print ChronoWatch's firings that arrive as webhooks.")
    parser.add_argument("--port", type=int, default=9000, help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--secret",
        default=os.environ.get("WEBHOOK_SECRET"),
        help="whsec_… of the target's secret_ref; default: $WEBHOOK_SECRET; without one, signatures are not checked",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE_S,
        metavar="S",
        help="seconds a timestamp may be off; default: %(default)s",
    )
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error("--port must be between 0 and 65535")
    try:
        return options, decode_secret(options.secret) if options.secret else None
    except ValueError as error:
        parser.error(f"--secret: {error}")


def stop(_number: int, _frame: object) -> None:
    """The signal handler: as Ctrl-C."""
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped. 0 at the end, 1 when the port cannot be had."""
    options, key = arguments(argv)
    try:
        server = make_server(options.host, options.port, key, options.tolerance)
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, stop)
    checked = "signatures are checked" if key else "signatures are NOT checked (no --secret)"
    print(
        f"listening on http://{options.host}:{server.server_port}/; {checked}; Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
