"""The product as its users run it: ``scripts/dev`` on free ports with a data directory of its own, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from bench.root import ROOT

START_TIMEOUT_S = 300.0  # the first start of a checkout makes its environments
STOP_TIMEOUT_S = 70.0
CALL_TIMEOUT_S = 30.0
KEPT_IDLE_S = 3.0  # the server closes a connection that is idle for five
CREATORS = 8  # connections that create schedules side by side
PAGES_MAX = 200
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Json = dict[str, Any]


class Refused(Exception):
    """Raised when the API answers with an error."""


class Product:
    """A dev server; use it as a context. It is stopped, and a data directory of its own is removed, at the end."""

    def __init__(
        self, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None, data: Path | None = None
    ) -> None:
        self.port, self._emulator_port = free_ports(2)
        self._arguments = tuple(arguments)
        self._own_env = dict(env or {})
        self.started_s = 0.0  # from the command until ``GET /health`` answered 200
        self._keeps = data is not None
        self._data = data or Path(tempfile.mkdtemp(prefix="chronowatch-bench-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._local = threading.local()

    def __enter__(self) -> Product:
        own = {
            "CHRONO_HTTP_PORT": str(self.port),
            "CHRONO_EMULATOR_PORT": str(self._emulator_port),
            "CHRONO_DATA_DIR": str(self._data),
            **self._own_env,
        }
        env = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}
        begun = time.monotonic()
        with open(self._data / "dev.log", "wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [ROOT / "scripts" / "dev", "--until-eof", *self._arguments],
                env={**env, **own},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait_ready()
            self.started_s = round(time.monotonic() - begun, 2)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        if not self._keeps:
            shutil.rmtree(self._data, ignore_errors=True)

    def _wait_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            ended = self._process.poll() is not None  # looked at first: another program may answer on its port
            try:
                if not ended and self.call("GET", "/health")[0] == 200:
                    return
            except OSError:
                self._local = threading.local()
            if ended or time.monotonic() > until:
                log = (self._data / "dev.log").read_text(errors="replace").strip()
                raise RuntimeError(f"scripts/dev did not become ready: {log[-2000:]}")
            time.sleep(0.1)

    def _stop(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def call(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Status and body of one request, over a connection that this thread keeps."""
        connection, used_s = getattr(self._local, "connection", (None, 0.0))
        if connection is not None and time.monotonic() - used_s > KEPT_IDLE_S:
            connection.close()
            connection = None
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_TIMEOUT_S)
        payload = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, payload, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            found = answer.status, json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            self._local.connection = None, 0.0
            raise OSError(str(problem)) from problem
        self._local.connection = connection, time.monotonic()
        return found

    def want(self, method: str, path: str, body: Json | None = None) -> Json:
        """The body of an answer below 300. Raises Refused."""
        status, answer = self.call(method, path, body)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {json.dumps(answer)[:500]}")
        return answer

    def create(self, schedules: Sequence[Json]) -> list[Json]:
        """Create schedules, several at once; the answers in order. Raises Refused."""
        with ThreadPoolExecutor(CREATORS) as pool:
            return list(pool.map(lambda body: self.want("POST", "/api/v1/schedules", body), schedules))

    def executions(self, from_ms: int, to_ms: int, ids: Sequence[str]) -> dict[str, list[Json]]:
        """Executions of firings in the range, by schedule, of these schedules."""
        found: dict[str, list[Json]] = {schedule_id: [] for schedule_id in ids}
        token: str | None = None
        for _ in range(PAGES_MAX):
            path = f"/api/v1/executions?from_unix_ms={from_ms}&to_unix_ms={to_ms}&limit=100"
            page = self.want("GET", path + (f"&page_token={quote(token)}" if token else ""))
            for item in page["items"]:
                if item["schedule_id"] in found:
                    found[item["schedule_id"]].append(item)
            token = page["next_page_token"]
            if token is None:
                return found
        raise Refused("the list of executions does not end")

    def ended(
        self, from_ms: int, to_ms: int, ids: Sequence[str], count: int, timeout_s: float
    ) -> dict[str, list[Json]]:
        """As ``executions``, once ``count`` of them have ended, or when the time is over."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.executions(from_ms, to_ms, ids)
            over = [e for several in found.values() for e in several if is_over(e)]
            if len(over) >= count or time.monotonic() > until:
                return found
            time.sleep(0.5)

    def cpu_s(self) -> dict[str, float]:
        """User and system CPU seconds so far of each process but the emulator."""
        return {
            name: used
            for name in ("server", "dev", *(path.stem for path in (self._data / "run").glob("worker*.pid")))
            if (used := cpu_of(_pid(self._data / "run" / f"{name}.pid"))) is not None
        }

    def cpu_by_process(self) -> dict[str, float]:
        """As ``cpu_s``, with the emulator; and under ``machine`` what all of this machine's cores were busy with."""
        used = self.cpu_s()
        emulator = cpu_of(self.pid("emulator"))
        return used | ({} if emulator is None else {"emulator": emulator}) | {"machine": machine_busy_s()}

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._data

    @property
    def endpoint(self) -> str:
        """Where its emulator listens."""
        return f"http://127.0.0.1:{self._emulator_port}"

    def pid(self, name: str) -> int | None:
        """The process id in ``run/NAME.pid``."""
        return _pid(self._data / "run" / f"{name}.pid")


def is_over(execution: Mapping[str, Any]) -> bool:
    """Whether an execution has ended."""
    return execution["delivery_state"] not in ("pending", "in_progress")


def cpu_of(pid: int | None) -> float | None:
    """User and system CPU seconds of a process, with its ended children; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) / TICKS_PER_S


def machine_busy_s() -> float:
    """Seconds since its start that this machine's cores were not idle, summed over the cores."""
    user, nice, system, _, _, *rest = (int(part) for part in Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + sum(rest[:3])) / TICKS_PER_S


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """CPU seconds used between two readings of ``cpu_s``."""
    return sum(after.values()) - sum(before.values())


def _pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
