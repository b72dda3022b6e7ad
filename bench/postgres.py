"""``postgres``: the product on PostgreSQL, beside job queues that keep their jobs in PostgreSQL too.

The product is ``scripts/dev --postgres --workers 2``: one PostgreSQL, API and workers share the machine. All targets
are ``log``. Lateness is what its journal says: when the first attempt began, after its instant. Peers note when their
job began, after the same spread of instants.
"""

from __future__ import annotations

import random
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import postgres_idle, postgres_peers, postgres_takeover
from bench.crowd import PERIOD_MS, phases, sleep_until_ms
from bench.firing import now_ms
from bench.postgres_peers import PEERS, NoPeer
from bench.postgres_product import Firings, PostgresProduct
from bench.report import Report, Target, spread, table
from chalicelib.core.instants import to_rfc3339

PARTS = ("start", "lateness", "herd", "load", "idle", "takeover", "million")
SYSTEMS = ("chronowatch", *PEERS)
COUNT = 200
SPAN_MS = 30_000
HERD = 1000
RATE = 1000
HOLD_S = 60
WORKERS = 2
CREATED_PER_S = 150  # what a busy machine creates for certain
RUN_UP_MS = 7000
DRAIN_S = 60.0
FIRST_START_MOST_S = 30.0
AGAIN_MOST_S = 3.0
P99_MOST_MS = 100.0
COLUMNS = ["late by, ms", "count", "p50", "p95", "p99", "max", "missing", "twice", "% of core"]

Run = tuple[str, list[int]]  # a case, and its instants from 0 on


def run(options: Namespace) -> Report:
    """All parts but a million, or those that ``--part`` names. Each peer then gets what the product got."""
    parts = options.part or PARTS[:-1]
    rate, hold_s = (options.rates or (RATE,))[0], options.hold or HOLD_S
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
    settings = {"workers": WORKERS, "parts": list(parts), "rate": rate, "hold_s": hold_s, "seed": seed}
    report = Report("postgres", settings)
    ours = "chronowatch" in (options.only or ("chronowatch",))
    wanted = cases(parts, options.count or COUNT, rate, hold_s, seed)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="chronowatch-bench-") as folder:
        first_s = None
        if ours and ({"start", "idle", "takeover"} & set(parts) or wanted):
            with PostgresProduct((f"--workers={WORKERS}",), Path(folder)) as product:
                first_s = product.started_s
                if "idle" in parts:
                    postgres_idle.at_rest(report, product, "no schedules")
                for name, offsets in wanted:
                    rows.append(_fire(report, product, name, offsets))
                if "takeover" in parts:
                    postgres_takeover.measure(report, product)
        if ours and "start" in parts:
            with PostgresProduct((f"--workers={WORKERS}",), Path(folder)) as product:
                _promise_start(report, first_s, product.started_s)
    if ours and "idle" in parts and options.peer:
        postgres_idle.emulator_at_rest(report)
    if options.peer and wanted:
        for name in PEERS:
            if name in (options.only or PEERS):
                rows += _peer(report, name, wanted)
    if rows:
        report.tables.append(table(COLUMNS, rows))
    if ours and "million" in parts:
        postgres_idle.million(report, options.count)
    return report


def cases(parts: Sequence[str], count: int, rate: int, hold_s: int, seed: int) -> list[Run]:
    """The cases of the parts, with their instants."""
    found: list[Run] = []
    if "lateness" in parts:
        found.append(("at random", random.Random(seed).sample(range(SPAN_MS), count)))  # noqa: S311
    if "herd" in parts:
        found.append((f"{HERD} at once", [0] * HERD))
    if "load" in parts:
        firsts = phases(rate, 0)
        found.append((f"{rate}/s for {hold_s} s", [at + k * PERIOD_MS for k in range(hold_s) for at in firsts]))
    return found


def _promise_start(report: Report, first_s: float | None, again_s: float) -> None:
    report.targets += [
        Target("first start, with the making of the database, s", FIRST_START_MOST_S, first_s),
        Target("start again, s", AGAIN_MOST_S, again_s),
    ]
    report.results["start_s"] = {"first": first_s, "again": again_s}


# -- the product


