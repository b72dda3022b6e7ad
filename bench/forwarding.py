"""What proxies before the emulator share: they take calls, pass them on, and give the answers back."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler

TIMEOUT_S = 30.0
_DROPPED = frozenset({"host", "connection", "content-length", "transfer-encoding"})

Answer = tuple[int, Mapping[str, str], bytes]  # status, headers, body


def handler(answer: Callable[[str, Mapping[str, str], bytes], Answer | None]) -> type[BaseHTTPRequestHandler]:
    """A server's handler. ``answer`` gets path, headers and body of a call; None closes the connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = answer(self.path, dict(self.headers), body)
            if found is None:
                self.close_connection = True
                return
            status, headers, content = found
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _DROPPED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Handler


def pass_on(host: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer of ``host``, which may name a port, to one call."""
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    kept = {name: value for name, value in headers.items() if name.lower() not in _DROPPED}
    connection.request("POST", path, body, kept)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), answer
