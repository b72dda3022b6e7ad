"""``load``: how many ``rate:1s`` schedules can be held: until p99 lateness passes one second, or an instant is lost?

Short probes find the highest rate; then it is held for ``--hold`` seconds. The schedules post to a webhook, their
phases spread over the second. Every step ends only when its backlog is worked off, so that nothing may be missing:
what arrived is held against what was owed, and the ledgers of a sample against both.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from bench import arrivals, crowd, redis_server
from bench.arrivals import Receiver
from bench.crowd import Crowd
from bench.firing import WEBHOOK
from bench.peer import environment
from bench.peer import python as prepare_peer
from bench.product import Product
from bench.redis_server import NoRedis
from bench.report import Report, spread, table

RATES = (50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600)
SYSTEMS = ("chronowatch", "apscheduler", "celery")
PROBE_S = 10
HOLD_S = 60
LATE_MOST_MS = 1000.0
SAMPLE = 10  # schedules of a step whose ledgers are read
BOUND_FROM = 0.8  # of a core: what is busier than this is the bottleneck
STEP_BACK = 0.8  # of the rate, when what a probe passed cannot be held
TRIES = 3
CORES = os.cpu_count() or 1

Step = Callable[[int, int], Crowd]


def run(options: Namespace) -> Report:
    """The product, then APScheduler, then Celery where Redis can be had."""
    rates, hold_s = options.rates or RATES, options.hold or HOLD_S
    report = Report("load", {"rates": list(rates), "probe_s": PROBE_S, "hold_s": hold_s, "late_most_ms": LATE_MOST_MS})
    chosen = options.only or (SYSTEMS if options.peer else SYSTEMS[:1])
    with Receiver() as receiver:
        if "chronowatch" in chosen:
            with Product() as product:
                _climb(report, "chronowatch", lambda n, s: step(product, receiver, n, s), rates, hold_s)
        if "apscheduler" in chosen:
            prepare_peer()
            _climb(report, "apscheduler + sqlite", lambda n, s: crowd.peer(receiver, n, s), rates, hold_s)
        if "celery" in chosen:
            _celery(report, receiver, rates, hold_s)
    report.notes.append("busy: percent of one core; machine: of all cores together, with the bench's own receiver")
    return report


def _celery(report: Report, receiver: Receiver, rates: Sequence[int], hold_s: int) -> None:
    try:
        redis_server.program()
        environment("celery")
    except (NoRedis, OSError) as problem:
        report.notes.append(f"SKIPPED: celery + redis: {problem}")
        return
    _climb(report, "celery + redis", lambda n, s: crowd.celery(receiver, n, s), rates, hold_s)
    report.notes.append(
        "celery's beat counts each second from its last run: what it drifts against the grid is lateness here"
    )


def _climb(report: Report, who: str, fire: Step, rates: Sequence[int], hold_s: int) -> None:
    """Probe upwards until a step breaks, hold the highest that passed, and enter all of it."""
    steps: list[tuple[str, Crowd]] = []

    def take(kind: str, count: int, seconds: int) -> None:
        steps.append((kind, fire(count, seconds)))
        _say(who, *steps[-1])

    passed = 0
    for count in rates:
        take("probe", count, PROBE_S)
        if not is_held(steps[-1][1]):
            break
        passed = count
    held = None
    for _ in range(TRIES if passed else 0):
        take("hold", passed, hold_s)
        if is_held(steps[-1][1]):
            held = steps[-1][1]
            break
        passed = max(1, int(passed * STEP_BACK))
    _enter(report, who, steps, held, hold_s)


def _say(who: str, kind: str, found: Crowd) -> None:
    """What became of each step as it ends: a climb takes minutes."""
    p99 = spread(found.late)["p99"]
    line = f"{who}: {kind} {found.schedules}/s: p99 {p99} ms, {found.missing} not in time, {len(found.faults)} faults"
    again = f", {found.again} came again" if found.again else ""
    print("\n  ".join([line + again, *found.faults[:5]]), file=sys.stderr, flush=True)


def is_held(found: Crowd) -> bool:
    """Whether p99 stayed within the second and all came in time."""
    p99 = spread(found.late)["p99"]
    return p99 is not None and p99 <= LATE_MOST_MS and found.missing == 0


def _enter(report: Report, who: str, steps: Sequence[tuple[str, Crowd]], held: Crowd | None, hold_s: int) -> None:
    rows: list[list[object]] = []
    for kind, each in steps:
        s = spread(each.late)
        busy = ", ".join(f"{name} {share * 100:.0f}" for name, share in each.busy.items())
        rows.append([f"{who}: {kind} {each.schedules}/s", s["p50"], s["p99"], s["max"], each.missing, busy])
        # What a peer loses is its figure; a fault is only that it could not be measured.
        report.faults += [f"{who}: {kind} {each.schedules}/s: {fault}" for fault in each.faults[:5]]
    columns = ["late by, ms", "p50", "p99", "max", "not in time", "busy, percent of a core"]
    report.tables.append(table(columns, rows))
    limit = bottleneck(steps[-1][1].busy if held is None else held.busy)
    top = bottleneck(max((each for _, each in reversed(steps)), key=lambda each: each.schedules).busy)
    broke = not all(is_held(each) for _, each in steps)
    report.results[who] = {
        "held_per_s": held.schedules if held is not None else 0,
        "held_for_s": hold_s,
        "broke": broke,
        "bottleneck_when_held": limit,
        "bottleneck_at_the_top": top,
        "not_delivered_in_time": sum(each.missing for _, each in steps),
        "steps": [{"kind": kind, **each.as_json()} for kind, each in steps],
    }
    rate = f"{held.schedules}/s held for {hold_s} s" if held is not None else "no rate was held"
    above = "" if broke else "; nothing broke: give higher --rates"
    report.notes.append(f"{who}: {rate}; the bottleneck at the highest step: {top}{above}")


def bottleneck(busy: dict[str, float]) -> str:
    """Which process has no more to give: the service, the emulator, the whole machine, or none, which then waits."""
    machine = busy.get("machine", 0.0)
    single = {name: share for name, share in busy.items() if name != "machine"}
    if not single:
        return "unknown"
    name, share = max(single.items(), key=lambda each: each[1])
    who = {"worker": "service (worker)", "server": "service (server)"}.get(name, name)
    if share >= BOUND_FROM:
        return f"{who}, {share * 100:.0f} % of a core"
    if machine >= BOUND_FROM * CORES:
        return f"the machine: all cores {machine / CORES * 100:.0f} % busy, of a core most by {who}"
    return f"none: {who} is the busiest with {share * 100:.0f} % of a core, so it waits"


def step(product: Product, receiver: Receiver, count: int, seconds: int) -> Crowd:
    """One step of the product: arrivals against what is owed, and the ledgers of a sample."""
    made = crowd.Made(product, receiver, WEBHOOK, count, seconds)
    busy = made.watch()
    in_time = receiver.take()
    arrived = made.drain(receiver, in_time)
    again = {name: tokens for name, tokens in receiver.tokens().items() if name in arrived}
    faults = made.faults + made.judge_owed(arrived) + crowd.judge_tokens(again)
    looked_at = sorted({*sample(count), *made.short_of(arrived)})
    faults += [fault for number in looked_at for fault in made.judge_ledger(number, arrived)]
    late = list(arrivals.lateness_ms(arrived).values())
    missing = made.asked - len(in_time)
    return Crowd("chronowatch → webhook", count, made.asked, late, missing, faults, busy, len(again))


def sample(count: int) -> list[int]:
    """Numbers of schedules, spread evenly: first and last among them."""
    wanted = min(SAMPLE, count)
    return sorted({number * (count - 1) // max(1, wanted - 1) for number in range(wanted)})
