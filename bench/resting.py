"""A deployment that does nothing, and one that answers reads while firings go on: parts of ``cpu``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench import copies, crowd
from bench.arrivals import Receiver
from bench.firing import WEBHOOK
from bench.product import Product
from bench.report import Report, Target, spread, table

IDLE_S = 60  # one whole turn of the minute rule
SETTLE_S = 5
SETTLE_MOST_S = 600
SETTLED_PART = 0.015  # of a core, by server, worker and supervisor
IDLE_SCHEDULES = 100_000
ORIGINALS = 32  # in different shards; the others are copies of their items
IDLE_MOST_PERCENT = 0.5
FAR = "at:2099-01-01T00:00:00Z"
FIRINGS_PER_S = 100
READING_S = 20
READ_EVERY_S = 0.01
NOW_PATH = "/api/v1/time/now"
NOW_P95_MOST_MS = 3.0
READ_P99_MOST_MS = 25.0


def idle(report: Report, count: int | None) -> None:
    """Percent of a core while nothing is due: with an empty deployment, then with very many schedules."""
    many = count or IDLE_SCHEDULES
    rows: list[list[object]] = []
    with Product() as product:
        time.sleep(SETTLE_S)
        rows.append(_enter_idle(report, "no schedules", _at_rest(product)))
        ids = [answer["id"] for answer in product.create([{"type": "AT", "expr": FAR}] * ORIGINALS)]
        found = copies.originals(product, ids)
        copies.write(product, lambda number: found[number % ORIGINALS], range(ORIGINALS, many))
        _settle(product)
        rows.append(_enter_idle(report, f"{many} idle schedules", _at_rest(product)))
    columns = ["at rest, percent of a core", "server", "worker", "dev", "emulator", "all"]
    report.tables.append(table(columns, rows))


def _settle(product: Product) -> None:
    """Wait until the change feed has read what was written: until then a deployment is not at rest."""
    until = time.monotonic() + SETTLE_MOST_S
    used = sum(product.cpu_s().values())
    while time.monotonic() < until:
        time.sleep(SETTLE_S)
        before, used = used, sum(product.cpu_s().values())
        if used - before < SETTLED_PART * SETTLE_S:
            return
    raise RuntimeError(f"the deployment still worked {SETTLE_MOST_S} s after its schedules were written")


def _at_rest(product: Product) -> dict[str, float]:
    """Percent of a core that each process takes, over ``IDLE_S``."""
    before, begun = product.cpu_by_process(), time.monotonic()
    time.sleep(IDLE_S)
    after, took_s = product.cpu_by_process(), time.monotonic() - begun
    return {name: 100 * (after[name] - before[name]) / took_s for name in before if name != "machine"}


def _enter_idle(report: Report, what: str, percent: Mapping[str, float]) -> list[object]:
    together = sum(percent.values())
    report.results[f"at rest: {what}"] = {name: round(each, 2) for name, each in percent.items()}
    report.targets.append(
        Target(f"at rest, {what}: percent of a core, all processes", IDLE_MOST_PERCENT, round(together, 2))
    )
    return [what, *(percent.get(name) for name in ("server", "worker", "dev", "emulator")), together]


def reads(report: Report) -> None:
    """How long the API's reads take while firings go on."""
    with Receiver() as receiver, Product() as product:
        made = crowd.Made(product, receiver, WEBHOOK, FIRINGS_PER_S, READING_S)
        one = made.ids[0]
        paths = {
            "time/now": NOW_PATH,
            "a schedule": f"/api/v1/schedules/{one}",
            "schedules": "/api/v1/schedules?limit=50",
            "executions": "/api/v1/executions?limit=50",
            "its ledger": f"/api/v1/schedules/{one}/ledger",
            "jobs": "/jobs",
            "health": "/health",
        }
        for path in paths.values():  # what a first call makes is not what is asked
            product.want("GET", path)
        crowd.sleep_until_ms(made.firsts[0])
        times_ms = _ask(product, paths, made.last_ms)
        arrived = made.drain(receiver, receiver.take())
        report.faults += (made.faults + made.judge_arrivals(arrived))[:5]
    rows: list[list[object]] = []
    for name, times in times_ms.items():
        s = spread(times)
        report.results[f"read while {FIRINGS_PER_S}/s: {name}"] = s
        rows.append([name, s["count"], s["p50"], s["p95"], s["p99"], s["max"]])
        if name == "time/now":
            report.targets.append(Target("time/now p95 ms", NOW_P95_MOST_MS, s["p95"]))
        report.targets.append(Target(f"{name}: p99 ms", READ_P99_MOST_MS, s["p99"]))
    columns = [f"a read while {FIRINGS_PER_S} fire a second, ms", "count", "p50", "p95", "p99", "max"]
    report.tables.append(table(columns, rows))


def _ask(product: Product, paths: Mapping[str, str], until_ms: int) -> dict[str, list[float]]:
    """Milliseconds of each read, in turns, over one connection."""
    found: dict[str, list[float]] = {name: [] for name in paths}
    while time.time() * 1000 < until_ms:
        for name, path in paths.items():
            begun = time.perf_counter()
            product.want("GET", path)
            found[name].append((time.perf_counter() - begun) * 1000)
            time.sleep(READ_EVERY_S)
    return found
