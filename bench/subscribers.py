"""``subscribers``: a thousand subscribers to ``/api/tasks/subscribe`` on one machine.

First the broadcast alone, in this process: from the moment that a change is in the tail of the feed until the last
subscriber's connection has been handed its piece. Then the whole way, through ``scripts/dev``: from the instant of a
firing to its event at every subscriber, over real connections, with the memory that the server takes.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from argparse import Namespace
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.product import Product, cpu_of
from bench.report import Report, Target, spread, table
from chalicelib.adapters.machine.system import SystemClock
from chalicelib.api.http.connection import CallerConnection, EventSource
from chalicelib.api.http.edge import Asked
from chalicelib.core.changes.change_log import Change
from chalicelib.core.schedules.schedule import Key
from chalicelib.process.change_tail import ChangeTail, TailEntry
from chalicelib.server.application import Application
from tests.e2e.subscribers import TASKS, Subscribers
from tests.kit.house import House
from tests.kit.records import execution

SUBSCRIBERS = 1_000
ROUNDS = 60
APART_S = 0.05
RUNS = 20  # firings, one a second
HEARD_MOST_MS = 250
LOOP_MOST_MS = 10
MEMORY_MOST_MB = 150
TIMEOUT_S = 60.0
SCHEDULE = Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")
ENDED_AT = re.compile(rb'"status":"completed".*?"firing_time_unix_ms":(\d+)')


def run(options: Namespace) -> Report:
    """The broadcast, then the whole way."""
    count = options.count or SUBSCRIBERS
    report = Report("subscribers", {"subscribers": count, "rounds": ROUNDS, "firings": RUNS})
    wall_ms, cpu_ms = asyncio.run(_broadcasts(count))
    report.results["broadcast_ms"], report.results["broadcast_cpu_ms"] = spread(wall_ms), spread(cpu_ms)
    heard_ms, server = _heard(report, count)
    report.results["heard_ms"], report.results["server"] = spread(heard_ms, 1), server
    rows = [
        [name, *(round(found[p], 1) for p in ("p50", "p95", "p99", "max"))]  # type: ignore[arg-type]
        for name, found in (
            ("broadcast", spread(wall_ms)),
            ("broadcast, CPU", spread(cpu_ms)),
            ("instant to event", spread(heard_ms)),
        )
        if found["p50"] is not None
    ]
    report.tables.append(table([f"{count} subscribers", "p50 ms", "p95 ms", "p99 ms", "max ms"], rows))
    report.targets = [
        Target("broadcast to all, median CPU ms", LOOP_MOST_MS, spread(cpu_ms)["p50"]),
        Target("instant to event, p99 ms", HEARD_MOST_MS, spread(heard_ms)["p99"]),
        Target("memory of the server, MB", MEMORY_MOST_MB, server["memory_mb"]),
    ]
    report.notes.append("of the broadcast CPU time is judged, which a busy machine distorts least")
    report.notes.append(f"the server used {server['cpu_percent_of_a_core']} % of a core while a change a second came")
    return report


# -- the broadcast alone


async def _broadcasts(count: int) -> tuple[list[float], list[float]]:
    """How long each took, and the CPU time of it, in milliseconds."""
    house = House()
    house.services = replace(house.services, clock=SystemClock())
    application = Application(house.edge, {})
    handed, last_s = 0, 0.0

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal handed, last_s
        handed, last_s = handed + bool(message["body"]), time.perf_counter()

    async def all_have(number: int) -> None:
        until = time.monotonic() + TIMEOUT_S
        while handed < number:
            assert time.monotonic() < until, f"{handed} of {number} were handed"
            await asyncio.sleep(0.004)

    pumps = [asyncio.create_task(application.pump(_subscribe(house), send)) for _ in range(count)]
    await all_have(count)  # each has been greeted
    tail = house.services.process.change_tails.followed()["default"]
    tail.begin(0)
    wall_ms: list[float] = []
    cpu_ms: list[float] = []
    await asyncio.sleep(1.0)
    gc.collect()
    for number in range(1, ROUNDS + 1):
        handed = 0
        entry = _entry(number)
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.get_running_loop().run_in_executor(None, _extend, tail, entry)
        await all_have(count)
        cpu_ms.append((time.process_time() - cpu_s) * 1000)
        wall_ms.append((last_s - begun_s) * 1000)
        await asyncio.sleep(APART_S)
    for pump in pumps:
        pump.cancel()
    application.close()
    return wall_ms, cpu_ms


def _subscribe(house: House) -> EventSource:
    asked = Asked("GET", TASKS, "", {"accept": "text/event-stream"})
    source = house.edge.open(asked, CallerConnection(), may_stream=True).source
    assert source is not None
    return source


def _extend(tail: ChangeTail, entry: TailEntry) -> None:
    tail.extend([entry])


def _entry(number: int) -> TailEntry:
    found = execution(SCHEDULE, 1_000 + number)
    return TailEntry(number, Change("execution", found.id, 5, None, found))


# -- the whole way


def _heard(report: Report, count: int) -> tuple[list[float], dict[str, float]]:
    """From each firing's instant to its event at each subscriber; what the server needed meanwhile."""
    heard_ms: list[float] = []

    def seen(piece: bytes, at_ms: float) -> None:
        heard_ms.extend(at_ms - int(instant) for instant in ENDED_AT.findall(piece))

    with Product() as product, Subscribers(product.port, count, TASKS, seen) as subscribers:
        _until(lambda: subscribers.begun == count, "streams")
        every_s = {"type": "RATE", "expr": "rate:1s", "max_runs": RUNS, "target": {"type": "eventbridge"}}
        pid = product.pid("server")
        before, begun = cpu_of(pid) or 0.0, time.monotonic()
        product.want("POST", "/api/v1/schedules", every_s)
        _until(lambda: len(heard_ms) >= RUNS * count, "events")
        used, took_s = (cpu_of(pid) or 0.0) - before, time.monotonic() - begun
        if subscribers.ended:
            report.faults.append(f"{subscribers.ended} streams ended")
        server = {"memory_mb": round(_resident_mb(pid), 1), "cpu_percent_of_a_core": round(used / took_s * 100, 1)}
    if len(heard_ms) != RUNS * count:
        report.faults.append(f"{len(heard_ms)} events for {RUNS * count} that were owed")
    return heard_ms, server


def _until(look: Any, what: str) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not look():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {TIMEOUT_S:.0f} s for {what}")
        time.sleep(0.05)


def _resident_mb(pid: int | None) -> float:
    found = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[0]) / 1024
