"""Makes a failing seed short: leaves out operations, faults and schedules as long as it still fails the same way."""

from __future__ import annotations

from tests.simulation import scenario
from tests.simulation.play import Played, play


def parts(seed: int) -> list[str]:
    """The names of everything in a seed that can be left out."""
    plan = scenario.draw(seed)
    return [
        *(f"fault {f.number}" for f in plan.faults),
        *(f"op {op.number}" for op in plan.ops),
        *(f"schedule {s.number}" for s in plan.schedules),
    ]


def shrink(seed: int, failed: Played) -> frozenset[str]:
    """What can be left out of a failing seed: delta debugging (Zeller, Hildebrandt, TSE 2002) over its parts."""
    checker = failed.problems[0].partition(":")[0]
    left_out: set[str] = set()
    rest = parts(seed)
    size = max(1, len(rest) // 2)
    while size:
        start = 0
        while start < len(rest):
            tried = rest[start : start + size]
            if _fails(seed, frozenset(left_out | set(tried)), checker):
                left_out |= set(tried)
                del rest[start : start + size]
            else:
                start += size
        size //= 2
    return frozenset(left_out)


def _fails(seed: int, left_out: frozenset[str], checker: str) -> bool:
    return any(problem.startswith(f"{checker}:") for problem in play(seed, left_out).problems)
