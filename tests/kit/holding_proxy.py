"""A proxy before the emulator that stops a process at a call: it can be killed exactly there."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar
from urllib.parse import urlsplit

TIMEOUT_S = 60.0
_OF_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding", "date", "server"})


class HoldingProxy:
    """Passes calls on to ``endpoint`` until ``once()``, which is asked before each. It never passes on, nor answers,
    those from then on. Use it as a context."""

    def __init__(self, endpoint: str, once: Callable[[], bool]) -> None:
        self._emulator, self._once = urlsplit(endpoint).netloc, once
        self._asking = threading.Lock()
        self.holds, self._over = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def __enter__(self) -> HoldingProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _is_held(self) -> bool:
        with self._asking:
            if not self.holds.is_set() and self._once():
                self.holds.set()
            return self.holds.is_set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if proxy._is_held():
                    proxy._over.wait(TIMEOUT_S)
                    self.close_connection = True
                    return
                connection = http.client.HTTPConnection(proxy._emulator, timeout=TIMEOUT_S)
                connection.request("POST", self.path, body, dict(self.headers))
                response = connection.getresponse()
                answer = response.read()
                connection.close()
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in _OF_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler
