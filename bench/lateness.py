"""``lateness``: firings at random instants, each alone: how late do they leave, and how late do they arrive?"""

from __future__ import annotations

import random
from argparse import Namespace

from bench.arrivals import Receiver
from bench.firing import EVENTBRIDGE, WEBHOOK, Fired, fire_at, first_instant_ms, peer_at
from bench.peer import python as prepare_peer
from bench.product import Product
from bench.report import Report, Target, spread, table

COUNT = 200
SPAN_MS = 30_000
P50_MOST_MS = 3.0
P99_MOST_MS = 10.0


def run(options: Namespace) -> Report:
    """The product to EventBridge and to a webhook, then APScheduler with a plain function and with a POST."""
    count = options.count or COUNT
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
    report = Report("lateness", {"count": count, "span_ms": SPAN_MS, "seed": seed})
    offsets = random.Random(seed).sample(range(SPAN_MS), count)  # noqa: S311
    if options.peer:
        prepare_peer()
    with Receiver() as receiver:
        with Product() as product:
            runs = [fire_at(product, receiver, kind, _instants(offsets)) for kind in (EVENTBRIDGE, WEBHOOK)]
        if options.peer:
            runs += [peer_at(receiver, _instants(offsets), post) for post in (False, True)]
    fill(report, runs)
    for fired in runs[:2]:
        measured = spread(fired.arrived or fired.started)
        report.targets += [
            Target(f"{fired.label}: p50 ms", P50_MOST_MS, measured["p50"]),
            Target(f"{fired.label}: p99 ms", P99_MOST_MS, measured["p99"]),
        ]
    return report


def _instants(offsets: list[int]) -> list[int]:
    first_ms = first_instant_ms(len(offsets))
    return [first_ms + offset_ms for offset_ms in offsets]


def fill(report: Report, runs: list[Fired]) -> None:
    """Enter runs: their spreads, a table of them, and their faults."""
    rows: list[list[object]] = []
    for fired in runs:
        report.results[fired.label] = fired.as_json()
        report.faults += [f"{fired.label}: {fault}" for fault in fired.faults[:5]]
        for what, values in (("started", fired.started), ("arrived", fired.arrived), ("accepted", fired.accepted)):
            if values:
                s = spread(values)
                rows.append([fired.label, what, s["count"], s["p50"], s["p95"], s["p99"], s["max"]])
    report.tables.append(table(["late by, ms", "when", "count", "p50", "p95", "p99", "max"], rows))
    report.notes.append(
        "started and accepted come from the product's journal, in whole milliseconds rounded down; "
        "arrived is the consumer's clock, when it had read the request"
    )
