"""A webhook receiver in the test's own process, which notes what came when."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Received(NamedTuple):
    """One request: unix milliseconds, its CloudEvent, its headers in lower case."""

    at_ms: float
    event: dict[str, Any]
    headers: dict[str, str]

    @property
    def instant_ms(self) -> int:
        return int(str(self.event["id"]).split("-")[1])


class Webhook(ThreadingHTTPServer):
    """Listens at a free port, a thread for each connection, and says no word of those that break."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        return  # whoever was killed in the middle of a request has hung up: that is what some tests are about


class Receiver:
    """Answers 204, ``delay_s`` after the request came."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._lock = threading.Lock()
        self._received: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                at_ms = time.time() * 1000
                receiver._note(Received(at_ms, json.loads(body), {k.lower(): v for k, v in self.headers.items()}))
                time.sleep(receiver.delay_s)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = Webhook(Handler)
        self.url = self._server.url

    def target(self) -> dict[str, str]:
        """The target of a schedule that fires here."""
        return {"type": "webhook", "url": self.url}

    def all(self) -> list[Received]:
        """Everything that came, in order of arrival."""
        with self._lock:
            return list(self._received)

    def of(self, schedule: dict[str, Any]) -> list[Received]:
        """What came for a schedule, in order of arrival."""
        with self._lock:
            return [each for each in self._received if each.event["subject"] == schedule["id"]]

    def counts(self, schedule: dict[str, Any]) -> Counter[int]:
        """How often each instant of a schedule came."""
        return Counter(each.instant_ms for each in self.of(schedule))

    def close(self) -> None:
        """Stop listening."""
        self._server.stop()

    def _note(self, received: Received) -> None:
        with self._lock:
            self._received.append(received)
