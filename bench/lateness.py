"""``lateness``: firings alone, many rates at once, instants close together: how late does each leave and arrive?"""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple

from bench import crowd
from bench.arrivals import Receiver
from bench.crowd import Crowd
from bench.firing import EVENTBRIDGE, WEBHOOK, Fired, fire_at, first_instant_ms, peer_at
from bench.peer import python as prepare_peer
from bench.product import Product
from bench.report import Report, Target, spread, table

COUNT = 200
SPAN_MS = 30_000
CROWDS = (25, 50, 100, 200)
SPREAD_SECONDS = 12
APART_MS = 3
APART_FIRINGS = 200  # how many instants a case has together, in groups of N
BETWEEN_GROUPS_MS = 1000


class Most(NamedTuple):
    """Goals of one case in milliseconds; None where none is set."""

    p50: float | None
    p99: float | None


LONE = {WEBHOOK: Most(1.0, 3.0), EVENTBRIDGE: Most(3.0, 10.0)}
SPREAD = {25: Most(2.0, 6.0), 50: Most(2.0, 6.0), 100: Most(2.0, 6.0), 200: Most(None, 12.0)}
APART = {100: Most(None, 40.0)}


def run(options: Namespace) -> Report:
    """The product, then APScheduler: all cases, or those that ``--alone``, ``--spread`` and ``--apart`` name."""
    report = Report("lateness", {"span_ms": SPAN_MS, "spread_s": SPREAD_SECONDS, "apart_ms": APART_MS})
    chosen = options.alone or options.spread is not None or options.apart is not None
    spreads, aparts = (options.spread or (), options.apart or ()) if chosen else (CROWDS, CROWDS)
    kinds = (options.to,) if options.to else (WEBHOOK, EVENTBRIDGE)
    if options.peer:
        prepare_peer()
    with Receiver() as receiver:
        if options.alone or not chosen:
            _lone(report, receiver, kinds, options)
        for count in spreads:
            _spread(report, receiver, kinds, count, options.peer)
        for count in aparts:
            _apart(report, receiver, kinds, count, options.peer)
    return report


# -- each alone, at random


def _lone(report: Report, receiver: Receiver, kinds: Sequence[str], options: Namespace) -> None:
    """Each target, and beside a webhook a job that posts; beside the bus one that only runs."""
    count = options.count or COUNT
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
    report.settings |= {"count": count, "seed": seed}
    offsets = random.Random(seed).sample(range(SPAN_MS), count)  # noqa: S311
    with Product() as product:
        ours = {kind: fire_at(product, receiver, kind, _instants(offsets)) for kind in kinds}
    theirs = {kind: peer_at(receiver, _instants(offsets), kind == WEBHOOK) for kind in kinds if options.peer}
    fill(report, [*ours.values(), *theirs.values()])
    for kind, fired in ours.items():
        _promise(report, fired.label, LONE[kind], fired.arrived or fired.started)
    if WEBHOOK in theirs:
        beside(report, ours[WEBHOOK].label, ours[WEBHOOK].arrived, theirs[WEBHOOK].arrived)


def _instants(offsets: Sequence[int]) -> list[int]:
    first_ms = first_instant_ms(len(offsets))
    return [first_ms + offset_ms for offset_ms in offsets]


def fill(report: Report, runs: Sequence[Fired]) -> None:
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


# -- while others fire


def _spread(report: Report, receiver: Receiver, kinds: Sequence[str], count: int, peer: bool) -> None:
    """``count`` schedules ``rate:1s``, their phases evenly over the second, and the same by the peer."""
    with Product() as product:
        crowds = [crowd.fire(product, receiver, kind, count, SPREAD_SECONDS) for kind in kinds]
    if peer:
        crowds.append(crowd.peer(receiver, count, SPREAD_SECONDS))
    _enter(report, f"{count} × rate:1s, spread over the second", crowds, SPREAD.get(count))


def _apart(report: Report, receiver: Receiver, kinds: Sequence[str], count: int, peer: bool) -> None:
    """Groups of ``count`` instants, 3 ms apart: too far apart to share calls."""
    with Product() as product:
        crowds = [_as_crowd(fire_at(product, receiver, kind, _apart_instants(count)), count) for kind in kinds]
    if peer:
        crowds.append(_as_crowd(peer_at(receiver, _apart_instants(count), post=True), count))
    _enter(report, f"{count} instants, {APART_MS} ms apart", crowds, APART.get(count))


def _apart_instants(count: int) -> list[int]:
    groups = max(1, APART_FIRINGS // count)
    return apart(first_instant_ms(groups * count), count, groups)


def apart(first_ms: int, count: int, groups: int) -> list[int]:
    """``groups`` times ``count`` instants, 3 ms apart within a group."""
    step_ms = count * APART_MS + BETWEEN_GROUPS_MS
    return [first_ms + group * step_ms + n * APART_MS for group in range(groups) for n in range(count)]


def _as_crowd(fired: Fired, count: int) -> Crowd:
    late = fired.arrived or fired.started
    missing = fired.asked - sum(late_ms <= crowd.IN_TIME_MS for late_ms in late)
    return Crowd(fired.label, count, fired.asked, late, missing, fired.faults, {})


def _enter(report: Report, what: str, crowds: Sequence[Crowd], most: Most | None) -> None:
    columns = [f"late by, ms: {what}", "N", "p50", "p99", "max", "not in time"]
    report.tables.append(table(columns, crowd.rows(crowds)))
    for each in crowds:
        report.results[f"{what}: {each.label}"] = each.as_json()
        report.faults += [f"{what}: {each.label}: {fault}" for fault in each.faults[:5]]
        if most is not None and each.label.startswith("chronowatch"):
            _promise(report, f"{what}: {each.label}", most, each.late)


def _promise(report: Report, what: str, most: Most, late: Sequence[float]) -> None:
    measured = spread(late)
    if most.p50 is not None:
        report.targets.append(Target(f"{what}: p50 ms", most.p50, measured["p50"]))
    if most.p99 is not None:
        report.targets.append(Target(f"{what}: p99 ms", most.p99, measured["p99"]))


def beside(report: Report, what: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
    """The goal to be at or ahead of the peer in the same run, by the middle and by the worst hundredth."""
    for name in ("p50", "p99"):
        most = spread(theirs)[name]
        if most is not None:
            report.targets.append(Target(f"{what}: {name} ms, beside APScheduler", most, spread(ours)[name]))
