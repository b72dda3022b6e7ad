"""``rate``: ``rate:1s`` for a minute: every instant anchor + k s once, and how late."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import arrivals
from bench import peer as apscheduler
from bench.arrivals import Receiver
from bench.firing import ENDED_TIMEOUT_S, EVENTBRIDGE, RUN_UP_MS, WEBHOOK, now_ms, target_of
from bench.product import Product, cpu_between
from bench.report import Report, Target, spread, table

COUNT = 60
PERIOD_MS = 1000
P99_MOST_MS = 3.0
KINDS = (EVENTBRIDGE, WEBHOOK)


@dataclass(frozen=True, slots=True)
class Rated:
    """One rate's minute. Lateness in milliseconds."""

    label: str
    started: list[float]
    arrived: list[float]
    faults: list[str]
    cpu_s: float


def run(options: Namespace) -> Report:
    """The product to EventBridge and to a webhook, then APScheduler's interval job posting to the receiver."""
    count = options.count or COUNT
    report = Report("rate", {"count": count, "period_ms": PERIOD_MS})
    kinds = (options.to,) if options.to else KINDS
    rated = rates(count, options.peer and WEBHOOK in kinds, kinds)
    rows: list[list[object]] = []
    for each in rated:
        measured = spread(each.arrived or each.started)
        report.results[each.label] = {
            "started_ms": spread(each.started),
            "arrived_ms": spread(each.arrived),
            "all_and_only_once": not each.faults,
            "cpu_firing_ms_each": round(each.cpu_s * 1000 / count, 3),
        }
        rows.append([each.label, *(measured[name] for name in ("count", "p50", "p95", "p99", "max"))])
        report.faults += [f"{each.label}: {fault}" for fault in each.faults[:5]]
    report.tables.append(table(["late by, ms", "count", "p50", "p95", "p99", "max"], rows))
    report.notes.append(
        "to EventBridge: the journal's start of the attempt, rounded down; otherwise the consumer's clock"
    )
    for each in rated[: len(kinds)]:
        report.targets.append(Target(f"{each.label}: p99 ms", P99_MOST_MS, spread(each.arrived or each.started)["p99"]))
    if len(rated) > len(kinds):
        ours, theirs = spread(rated[-2].arrived)["p99"], spread(rated[-1].arrived)["p99"]
        if theirs is not None:
            report.targets.append(Target(f"{rated[-2].label}: p99 ms, beside APScheduler", theirs, ours))
    return report


def rates(count: int, peer: bool, kinds: Sequence[str] = KINDS) -> list[Rated]:
    """Each for itself, one after the other."""
    if peer:
        apscheduler.python()
    with Receiver() as receiver:
        with Product() as product:
            found = [_rate(product, receiver, kind, count) for kind in kinds]
        if peer:
            found.append(_peer(receiver, count))
    return found


def _rate(product: Product, receiver: Receiver, kind: str, count: int) -> Rated:
    """``rate:1s`` from an anchor some seconds ahead; with ``start_at`` the first run is the anchor itself."""
    receiver.take()
    anchor_ms = now_ms() + RUN_UP_MS + 2000
    last_ms = anchor_ms + (count - 1) * PERIOD_MS
    body = {
        "type": "RATE",
        "expr": "rate:1s",
        "start_at_unix_ms": anchor_ms,
        "end_at_unix_ms": last_ms,
        "target": target_of(kind, receiver),
    }
    schedule_id = product.create([body])[0]["id"]
    before = product.cpu_s()
    time.sleep(max(0.0, (last_ms - now_ms()) / 1000 + 1.5))
    cpu_s = cpu_between(before, product.cpu_s())
    found = product.ended(anchor_ms - 60_000, last_ms + 60_000, [schedule_id], count, ENDED_TIMEOUT_S)[schedule_id]
    arrived = receiver.take()
    faults = judge(found, [anchor_ms + k * PERIOD_MS for k in range(count)])
    if kind == WEBHOOK:
        faults += [f"arrived twice: {name}" for name in arrivals.doubled(arrived)]
        faults += [] if len(arrived) == count else [f"{len(arrived)} of {count} arrived"]
    started = [float(e["attempts"][0]["started_unix_ms"] - e["firing_time_unix_ms"]) for e in found if e["attempts"]]
    return Rated(f"chronowatch → {kind}", started, list(arrivals.lateness_ms(arrived).values()), faults, cpu_s)


def judge(executions: Sequence[Mapping[str, Any]], owed: Sequence[int]) -> list[str]:
    """Each owed instant has one completed execution with one attempt, and there is no other: what is otherwise."""
    instants = [e["firing_time_unix_ms"] for e in executions]
    faults = [f"missing: {at_ms}" for at_ms in owed if at_ms not in instants]
    faults += [f"not owed: {at_ms}" for at_ms in instants if at_ms not in owed]
    faults += [f"twice: {at_ms}" for at_ms in set(instants) if instants.count(at_ms) > 1]
    for e in executions:
        if e["delivery_state"] != "completed" or len(e["attempts"]) != 1:
            faults.append(f"{e['firing_time_unix_ms']}: {e['delivery_state']} after {len(e['attempts'])} attempts")
    return faults


def _peer(receiver: Receiver, count: int) -> Rated:
    receiver.take()
    first_ms = now_ms() + 4000
    ran = apscheduler.run(every_s=PERIOD_MS // 1000, count=count, first_unix_ms=first_ms, post_port=receiver.port)
    arrived = receiver.take()
    # APScheduler gives a job no instant: each start is held against the nearest instant before it.
    started = [(times[0] / 1e6 - first_ms) % PERIOD_MS for times in ran.started.values()]
    late = [(times[0] / 1e6 - first_ms) % PERIOD_MS for times in arrived.values()]
    faults = [] if len(arrived) == count else [f"{len(arrived)} of {count} arrived"]
    return Rated("apscheduler + sqlite → http post", started, late, faults, ran.cpu_firing_s)
