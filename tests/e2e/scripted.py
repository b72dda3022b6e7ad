"""A webhook receiver in the test's own process that answers as a script says, and notes who hung up on it."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.e2e.receiver import Webhook


@dataclass
class Call:
    """One request: the how-manyth, when it came (unix milliseconds), its path, its CloudEvent, and when it was answered
    or hung up on."""

    number: int
    at_ms: float
    path: str
    event: dict[str, Any]
    ended_ms: float | None = None
    hung_up: bool = False


Script = Callable[[Call], tuple[int, float, dict[str, str]]]


@dataclass
class Scripted:
    """A webhook whose ``script`` says for each call: status, seconds to wait, further headers."""

    script: Script = lambda _: (204, 0.0, {})
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        lock, scripted = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    call = Call(len(scripted.calls) + 1, time.time() * 1000, self.path, event)
                    scripted.calls.append(call)
                status, wait_s, headers = scripted.script(call)
                call.hung_up = self._hangs_up_within(wait_s)
                call.ended_ms = time.time() * 1000
                if call.hung_up:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _hangs_up_within(self, wait_s: float) -> bool:
                readable, _, _ = select.select([self.connection], [], [], wait_s)
                return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = Webhook(Handler)
        self.url = self._server.url

    def target(self, **fields: object) -> dict[str, object]:
        """The target of a schedule that fires here."""
        return {"type": "webhook", "url": self.url, **fields}

    def close(self) -> None:
        """Stop listening."""
        self._server.stop()
