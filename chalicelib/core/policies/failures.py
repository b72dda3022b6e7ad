"""``pause_after_failures``: how many executions of a schedule have failed in a row.

The journal alone decides, and no count is stored. So two executions that end at once cannot be miscounted, and a worker
that dies leaves no wrong count behind. Executions are taken in the order of their instants. Those that ended ``failed``
or ``timeout``, all their attempts spent, follow on each other; a ``completed`` one begins anew. What is still open, or
ended as ``cancelled``, ``missed`` or ``skipped``, says nothing of the target and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from chalicelib.core.executions.execution import COMPLETED, FAILED, TIMEOUT, Execution

FAILURES = frozenset({FAILED, TIMEOUT})


class Streak(NamedTuple):
    """So many failures in a row; ``broken``: a success lies before them, and nothing older counts."""

    failures: int
    broken: bool


def streak(newest_first: Iterable[Execution], most: int) -> Streak:
    """The failures since the last success among ``newest_first``; counts no further than ``most``."""
    failures = 0
    for execution in newest_first:
        if failures >= most or execution.state == COMPLETED:
            return Streak(failures, broken=True)
        failures += execution.state in FAILURES
    return Streak(failures, broken=False)


def note(failures: int) -> str:
    """Why a schedule stands paused, for people."""
    return f"paused after {failures} consecutive failures"
