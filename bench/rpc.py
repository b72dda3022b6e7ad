"""``rpc``: calls of ``TimeService.Now`` that one core answers by gRPC, with the store in memory.

The server is a process of its own, held to one core: threads of Python that share several spend much of them on waiting
for each other. CPU time is what it spends, user and system. One caller alone shows the time of a call. Eight show what
the server does when it is never idle.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from bench.report import Report, Target, percentile, spread, table
from bench.root import ROOT

COUNT = 4_000
CALLERS = 8
WARM_UP = 500
RATE_LEAST = 2_000
P95_MOST_MS = 2.0
READY_TIMEOUT_S = 30
NOW = "/chronowatch.v1.TimeService/Now"


def run(options: Namespace) -> Report:
    """One caller alone, then several at once."""
    import grpc

    count = options.count or COUNT
    report = Report("rpc", {"count": count, "callers": CALLERS})
    rows: list[list[object]] = []
    with _server() as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        now = channel.unary_unary(NOW)
        _ask(now, WARM_UP)
        for label, callers in (("one caller", 1), (f"{CALLERS} callers", CALLERS)):
            spent_s, begun_s = server.cpu_s(), time.perf_counter()
            times_ms = _all(now, count, callers)
            took_s = time.perf_counter() - begun_s
            each_ms = (server.cpu_s() - spent_s) * 1000 / len(times_ms)
            found = {**spread(times_ms), "p95": percentile(times_ms, 95)}
            a_second = {"per_second": round(len(times_ms) / took_s), "per_second_of_a_core": round(1000 / each_ms)}
            report.results[label] = {**a_second, "cpu_ms_each": round(each_ms, 3), "ms": found}
            rows.append([label, *a_second.values(), found["p50"], found["p95"], found["p99"]])
            report.targets.append(Target(f"{label}: CPU ms a call", 1000 / RATE_LEAST, round(each_ms, 3)))
            if callers == 1:
                report.targets.append(Target(f"{label}: p95 ms", P95_MOST_MS, found["p95"]))
    report.tables.append(table(["Now", "per second", "per second of a core", "p50 ms", "p95 ms", "p99 ms"], rows))
    return report


def _all(now: object, count: int, callers: int) -> list[float]:
    times_ms: list[float] = []
    threads = [threading.Thread(target=lambda: times_ms.extend(_ask(now, count // callers))) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times_ms


def _ask(now: object, count: int) -> list[float]:
    """Milliseconds of each of ``count`` calls, one after the other."""
    times_ms = []
    for _ in range(count):
        begun = time.perf_counter()
        now(b"", timeout=READY_TIMEOUT_S)  # type: ignore[operator] # grpc has no types
        times_ms.append((time.perf_counter() - begun) * 1000)
    return times_ms


# -- the server, in a process of its own


class _Server:
    """The other side of ``serve``."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.port = int(self._line())

    def cpu_s(self) -> float:
        """What it has spent since it began."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline()


@contextmanager
def _server() -> Iterator[_Server]:
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.rpc"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield _Server(child)
    finally:
        child.communicate(timeout=READY_TIMEOUT_S)  # the end of its input ends it


def serve() -> None:
    """Serve from memory on a free port, say on which, say the CPU time at each line, and end with standard input."""
    from msgspec.structs import replace

    from app import app
    from chalicelib import bootstrap, settings
    from chalicelib.adapters.memory.stores import open_stores
    from chalicelib.api.http.edge import Edge
    from chalicelib.grpc_server.server import GrpcServer

    chosen = settings.load({})
    services = replace(bootstrap.build(chosen), stores=open_stores())
    with bootstrap.override(services, chosen):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        server = GrpcServer(Edge(app), "127.0.0.1", 0)
        server.start()
        print(server.port, flush=True)
        for _ in sys.stdin:
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(used.ru_utime + used.ru_stime, flush=True)
        server.stop()


if __name__ == "__main__":
    serve()
