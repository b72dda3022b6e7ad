"""Jobs: schedules as Scheduled-DB's callers know them, ``unico`` (once) and ``recurrente`` (again and again).

A job's status is that of its last execution. Nothing is written for it while all goes well: ``pending`` and
``completed`` are read off the schedule's state and the record of its last run. Only a bad end leaves a mark in the
state (``outcome``), and the next good one takes it away; see engine/job_outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from chalicelib.core.executions.execution import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    MISSED,
    PENDING,
    SKIPPED,
    TIMEOUT,
    Execution,
)
from chalicelib.core.schedules import last_run
from chalicelib.core.schedules.capacity import is_cancelled
from chalicelib.core.schedules.schedule import Schedule, State, progress

JobType = Literal["unico", "recurrente"]
JobStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled", "timeout"]
UNICO: Final = "unico"
RECURRENTE: Final = "recurrente"
STATUSES: Final = (PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED, TIMEOUT)
BAD: Final = frozenset({FAILED, TIMEOUT, CANCELLED})
ATTEMPTED: Final = frozenset({PENDING, IN_PROGRESS, COMPLETED, *BAD})

# The groups that jobs are listed by: the bad outcomes, and these two.
FRESH, RAN = "fresh", "ran"
GROUP_OF: Final = {PENDING: FRESH, COMPLETED: RAN, FAILED: FAILED, TIMEOUT: TIMEOUT, CANCELLED: CANCELLED}
_BEGUN: Final = (RAN, FAILED, TIMEOUT, CANCELLED)  # what has run once, and so may be running or wait for a next run

# Where else jobs with a status may be. A run that goes well takes a mark away only if it was claimed after it was made.
ALSO_IN: Final[Mapping[JobStatus, Sequence[str]]] = {
    PENDING: _BEGUN,
    IN_PROGRESS: _BEGUN,
    COMPLETED: (FAILED, TIMEOUT, CANCELLED),
    FAILED: (),
    TIMEOUT: (),
    CANCELLED: (),
}


def kind(found: Schedule) -> JobType:
    """The type of a schedule as a job: what runs at one instant is ``unico``."""
    return UNICO if found.definition.type == "AT" else RECURRENTE


def group(state: State) -> str | None:
    """The group that a schedule is listed in; None for a deleted one.

    It moves when a schedule is claimed for the first time, or when its last instant is recorded without that. It moves
    with a bad outcome and its repair, and never in an ordinary firing.
    """
    if state.status == "deleted":
        return None
    if state.outcome:
        return state.outcome
    waits = state.chained and state.queued_ms is not None  # a DELAY, for the end of its run
    over = state.status == "active" and state.next_run_ms is None and _is_answered(state) and not waits
    return RAN if state.fence or over else FRESH


def last_run_ms(found: Schedule, now_ms: int) -> int | None:
    """The instant of the last execution that was attempted, as the state records it."""
    return last_run.last_run_ms(found.definition, found.state, now_ms)


def last_attempted(records: Iterable[Execution]) -> Execution | None:
    """The execution of the latest instant that was attempted. One that has not begun gives way to one under way."""
    attempted = sorted((r for r in records if r.state in ATTEMPTED), key=lambda r: (r.firing_ms, r.manual))
    last = attempted[-1] if attempted else None
    if last is None or last.state != PENDING or last.attempts:
        return last
    return next((r for r in reversed(attempted) if r.state == IN_PROGRESS), last)


def status(found: Schedule, last: Execution | None, now_ms: int) -> JobStatus:
    """The status of a job whose last attempted execution is ``last`` (None: there is none, or it has expired)."""
    if is_cancelled(found.definition, found.state):
        return CANCELLED
    if last is not None and last.state != MISSED and last.state != SKIPPED:
        return last.state
    if found.state.outcome:
        return found.state.outcome
    course = progress(found, now_ms)
    over = course.state == "completed" and _is_answered(found.state)
    return COMPLETED if over or course.last_run_ms is not None else PENDING


def _is_answered(state: State) -> bool:
    """Whether the last instant that was queued is claimed or recorded, and not still on its way."""
    return state.queued_ms is None or state.queued_ms <= state.reached_ms
