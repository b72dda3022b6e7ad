"""``workflows``: what does a step of a workflow cost, and how long does the next one wait for it?

A chain of conditions runs through the real engine and adapters against the emulator: a condition does nothing that
takes time, so that all that is seen is the engine's own. A proxy counts calls and units. Times are the log's own: from
the end of a step to the end of the next.
"""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from typing import Any

import msgspec

from bench.report import Report, Target, percentile, table
from bench.virtual import World, deployment
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import runs, workflows
from chalicelib.workers import workflow

STEPS = 100
STANDARD_USD = 0.025  # a thousand transitions of Step Functions, eu-west-1 as us-east-1
WRITE_USD, READ_USD = 0.000625, 0.000125  # a thousand units of DynamoDB on demand
OVERHEAD_MOST_MS = 20.0


def run(options: Namespace) -> Report:
    """One chain."""
    steps = options.count or STEPS
    report = Report("workflows", {"steps": steps})
    with deployment() as world:
        s, queue = _services(world)
        _publish(s, steps)
        _play(s, queue)  # CEL is loaded, every client is made
        before = world.proxy.ledger.copy()
        run_id = _play(s, queue)
        spent = world.proxy.ledger.since(before)
        events = s.stores.runs.events("default", run_id, 0, 25_000)
    ends = [event.at_ms for event in events if event.type == "node_completed"]
    gaps = [float(after - end) for end, after in pairwise(ends)]
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
    return report


def _services(world: World) -> tuple[Services, MemoryQueue]:
    from chalicelib.adapters.machine.system import SystemClock

    clock = SystemClock()
    queue = MemoryQueue(clock.now_ms)
    assert world.services.workflows is not None
    parts = msgspec.structs.replace(world.services.workflows, queue=queue)
    return msgspec.structs.replace(world.services, clock=clock, workflows=parts), queue


def _publish(s: Services, steps: int) -> None:
    names = [f"c{step}" for step in range(steps)]
    case = {"cases": [{"name": "yes", "when": {"cel": "input.n == 1"}}]}
    nodes: list[dict[str, Any]] = [{"id": "t", "type": "trigger", "on": "manual"}]
    nodes += [{"id": name, "type": "condition", **case} for name in names]
    ways = [{"from": a, "to": b} for a, b in zip(["t", *names], names, strict=False)]
    workflows.create(s, ANONYMOUS_ADMIN, {"name": "chain", "nodes": nodes, "edges": ways})


def _play(s: Services, queue: MemoryQueue) -> str:
    run_id = runs.start(s, ANONYMOUS_ADMIN, "chain", {"n": 1})
    while batch := queue.receive(10):
        workflow.run(s, batch)
        for incoming in batch:
            queue.delete(incoming.receipt)
    assert runs.get(s, ANONYMOUS_ADMIN, run_id).run.state.status == "completed"
    return run_id
