"""APScheduler 3 with its SQLAlchemy store on SQLite, doing what the product is asked to do, in its own environment.

Standard input: ``{"store", "instants_unix_ms": […]}``, ``{"store", "every_s", "first_unix_ms", "count"}``, or the same
with ``"firsts_unix_ms": […]`` for several jobs that each run ``count`` times, and
``"post_port"`` (0: the job only notes the time; otherwise it posts to the receiver on that port). Standard output: one
JSON object. Defaults are APScheduler's own (ten threads), except that a late job still runs, as the product's do.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-untyped]
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

WAIT_MAX_S = 200.0
AFTER_LAST_S = 10.0  # how long runs of several jobs are waited for after the last instant: some may have been skipped

started: list[tuple[str, int]] = []
done = threading.Semaphore(0)
post_port = 0
_connections = threading.local()


def job(name: str) -> None:
    """What is scheduled: note the time, and post when asked to."""
    started.append((name, time.time_ns()))
    if post_port:
        _post(name)
    done.release()


def tick(prefix: str) -> None:
    """The repeated job: APScheduler gives a job no instant, so the nearest whole period is taken later."""
    job(f"{prefix}-{time.time_ns() // 1_000_000}")


def _post(name: str) -> None:
    connection = getattr(_connections, "connection", None)
    if connection is None:
        connection = _connections.connection = http.client.HTTPConnection("127.0.0.1", post_port, timeout=10)
    connection.request("POST", "/", json.dumps({"id": name}).encode(), {"Content-Type": "application/json"})
    connection.getresponse().read()


def main() -> None:
    """Add the jobs, wait for them, print what happened."""
    global post_port
    asked = json.load(sys.stdin)
    post_port = asked["post_port"]
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{asked['store']}")},
        executors={"default": ThreadPoolExecutor(10)},
        job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": 3},
        timezone=UTC,
    )
    scheduler.start()
    cpu_begun = time.process_time()
    count = _add(scheduler, asked)
    added_ns, cpu_added = time.time_ns(), time.process_time()
    deadline = time.monotonic() + _wait_s(asked)
    finished = 0
    while finished < count and done.acquire(timeout=max(0.0, deadline - time.monotonic())):
        finished += 1
    cpu_ended = time.process_time()
    scheduler.shutdown(wait=True)
    print(
        json.dumps(
            {
                "started": started,
                "added_unix_ms": added_ns // 1_000_000,
                "cpu_adding_s": cpu_added - cpu_begun,
                "cpu_firing_s": cpu_ended - cpu_added,
            }
        )
    )


def _wait_s(asked: dict[str, Any]) -> float:
    if "firsts_unix_ms" not in asked:
        return WAIT_MAX_S
    last_s: float = max(asked["firsts_unix_ms"]) / 1000 + (asked["count"] - 1) * asked["every_s"]
    return last_s - time.time() + AFTER_LAST_S


def _add(scheduler: BackgroundScheduler, asked: dict[str, Any]) -> int:
    if "firsts_unix_ms" in asked:
        for number, unix_ms in enumerate(asked["firsts_unix_ms"]):
            first = datetime.fromtimestamp(unix_ms / 1000, UTC)
            last = first + timedelta(seconds=(asked["count"] - 1) * asked["every_s"])
            scheduler.add_job(
                tick, "interval", [f"peer{number}"], seconds=asked["every_s"], start_date=first, end_date=last
            )
        return len(asked["firsts_unix_ms"]) * int(asked["count"])
    if "every_s" in asked:
        first = datetime.fromtimestamp(asked["first_unix_ms"] / 1000, UTC)
        scheduler.add_job(tick, "interval", ["peer"], seconds=asked["every_s"], start_date=first)
        return int(asked["count"])
    for number, unix_ms in enumerate(asked["instants_unix_ms"]):
        moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
        scheduler.add_job(job, "date", [f"peer{number}-{unix_ms}"], run_date=moment)
    return len(asked["instants_unix_ms"])


if __name__ == "__main__":
    main()
