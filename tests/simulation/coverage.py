"""What a run of many seeds has met: faults, steps of the state machine, branches of claim and reconcile, answers.

A fault or a step that no seed of a long run meets is a hole in the simulation, and fails it; so does a branch in a run
that is long enough for the rarest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from chalicelib.core.executions.execution import TRANSITIONS
from tests.simulation import (
    alert_plan,
    change_plan,
    lease_plan,
    listener_plan,
    tick_plan,
    trigger_plan,
    workflow_plan,
)
from tests.simulation.checkers import ruled, traffic
from tests.simulation.faults import KINDS
from tests.simulation.world import World

# Branches that worlds cannot reach, each with its reason.
UNREACHABLE: Mapping[str, str] = {
    "resume.resume_taken: if found is None": "records outlive every world: they expire after a month",
    "resume.resume_claimed: if found is None": "versions outlive every world",
    "resume._take_over: if definition is None": "versions outlive every world",
    "reconcile._overdue: if not (after is None)": "worlds are smaller than a page of 100",
}


def note_steps(world: World) -> None:
    """Count the steps that the world's executions took."""
    for writes in world.record.executions.values():
        for step in writes[-1].record.history:
            world.hit(f"step:{step.source} > {step.target}")


STEPS = tuple(f"step:{source} > {target}" for source, targets in TRANSITIONS.items() for target in sorted(targets))

# What every long run must hit in each kind of world, branches aside.
WANTED: Mapping[str, tuple[str, ...]] = {
    "firings": (*(f"fault:{kind}" for kind in KINDS), "fault:time_limit", *STEPS, *traffic.POINTS, *ruled.POINTS),
    "leases": (*(f"fault:{kind}" for kind in lease_plan.KINDS), *lease_plan.POINTS),
    "ticks": (*(f"fault:{kind}" for kind in tick_plan.KINDS), "fault:time_limit", *tick_plan.POINTS),
    "changes": (*(f"fault:{kind}" for kind in change_plan.KINDS), *change_plan.POINTS),
    "workflows": (*(f"fault:{kind}" for kind in workflow_plan.KINDS), *workflow_plan.POINTS),
    "triggers": (*(f"fault:{kind}" for kind in trigger_plan.KINDS), *trigger_plan.POINTS),
    "alerts": (*(f"fault:{kind}" for kind in alert_plan.KINDS), *alert_plan.POINTS),
    "listeners": (*(f"fault:{kind}" for kind in listener_plan.KINDS), *listener_plan.POINTS),
}


def wanted(worlds: Iterable[str]) -> list[str]:
    """The points that a long run of these kinds of world must hit, each with its world before it."""
    return [f"{world} {point}" for world in worlds for point in WANTED[world]]


def missing(worlds: Iterable[str], hits: Mapping[str, int]) -> list[str]:
    """Faults and steps that were never hit."""
    return [point for point in wanted(worlds) if not hits.get(point)]


def cold_branches(branches: Mapping[str, int]) -> list[str]:
    """Branches of claim and reconcile that were never taken, the unreachable ones aside."""
    return [f"branch:{label}" for label, count in branches.items() if not count and label not in UNREACHABLE]


def unknown_branches(branches: Mapping[str, int]) -> list[str]:
    """Branches that are called unreachable and are not there: the code has moved."""
    return [f"no such branch: {label}" for label in UNREACHABLE if label not in branches]


def table(worlds: Iterable[str], hits: Mapping[str, int], branches: Mapping[str, int]) -> Iterator[str]:
    """Every point with its count, in groups."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for point in sorted({*hits, *wanted(worlds)}):
        kind, _, name = point.partition(":")
        groups.setdefault(kind, []).append((name.strip(), hits.get(point, 0)))
    if branches:
        groups["branch"] = sorted(branches.items())
    for kind, points in groups.items():
        yield f"{kind}:"
        width = max(len(name) for name, _ in points)
        yield from (f"  {name:<{width}}  {count:>9}" for name, count in points)
