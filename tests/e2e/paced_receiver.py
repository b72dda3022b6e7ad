"""A webhook receiver in a process and a thread of its own: what it notes is the arrival, not its own queueing.

``python -m tests.e2e.paced_receiver DELAY_MS`` prints its port and answers every POST ``DELAY_MS`` after it came.
``GET /`` answers ``{"most_at_once", "arrived": [[event id, unix milliseconds], …]}``.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import subprocess
import sys
import time
from typing import Any

from tests.e2e.dev_server import ROOT
from tests.kit.processes import end_at_eof

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Log:
    """What has arrived, and how many were being answered at once."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.arrived: list[tuple[str, float]] = []
        self.at_once = 0
        self.most_at_once = 0

    def begin(self, event_id: str, at_ms: float) -> None:
        self.arrived.append((event_id, at_ms))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)


class _Reader(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self, log: _Log) -> None:
        self._log = log
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at_ms = time.time() * 1000
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self._buffer = rest[size:]
        if head.startswith(b"GET"):
            told = json.dumps({"most_at_once": self._log.most_at_once, "arrived": self._log.arrived}).encode()
            self._answer(b"200 OK", told)
            return
        self._log.begin(json.loads(rest[:size])["id"], at_ms)
        asyncio.get_running_loop().call_later(self._log.delay_s, self._complete)

    def _complete(self) -> None:
        self._log.at_once -= 1
        self._answer(b"200 OK", b"")

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


class PacedReceiver:
    """Such a process, as a test sees it."""

    def __init__(self, delay_ms: int) -> None:
        command = [sys.executable, "-m", "tests.e2e.paced_receiver", str(delay_ms)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def target(self) -> dict[str, str]:
        """The target of a schedule that fires here."""
        return {"type": "webhook", "url": f"http://127.0.0.1:{self._port}/"}

    def told(self) -> dict[str, Any]:
        """What has arrived so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("GET", "/")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def close(self) -> None:
        """End the process."""
        with self._process as process:  # closes its pipes
            process.terminate()
            process.wait(10)


async def _serve(delay_s: float) -> None:
    log = _Log(delay_s)
    server = await asyncio.get_running_loop().create_server(lambda: _Reader(log), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    end_at_eof()
    asyncio.run(_serve(int(sys.argv[1]) / 1000))
