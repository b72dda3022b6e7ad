"""Celery with Redis, doing what the product is asked to do, in its own environment.

Run with standard input ``{"broker", "post_port", "firsts_unix_ms": […], "every_s", "count"}``, it starts Celery's beat
and worker with their defaults and prints one JSON object when the last instant is ten seconds ago. Beat's and the
worker's processes import this very module as their application, and read the same order from ``CELERY_PEER_ORDER``.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-not-found]

AFTER_LAST_S = 5.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

order: dict[str, Any] = json.loads(os.environ.get("CELERY_PEER_ORDER", "{}"))
app = Celery("celery_peer", broker=order.get("broker"))
app.conf.update(task_ignore_result=True, timezone="UTC", worker_send_task_events=False)
_connections = threading.local()


@app.task(name="fire")  # type: ignore[untyped-decorator] # Celery has no types
def fire(name: str) -> None:
    """What is scheduled: post to the receiver."""
    connection = getattr(_connections, "connection", None)
    if connection is None:
        connection = http.client.HTTPConnection("127.0.0.1", order["post_port"], timeout=10)
        _connections.connection = connection
    body = json.dumps({"id": f"{name}-{time.time_ns() // 1_000_000}"}).encode()
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    connection.getresponse().read()


def entries() -> dict[str, dict[str, Any]]:
    """Beat's schedule: each job's last run is set one period before its first instant, which gives it its phase."""
    every = timedelta(seconds=order["every_s"])
    return {
        f"peer{number}": {
            "task": "fire",
            "schedule": every,
            "args": (f"peer{number}",),
            "last_run_at": datetime.fromtimestamp(unix_ms / 1000, UTC) - every,
        }
        for number, unix_ms in enumerate(order["firsts_unix_ms"])
    }


if order:
    app.conf.beat_schedule = entries()


def main() -> None:
    """Start both, wait for the last instant, stop both."""
    asked = json.load(sys.stdin)
    env = {**os.environ, "CELERY_PEER_ORDER": json.dumps(asked), "PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.TemporaryDirectory(prefix="chronowatch-celery-") as directory:
        worker = start(["worker", "--without-gossip", "--without-mingle"], directory, env)
        beat = start(["beat", "-s", f"{directory}/beat"], directory, env)
        try:
            sleep_until_ms(min(asked["firsts_unix_ms"]))
            dead = [name for name, process in (("worker", worker), ("beat", beat)) if process.poll() is not None]
            if dead:
                raise RuntimeError(f"Celery's {dead[0]} did not start")
            before = used(worker.pid, beat.pid)
            last_ms = max(asked["firsts_unix_ms"]) + (asked["count"] - 1) * asked["every_s"] * 1000
            sleep_until_ms(last_ms + 500)
            cpu = {name: after - before[name] for name, after in used(worker.pid, beat.pid).items()}
            beat.send_signal(signal.SIGKILL)  # it has no last run to be given
            sleep_until_ms(last_ms + AFTER_LAST_S * 1000)
        finally:
            for process in (beat, worker):
                if process.poll() is None:
                    process.terminate()
            for process in (beat, worker):
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    print(json.dumps({"cpu_s": cpu}))


def start(arguments: list[str], directory: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """One of Celery's programs, silent."""
    command = [sys.executable, "-m", "celery", "-A", "celery_peer", *arguments]
    with open(os.devnull, "wb") as nothing:
        return subprocess.Popen(command, cwd=directory, env=env, stdout=nothing, stderr=nothing)  # noqa: S603


def used(worker: int, beat: int) -> dict[str, float]:
    """CPU seconds of the worker with its children, and of beat."""
    children = [int(pid) for pid in Path(f"/proc/{worker}/task/{worker}/children").read_text().split()]
    return {"worker": sum(cpu_of(pid) for pid in (worker, *children)), "beat": cpu_of(beat)}


def cpu_of(pid: int) -> float:
    """User and system seconds of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def sleep_until_ms(unix_ms: float) -> None:
    """Sleep until then."""
    while (left_s := unix_ms / 1000 - time.time()) > 0:
        time.sleep(min(left_s, 0.5))


if __name__ == "__main__":
    main()
