"""``jobs``: listing jobs by status must not grow with history.

``GET /jobs?status=failed`` with a thousand finished jobs, and again with a hundred thousand, a tenth of them failed.
Two real jobs are run to their ends, one of each kind. The others are copies of their items under new ids, written
straight to the tables. Running a hundred thousand would take an hour and leave the same items behind.
"""

from __future__ import annotations

import time
from argparse import Namespace

from bench import copies
from bench.copies import Original
from bench.firing import now_ms
from bench.product import Product, free_ports
from bench.report import Report, Target, spread, table
from chalicelib.core.instants import to_rfc3339

COUNT = 100_000
BEFORE = 1_000
ONE_FAILED_IN = 10
ASKED = 400
WARM_UP = 20
P99_MOST_MS = 50.0
GROWTH_MOST = 1.5
ENDED_TIMEOUT_S = 60.0


def run(options: Namespace) -> Report:
    """The same list before and after."""
    count = options.count or COUNT
    before = min(BEFORE, count)
    report = Report("jobs", {"before": before, "after": count, "asked": ASKED})
    with Product() as product:
        kinds = _two_kinds(product)
        rows: list[list[object]] = []
        found = {}
        for label, first, last in (("before", 0, before), ("after", before, count)):
            copies.write(product, lambda number: kinds[_kind(number)], range(first, last))
            found[label] = spread(_ask(product))
            rows.append([f"{last} finished jobs", found[label]["p50"], found[label]["p99"], found[label]["max"]])
        report.results.update(found)
        report.tables.append(table(["GET /jobs?status=failed", "p50 ms", "p99 ms", "max ms"], rows))
        growth = float(found["after"]["p50"] or 0) / float(found["before"]["p50"] or 1)
        report.targets.append(Target(f"p99 ms with {count}", P99_MOST_MS, found["after"]["p99"]))
        report.targets.append(Target("p50 after over before", GROWTH_MOST, round(growth, 2)))
    return report


def _ask(product: Product) -> list[float]:
    """Milliseconds of each call; every page must be full of failed jobs."""
    times_ms = []
    for number in range(WARM_UP + ASKED):
        begun = time.perf_counter()
        page = product.want("GET", "/jobs?status=failed")
        if number >= WARM_UP:
            times_ms.append((time.perf_counter() - begun) * 1000)
        if len(page["items"]) != 50 or {job["status"] for job in page["items"]} != {"failed"}:
            raise RuntimeError(f"a page of {len(page['items'])} jobs instead of 50 failed ones")
    return times_ms


# -- jobs that have ended


def _two_kinds(product: Product) -> dict[str, Original]:
    """A job that failed, and one that was completed."""
    (unused,) = free_ports(1)
    soon = {"type": "unico", "timestamp": to_rfc3339(now_ms() + 2000)}
    failing = product.want("POST", "/jobs", {**soon, "webhook_url": f"http://127.0.0.1:{unused}/"})["id"]
    passing = product.want("POST", "/jobs", soon)["id"]
    for job_id, status in ((failing, "failed"), (passing, "completed")):
        _wait_for(product, job_id, status)
    return dict(zip(("failed", "completed"), copies.originals(product, (failing, passing)), strict=True))


def _kind(number: int) -> str:
    return "completed" if number % ONE_FAILED_IN else "failed"


def _wait_for(product: Product, job_id: str, status: str) -> None:
    until = time.monotonic() + ENDED_TIMEOUT_S
    while (found := product.want("GET", f"/jobs/{job_id}/status"))["status"] != status:
        if time.monotonic() > until:
            raise RuntimeError(f"the job is {found} instead of {status}")
        time.sleep(0.2)
