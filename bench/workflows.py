"""``workflows``: what does a step of a workflow cost, and how long does the next one wait for it?

A chain of conditions runs through the real engine and adapters against the emulator: a condition does nothing that
takes time, so that all that is seen is the engine's own. One run goes through a proxy that counts calls and units. The
next ones are timed without it: it reads a whole table after each write. Times are the log's own: from the end of a step
to the end of the next.
"""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from typing import Any

import msgspec

from bench import foreach
from bench.report import Report, Target, percentile, table
from bench.virtual import deployment
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import runs, workflows
from chalicelib.workers import workflow

PARTS = ("chain", "foreach")
STEPS = 100
TIMED_RUNS = 5
STANDARD_USD = 0.025  # a thousand transitions of Step Functions, eu-west-1 as us-east-1
WRITE_USD, READ_USD = 0.000625, 0.000125  # a thousand units of DynamoDB on demand
OVERHEAD_MOST_MS = 20.0


def run(options: Namespace) -> Report:
    """One chain; with ``--part foreach`` what a wide foreach weighs, which takes ten minutes."""
    parts = options.part or PARTS[:1]
    steps = options.count or STEPS
    report = Report("workflows", {"steps": steps, "parts": list(parts)})
    if "chain" in parts:
        _chain(report, steps)
    if "foreach" in parts:
        foreach.measure(report, options.count)
    return report


def _chain(report: Report, steps: int) -> None:
    with deployment() as world:
        counted, queue = with_own_queue(world.services)
        _publish(counted, steps)
        play(counted, queue)  # CEL is loaded, every client is made
        before = world.proxy.ledger.copy()
        play(counted, queue)
        spent = world.proxy.ledger.since(before)
        timed, queue = with_own_queue(world.direct)
        play(timed, queue)
        gaps = [gap for _ in range(TIMED_RUNS) for gap in _gaps(timed, play(timed, queue))]
    calls, writes = sum(spent.calls.values()) / steps, sum(spent.writes.values()) / steps
    reads = sum(spent.read_halves.values()) / 2 / steps
    price = writes * WRITE_USD + reads * READ_USD
    p50 = percentile(gaps, 50)
    report.results |= {
        "calls_per_step": round(calls, 2),
        "write_units_per_step": round(writes, 2),
        "read_units_per_step": round(reads, 2),
        "usd_per_thousand_steps": round(price, 5),
        "step_functions_usd_per_thousand": STANDARD_USD,
        "step_to_step_ms": {"p50": p50, "p99": percentile(gaps, 99)},
    }
    report.targets.append(Target("step to step, p50 ms", OVERHEAD_MOST_MS, p50))
    rows = [[operation, place, n, round(n / steps, 2)] for (_, operation, place), n in spent.calls.most_common()]
    report.tables.append(table(("call", "place", "calls", "a step"), rows))


def with_own_queue(given: Services) -> tuple[Services, MemoryQueue]:
    """Services whose steps are sent to a queue of this process, in real time."""
    from chalicelib.adapters.machine.system import SystemClock

    clock = SystemClock()
    queue = MemoryQueue(clock.now_ms)
    assert given.workflows is not None
    parts = msgspec.structs.replace(given.workflows, queue=queue)
    return msgspec.structs.replace(given, clock=clock, workflows=parts), queue


def _gaps(s: Services, run_id: str) -> list[float]:
    events = s.stores.runs.events("default", run_id, 0, 25_000)
    ends = [event.at_ms for event in events if event.type == "node_completed"]
    return [float(after - end) for end, after in pairwise(ends)]


def _publish(s: Services, steps: int) -> None:
    names = [f"c{step}" for step in range(steps)]
    case = {"cases": [{"name": "yes", "when": {"cel": "input.n == 1"}}]}
    nodes: list[dict[str, Any]] = [{"id": "t", "type": "trigger", "on": "manual"}]
    nodes += [{"id": name, "type": "condition", **case} for name in names]
    ways = [{"from": a, "to": b} for a, b in zip(["t", *names], names, strict=False)]
    workflows.create(s, ANONYMOUS_ADMIN, {"name": "chain", "nodes": nodes, "edges": ways})


def play(s: Services, queue: MemoryQueue, name: str = "chain", given: Any = None) -> str:
    """Walk a run to its end; its id."""
    run_id = runs.start(s, ANONYMOUS_ADMIN, name, {"n": 1} if given is None else given)
    while batch := queue.receive(10):
        workflow.run(s, batch)
        for incoming in batch:
            queue.delete(incoming.receipt)
    assert runs.get(s, ANONYMOUS_ADMIN, run_id).run.state.status == "completed"
    return run_id
