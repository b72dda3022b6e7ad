"""``scripts/dev --deployed``: the service's own port, passed on to the deployed REST API on the emulator.

So the same lines that talk to the local server talk to API Gateway and Lambda. Paths go through as they came.
"""

from __future__ import annotations

import http.client
import logging
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from localdev.processes import note_ready, run_child

TIMEOUT_S = 35.0  # API Gateway itself gives up after 29
_OWN = frozenset({"connection", "transfer-encoding", "content-length", "date", "server", "host", "keep-alive"})

_log = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Knows where requests go."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], endpoint: str, prefix: str) -> None:
        super().__init__(address, Handler)
        parts = urlsplit(endpoint)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.prefix = prefix

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no error of ours."""
        _log.debug("a connection ended early", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One connection of a caller."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        upstream = http.client.HTTPConnection(*self.server.upstream, timeout=TIMEOUT_S)
        try:
            upstream.request(self.command, self.server.prefix + self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        except OSError as problem:
            _log.warning("the emulator is away: %s", problem)
            self._answer(503, [("Content-Type", "application/json")], b'{"message": "Service Unavailable"}')
        else:
            self._answer(answer.status, answer.getheaders(), content)
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line each."""
        _log.debug(format, *args)


def prepare() -> Callable[[threading.Event], None]:
    """Load the settings; what is returned passes requests on."""
    from chalicelib import settings

    chosen = settings.from_environment()
    prefix = os.environ["CHRONO_PROXY_TARGET"]

    def run(stopping: threading.Event) -> None:
        server = Server((chosen.http_host, chosen.http_port), chosen.endpoint_url or "", prefix)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        note_ready()
        stopping.wait()
        server.server_close()

    return run


if __name__ == "__main__":
    run_child(prepare)
