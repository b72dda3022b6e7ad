"""``api``: requests a second that the dev server's HTTP layer answers, with the store in memory.

``GET /api/v1/schedules/{id}`` through sockets, the real server and the real application, over some connections that
stay open. The service behind them keeps its schedules in this process's memory. So the bench measures parsing, routing,
rendering and the sockets. One connection alone shows a stall of Nagle's algorithm, which is 40 ms long.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bench.report import Report, Target, spread, table
from bench.root import ROOT

COUNT = 4_000
CONNECTIONS = 8
RATE_LEAST = 1_000
STALL_MS = 40.0
READY_TIMEOUT_S = 30


def run(options: Namespace) -> Report:
    """One caller alone, then several at once."""
    count = options.count or COUNT
    report = Report("api", {"count": count, "connections": CONNECTIONS})
    rows: list[list[object]] = []
    with _server() as (port, path):
        _ask(port, path, 200)
        for label, callers in (("one connection", 1), (f"{CONNECTIONS} connections", CONNECTIONS)):
            begun = time.perf_counter()
            times_ms = _all(port, path, count, callers)
            per_second = len(times_ms) / (time.perf_counter() - begun)
            found = spread(times_ms)
            report.results[label] = {"per_second": round(per_second), "ms": found}
            rows.append([label, round(per_second), found["p50"], found["p99"], found["max"]])
            report.targets.append(
                Target(f"{label}: ms of the server's time for each", 1000 / RATE_LEAST, 1000 / per_second)
            )
        report.targets.append(
            Target("one connection: p99 ms, no stall", STALL_MS / 4, spread(_ask(port, path, 500))["p99"])
        )
    report.tables.append(table(["GET a schedule", "per second", "p50 ms", "p99 ms", "max ms"], rows))
    return report


def _all(port: int, path: str, count: int, callers: int) -> list[float]:
    times_ms: list[float] = []
    threads = [
        threading.Thread(target=lambda: times_ms.extend(_ask(port, path, count // callers))) for _ in range(callers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times_ms


def _ask(port: int, path: str, count: int) -> list[float]:
    """Milliseconds of each of ``count`` requests over one connection. Raises RuntimeError on any other answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    times_ms = []
    with closing(socket.create_connection(("127.0.0.1", port))) as sock:
        for _ in range(count):
            begun = time.perf_counter()
            sock.sendall(request)
            _read_answer(sock)
            times_ms.append((time.perf_counter() - begun) * 1000)
    return times_ms


def _read_answer(sock: socket.socket) -> None:
    text = b""
    while b"\r\n\r\n" not in text:
        text += _received(sock)
    head, _, body = text.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"answered {head[:80]!r}")
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n")[1:])
    left = next(int(value) for name, _, value in lines if name == b"content-length") - len(body)
    while left > 0:
        left -= len(_received(sock))


def _received(sock: socket.socket) -> bytes:
    part = sock.recv(65_536)
    if not part:
        raise RuntimeError("the server hung up")
    return part


# -- the server, in a process of its own


@contextmanager
def _server() -> Iterator[tuple[int, str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.api"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        yield port, _create(port)
    finally:
        child.communicate(timeout=READY_TIMEOUT_S)  # the end of its input ends it


def _create(port: int) -> str:
    """The path of a new schedule that is not due for long."""
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as caller:
        body = json.dumps({"type": "AT", "expr": "at:2099-01-01T00:00:00Z"})
        caller.request("POST", "/api/v1/schedules", body, {"Content-Type": "application/json"})
        answer = caller.getresponse()
        made = json.loads(answer.read())
        if answer.status != http.HTTPStatus.CREATED:
            raise RuntimeError(f"not created: {made}")
        return f"/api/v1/schedules/{made['id']}"


def serve() -> None:
    """Serve from memory on a free port, say on which, and end with standard input."""
    from msgspec.structs import replace

    from app import app
    from chalicelib import bootstrap, settings
    from chalicelib.adapters.memory.stores import open_stores
    from chalicelib.api.http.edge import Edge
    from chalicelib.server.server import Server

    chosen = settings.load({})
    services = replace(bootstrap.build(chosen), stores=open_stores())
    with bootstrap.override(services, chosen):
        server = Server(Edge(app), "127.0.0.1", 0, bootstrap.clock().now_ms)
        server.start()
        print(server.port, flush=True)
        sys.stdin.read()
        server.stop()


if __name__ == "__main__":
    serve()
