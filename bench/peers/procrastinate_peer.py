"""procrastinate on PostgreSQL, doing what the product is asked to do, in its own environment.

Standard input: ``{"dsn", "instants_unix_ms": […], "wait_s"}``. Standard output: one JSON object, when all jobs have run
or ``wait_s`` after the last instant; its ``started`` are pairs of instant and unix nanoseconds. The worker looks every
50 ms and not every 5 s, and runs 20 jobs at once: with its defaults a scheduled job is late by seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime

import procrastinate  # type: ignore[import-not-found]
from procrastinate.jobs import Job  # type: ignore[import-not-found]

POLL_S = 0.05
CONCURRENCY = 20
LOT = 1000

asked = json.load(sys.stdin)
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=asked["dsn"], max_size=CONCURRENCY))
started: list[tuple[int, int]] = []


@app.task(name="fire")  # type: ignore[untyped-decorator] # procrastinate is not installed where types are checked
async def fire(at: int) -> None:
    """What is scheduled: note the time."""
    started.append((at, time.time_ns()))


async def main() -> None:
    """Add the jobs, work, print."""
    instants = asked["instants_unix_ms"]
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        for start in range(0, len(instants), LOT):
            await app.job_manager.batch_defer_jobs_async([job(at) for at in instants[start : start + LOT]])
        added_ms, cpu = time.time_ns() // 1_000_000, time.process_time()
        work = asyncio.create_task(
            app.run_worker_async(
                concurrency=CONCURRENCY, fetch_job_polling_interval=POLL_S, install_signal_handlers=False
            )
        )
        until = max(instants) / 1000 + asked["wait_s"]
        while len(started) < len(instants) and time.time() < until and not work.done():
            await asyncio.sleep(0.1)
        used = time.process_time() - cpu
        await asyncio.sleep(1.0)  # what comes twice would come now
        print(json.dumps({"started": started, "added_unix_ms": added_ms, "cpu_s": used}), flush=True)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def job(at_ms: int) -> Job:
    """One job at its instant."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Job(
        id=None,
        queue="default",
        lock=None,
        queueing_lock=None,
        task_name="fire",
        task_kwargs={"at": at_ms},
        scheduled_at=moment,
    )


if __name__ == "__main__":
    asyncio.run(main())