def _fire(report: Report, product: PostgresProduct, name: str, offsets: Sequence[int]) -> list[object]:
    """Create what fires at the offsets, wait for all of it, judge."""
    repeats = name.endswith(" s")
    bodies = rates(offsets) if repeats else [{"type": "AT", "offset": at} for at in offsets]
    first_ms = now_ms() + RUN_UP_MS + 2000 + len(bodies) * 1000 // CREATED_PER_S
    begun = time.monotonic()
    product.create([_body(body, first_ms) for body in bodies])
    creating_s = time.monotonic() - begun
    late_ms = now_ms() + RUN_UP_MS - 2000 - first_ms
    if late_ms > 0:
        report.faults.append(f"{name}: created {late_ms} ms too late to be measured")
    sleep_until_ms(first_ms)
    before, from_s = product.cpu_by_process(), time.monotonic()
    last_ms = first_ms + max(offsets)
    sleep_until_ms(last_ms + PERIOD_MS)
    after, took_s = product.cpu_by_process(), time.monotonic() - from_s
    busy = {each: (after[each] - before[each]) / took_s for each in after if each in before}
    sleep_until_ms(last_ms + 3000)
    in_time = product.firings(first_ms, last_ms)
    found = product.settled(first_ms, last_ms, len(offsets), DRAIN_S)
    missing = len(offsets) - len(found.completed)
    _judge(report, name, found, len(offsets))
    report.results[f"chronowatch: {name}"] = {
        **found.as_json(),
        "asked": len(offsets),
        "missing_3_s_after": len(offsets) - len(in_time.completed),
        "busy_percent_of_a_core": {each: round(share * 100, 1) for each, share in busy.items()},
        "created_per_s": round(len(bodies) / creating_s),
    }
    return _row(f"chronowatch: {name}", found.late_ms, missing, found.repeated, busy)


def _judge(report: Report, name: str, found: Firings, asked: int) -> None:
    if len(found.completed) != asked:
        report.faults.append(f"{name}: {len(found.completed)} of {asked} are completed")
    if found.repeated:
        report.faults.append(f"{name}: {found.repeated} needed more than one attempt")
    report.targets.append(Target(f"chronowatch: {name}: p99 ms", P99_MOST_MS, spread(found.late_ms)["p99"]))


def rates(offsets: Sequence[int]) -> list[dict[str, object]]:
    """The schedules whose instants these are, one period apart."""
    firsts = [at for at in offsets if at < PERIOD_MS]
    count = len(offsets) // len(firsts)
    return [{"type": "RATE", "offset": at, "last": at + (count - 1) * PERIOD_MS} for at in firsts]


def _body(body: Mapping[str, object], first_ms: int) -> dict[str, object]:
    at_ms = first_ms + int(str(body["offset"]))
    target = {"type": "log"}
    if body["type"] == "AT":
        return {"type": "AT", "expr": f"at:{to_rfc3339(at_ms)}", "target": target}
    last_ms = first_ms + int(str(body["last"]))
    return {
        "type": "RATE",
        "expr": "rate:1s",
        "start_at_unix_ms": at_ms,
        "end_at_unix_ms": last_ms,
        "target": target,
    }


# -- peers


def _peer(report: Report, name: str, cases: Sequence[Run]) -> list[list[object]]:
    try:
        run = postgres_peers.command(name)
    except NoPeer as problem:
        report.notes.append(f"SKIPPED: {name}: {problem}")
        return []
    report.notes.append(f"{name}: {postgres_peers.SETTINGS[name]}")
    rows: list[list[object]] = []
    with postgres_peers.server() as server:
        for case, offsets in cases:
            first_ms = now_ms() + int(postgres_peers.needed_s(len(offsets)) * 1000)
            began = time.monotonic()
            try:
                fired = postgres_peers.fire(server, run, [first_ms + at for at in offsets])
            except RuntimeError as problem:
                report.faults.append(f"{name}: {case}: {problem}")
                continue
            took_s = time.monotonic() - began
            if fired.added_late_ms:
                report.faults.append(f"{name}: {case}: added {fired.added_late_ms} ms too late to be measured")
            report.results[f"{name}: {case}"] = fired.as_json()
            span_s = max(1.0, max(offsets) / 1000)
            busy = {name: fired.cpu_s / span_s, "postgres, adding too": fired.postgres_cpu_s / took_s}
            rows.append(_row(f"{name}: {case}", fired.late_ms, fired.missing, fired.doubled, busy))
    return rows


def _row(label: str, late_ms: Sequence[float], missing: int, doubled: int, busy: Mapping[str, float]) -> list[object]:
    s = spread(late_ms)
    shares = ", ".join(f"{name} {share * 100:.0f}" for name, share in busy.items() if share >= 0.005)
    return [label, len(late_ms), s["p50"], s["p95"], s["p99"], s["max"], missing, doubled, shares]
