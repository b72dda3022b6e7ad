"""``jobs``: listing jobs by status must not grow with history.

``GET /jobs?status=failed`` with a thousand finished jobs, and again with a hundred thousand, a tenth of them failed.
Two real jobs are run to their ends, one of each kind. The others are copies of their items under new ids, written
straight to the tables. Running a hundred thousand would take an hour and leave the same items behind.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.firing import now_ms
from bench.product import Product, free_ports
from bench.report import Report, Target, spread, table
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.ulid import derived

COUNT = 100_000
BEFORE = 1_000
ONE_FAILED_IN = 10
ASKED = 400
WARM_UP = 20
P99_MOST_MS = 50.0
GROWTH_MOST = 1.5
WRITERS = 4
BATCH = 25
ENDED_TIMEOUT_S = 60.0

Items = dict[str, list[dict[str, Any]]]


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
            _write_copies(product, kinds, range(first, last))
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


def _two_kinds(product: Product) -> dict[str, tuple[str, Items]]:
    """Id and items of a job that failed, and of one that was completed."""
    (unused,) = free_ports(1)
    soon = {"type": "unico", "timestamp": to_rfc3339(now_ms() + 2000)}
    failing = product.want("POST", "/jobs", {**soon, "webhook_url": f"http://127.0.0.1:{unused}/"})["id"]
    passing = product.want("POST", "/jobs", soon)["id"]
    for job_id, status in ((failing, "failed"), (passing, "completed")):
        _wait_for(product, job_id, status)
    return {"failed": (failing, _items(product, failing)), "completed": (passing, _items(product, passing))}


def _wait_for(product: Product, job_id: str, status: str) -> None:
    until = time.monotonic() + ENDED_TIMEOUT_S
    while (found := product.want("GET", f"/jobs/{job_id}/status"))["status"] != status:
        if time.monotonic() > until:
            raise RuntimeError(f"the job is {found} instead of {status}")
        time.sleep(0.2)


def _items(product: Product, job_id: str) -> Items:
    """All items that speak of a job, by table."""
    found: Items = {}
    for name in ("schedules", "executions"):
        full_name = f"chronowatch-local-{name}"
        items = _dynamodb(product).scan(TableName=full_name)["Items"]
        found[full_name] = [item for item in items if job_id in json.dumps(item)]
    return found


def _write_copies(product: Product, kinds: dict[str, tuple[str, Items]], numbers: Sequence[int]) -> None:
    batches = list(_batches(kinds, numbers))
    client = _dynamodb(product)

    def write(batch: dict[str, Any]) -> None:
        if client.batch_write_item(RequestItems=batch).get("UnprocessedItems"):
            raise RuntimeError("the emulator left items out")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, batches))


def _batches(kinds: dict[str, tuple[str, Items]], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    waiting: dict[str, list[dict[str, Any]]] = {}
    for number in numbers:
        old, items = kinds["completed" if number % ONE_FAILED_IN else "failed"]
        new = derived(old, number)
        for full_name, several in items.items():
            copies = waiting.setdefault(full_name, [])
            copies += [{"PutRequest": {"Item": json.loads(json.dumps(item).replace(old, new))}} for item in several]
            while len(copies) >= BATCH:
                yield {full_name: copies[:BATCH]}
                del copies[:BATCH]
    yield from ({full_name: left} for full_name, left in waiting.items() if left)


def _dynamodb(product: Product) -> Any:
    from chalicelib.adapters.aws.clients import Clients

    return Clients("us-east-1", product.endpoint).get("dynamodb")
