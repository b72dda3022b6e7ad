"""The checkers: one module for each invariant, all judging the world's own record.

Each has ``check(play) -> Iterable[str]``: one line for each thing that broke.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.checkers import (
    clocks,
    delays,
    durable,
    fencing,
    history,
    leases,
    lost,
    machine,
    obeyed,
    progress,
    runs,
    turns,
)

ALL = (lost, machine, fencing, leases, clocks, durable, obeyed, progress, delays, runs, turns)
__all__ = ["ALL", "history", "judge"]


def judge(play: Any) -> list[str]:
    """What every checker found, each line beginning with the checker's name."""
    problems = [f"unexpected: {text}" for text in dict.fromkeys(play.world.record.unexpected)]
    for checker in ALL:
        name = checker.__name__.rpartition(".")[2]
        problems += [f"{name}: {text}" for text in checker.check(play)]
    return problems
