"""Misses of ``sla_ms``: a firing whose delivery began too late, or that was given up (``missed``).

A record says so from the write on that shows when the first attempt started. For a delivery that takes long, that is
while it is still in progress. Instants that a caller asked for after they had passed (backfill) have no SLA.
"""

from __future__ import annotations

from chalicelib.core.executions.execution import MISSED, Execution


def is_missed(execution: Execution) -> bool:
    """Whether a record shows that its execution missed its SLA. Once it does, it always will."""
    if execution.requested and not execution.manual:
        return False
    return execution.late or any(step.target == MISSED for step in execution.history)


def lateness_ms(execution: Execution) -> int:
    """By how much after its instant (and jitter) a delivery that missed began, or was given up."""
    if execution.lateness_ms is not None:
        return execution.lateness_ms
    given_up_ms = next((step.at_ms for step in execution.history if step.target == MISSED), execution.firing_ms)
    return max(0, given_up_ms - execution.firing_ms - execution.offset_ms)
