"""The consumer's side of a bench: a receiver process, and what it noted."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from types import TracebackType
from typing import Any

from bench.root import ROOT

STOP_S = 5.0


class Receiver:
    """``bench.receiver`` as a process; use it as a context."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Receiver:
        command = [sys.executable, "-m", "bench.receiver"]
        self._process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def url(self) -> str:
        """What a webhook target is given."""
        return f"http://127.0.0.1:{self.port}/"

    def take(self) -> dict[str, list[int]]:
        """Arrivals since the last time, unix nanoseconds by the id in the body."""
        found: dict[str, list[int]] = {}
        for name, arrived_ns in self._ask("/records"):
            found.setdefault(name, []).append(arrived_ns)
        return found

    def tokens(self) -> dict[str, list[int]]:
        """The fencing tokens of what was taken and had come more than once, in the order of arrival."""
        return dict(self._ask("/tokens"))

    def _ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


def lateness_ms(arrivals: dict[str, list[int]]) -> dict[str, float]:
    """Milliseconds from the instant that an id ends with to the first arrival under that id."""
    return {name: min(times) / 1e6 - instant_of(name) for name, times in arrivals.items()}


def instant_of(name: str) -> int:
    """The unix milliseconds that an execution id ends with."""
    return int(name.rpartition("-")[2])


def doubled(arrivals: dict[str, list[int]]) -> list[str]:
    """Ids that arrived more than once."""
    return [name for name, times in arrivals.items() if len(times) > 1]
