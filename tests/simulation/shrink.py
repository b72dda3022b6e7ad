"""Makes a failing seed short: leaves out operations, faults, schedules and clients as long as it still fails the same
way."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.played import Played


def shrink(play: Callable[[int, frozenset[str]], Played], failed: Played) -> frozenset[str]:
    """What can be left out of a failing seed: delta debugging (Zeller, Hildebrandt, TSE 2002) over its parts."""
    checker = failed.problems[0].partition(":")[0]
    left_out: set[str] = set()
    rest = list(failed.parts())[::-1]  # what was planned last goes first: faults before what they strike
    size = max(1, len(rest) // 2)
    while size:
        start = 0
        while start < len(rest):
            tried = rest[start : start + size]
            played = play(failed.seed, frozenset(left_out | set(tried)))
            if any(problem.startswith(f"{checker}:") for problem in played.problems):
                left_out |= set(tried)
                del rest[start : start + size]
            else:
                start += size
        size //= 2
    return frozenset(left_out)
