"""The real dev server as a child of a test: its ports and data directory, its processes, its HTTP face."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from localdev.processes import command_of
from tests.e2e.busy import StallMeter
from tests.kit.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 260.0  # longer than scripts/dev waits itself, which then says why
STACK_TIMEOUT_S = 180.0  # the same of the stack, which --deployed waits for before
STOP_TIMEOUT_S = 10.0  # within this time scripts/dev ends after SIGTERM

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T], timeout_s: float = 20.0) -> T:
    """What ``look`` answers once that is true; it is asked again and again."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    return bool(command_of(pid))


@dataclass
class DevServer:
    """``scripts/dev`` with ports and data of its own."""

    data_dir: Path
    env: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    http_port: int = field(default_factory=free_port)
    emulator_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    key: str | None = None  # the API key of calls that say nothing else

    @property
    def endpoint(self) -> str:
        return self.env.get("AWS_ENDPOINT_URL") or f"http://127.0.0.1:{self.emulator_port}"

    @property
    def _printed(self) -> Path:
        return self.data_dir.with_name(f"printed-{self.http_port}")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, and leave it to the caller to wait for something."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CHRONO_", "AWS_")) and k != "LOG_LEVEL"}
        own = {
            "CHRONO_HTTP_PORT": str(self.http_port),
            "CHRONO_EMULATOR_PORT": str(self.emulator_port),
            "CHRONO_DATA_DIR": str(self.data_dir),
            "CHRONO_GRPC_PORT": "off",  # but where a test is about it: one process less to start
        }
        self._printed.parent.mkdir(parents=True, exist_ok=True)
        self._let_go()
        with open(self._printed, "w") as printed:
            self.process = subprocess.Popen(
                [ROOT / "scripts" / "dev", "--until-eof", *self.arguments],
                env={**inherited, **own, **self.env},
                stdin=subprocess.PIPE,  # its end ends it, also when this process is killed
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def start(self) -> float:
        """Start it and wait until it is healthy; how long that took, in seconds in which the machine did not stall."""
        with StallMeter() as stalls:
            began_ms = time.time() * 1000
            process = self.launch()

            def healthy() -> bool:
                assert process.poll() is None, f"it ended with {process.returncode}: {self.output()}"
                try:
                    return self.call("GET", "/health")[0] == 200
                except OSError:
                    return False

            wait_for("GET /health to be 200", healthy, READY_TIMEOUT_S)
            return stalls.ran_s(began_ms)

    def greeted(self) -> str:
        """Launch it and wait for its greeting, which comes last; what it has printed by then."""
        process = self.launch()

        def output() -> str:
            printed = self.output()
            assert process.poll() is None, f"it ended with {process.returncode}: {printed}"
            return printed if "Ctrl-C stops it" in printed else ""

        try:
            return wait_for("the greeting", output, READY_TIMEOUT_S + STACK_TIMEOUT_S)
        except AssertionError as problem:
            raise AssertionError(f"{problem}; it printed: {self.output()}") from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to stop and wait for that; how long it took, in seconds in which the machine did not stall."""
        if self.process is None:
            return 0.0
        with StallMeter() as stalls:
            began_ms = time.time() * 1000
            if self.process.poll() is None:
                self.process.send_signal(number)
                self.process.wait(60)
            self._let_go()
            return stalls.ran_s(began_ms)

    def _let_go(self) -> None:
        """Close the pipe of a process that is gone."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def output(self) -> str:
        """What it has printed since it was started."""
        return self._printed.read_text()

    def pids(self) -> dict[str, int]:
        """The recorded processes by name."""
        return {path.stem: int(path.read_text()) for path in (self.data_dir / "run").glob("*.pid")}

    def kill_all(self) -> None:
        """``kill -9`` on everything at once. AWS should be somebody else's: an emulator of ours would forget."""
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request; its status and its JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=40)
        try:
            text = None if body is None else json.dumps(body)
            kind = {"content-type": "application/json"} if text else {}
            known = {"Authorization": f"Bearer {self.key}"} if self.key and headers is None else {}
            connection.request(method, path, text, {**kind, **known, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content) if content else None

    def create(self, **schedule: object) -> dict[str, Any]:
        """A new schedule, as the API answers it."""
        status, created = self.call("POST", "/api/v1/schedules", schedule)
        assert status == 201, created
        assert isinstance(created, dict)
        return created

    def executions(self, schedule_id: str) -> dict[int, dict[str, Any]]:
        """All executions of a schedule by their instant; ConnectionError when the gateway reaches no function."""
        found: dict[int, dict[str, Any]] = {}
        token = ""
        while True:
            status, page = self.call("GET", f"/api/v1/schedules/{schedule_id}/executions?limit=100{token}")
            if status in (502, 503, 504):
                raise ConnectionError(page)
            assert status == 200, page
            found.update({item["firing_time_unix_ms"]: item for item in page["items"]})
            if page["next_page_token"] is None:
                return found
            token = f"&page_token={page['next_page_token']}"
