"""The checkers: one module for each invariant, all judging the world's own record.

Each has ``check(play) -> Iterable[str]``: one line for each thing that broke.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation.checkers import (
    alerts,
    changes,
    clocks,
    delays,
    doubts,
    durable,
    failover,
    failures,
    fencing,
    heartbeats,
    hidden,
    history,
    leases,
    listeners,
    lost,
    machine,
    misses,
    notices,
    obeyed,
    overtaken,
    paced,
    progress,
    queue_pauses,
    ruled,
    run_cancels,
    run_ends,
    run_gates,
    run_instants,
    run_items,
    run_rest,
    run_slas,
    run_steps,
    run_values,
    runs,
    shards,
    silences,
    stamps,
    ticks,
    traffic,
    triggers,
    turns,
    waits,
)

FIRINGS = (
    lost,
    machine,
    fencing,
    clocks,
    durable,
    obeyed,
    overtaken,
    progress,
    delays,
    runs,
    turns,
    traffic,
    failures,
    misses,
    silences,
    waits,
    doubts,
    notices,
    paced,
    hidden,
    failover,
    queue_pauses,
    ruled,
)
LEASES = (leases, shards, stamps)
TICKS = (ticks,)
CHANGES = (changes,)
WORKFLOWS = (run_ends, run_steps, run_cancels, run_instants, run_gates, run_items, run_rest, run_slas, run_values)
TRIGGERS = (triggers,)
ALERTS = (heartbeats, alerts)
LISTENERS = (listeners,)
__all__ = ["ALERTS", "CHANGES", "FIRINGS", "LEASES", "LISTENERS", "TICKS", "TRIGGERS", "WORKFLOWS", "history", "judge"]


def judge(play: Any, these: Sequence[Any]) -> list[str]:
    """What these checkers found, each line beginning with the checker's name."""
    problems = [f"unexpected: {text}" for text in dict.fromkeys(play.world.record.unexpected)]
    for checker in these:
        name = checker.__name__.rpartition(".")[2]
        problems += [f"{name}: {text}" for text in checker.check(play)]
    return problems
