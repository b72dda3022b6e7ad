"""The mark of a bad end: how schedules whose last execution failed, timed out or was cancelled are found.

While all goes well nothing is written. An execution that ends well checks its own record (``mends``), which says
whether there was a mark when it was claimed. The mark is written before the record that it is about. A process that
dies in between leaves a mark that the record's real end corrects, never a bad end without a mark. A reader that goes by
the mark checks it against the record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from chalicelib.core.executions.execution import CANCELLED, COMPLETED, Execution, ExecutionKey
from chalicelib.core.jobs import job_status
from chalicelib.core.schedules.schedule import Key, State
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

MARK_ATTEMPTS = 12


def note(s: Services, ended: Iterable[Execution]) -> None:
    """Mark the schedules of executions that end badly, and unmark those that one that ends well mends."""
    latest: dict[Key, Execution] = {}
    for execution in ended:
        changes_mark = execution.state in job_status.BAD or (execution.state == COMPLETED and execution.mends)
        known = latest.get(execution.key_of_schedule)
        if changes_mark and (known is None or known.firing_ms <= execution.firing_ms):
            latest[execution.key_of_schedule] = execution
    for key, execution in latest.items():
        _mark(s, key, execution)


def note_stored(s: Services, keys: Sequence[ExecutionKey]) -> None:
    """Put the marks right after others were faster to end these executions."""
    for execution in s.stores.executions.get(keys).values() if keys else ():
        if execution.state in job_status.BAD or execution.state == COMPLETED:
            _mark(s, execution.key_of_schedule, execution)


def _mark(s: Services, key: Key, execution: Execution) -> None:
    for _ in range(MARK_ATTEMPTS):
        state = s.stores.schedules.states([key]).get(key)
        if state is None or state.status == "deleted" or _job_is_cancelled(state):
            return
        marked = _marked(state, _newest(s, state, execution))
        if marked is None or s.stores.schedules.write_states([(marked, state.rev)])[0]:
            return
    log.warning("could not mark how a job ended", extra={"schedule_id": key.id})


def _job_is_cancelled(state: State) -> bool:
    """A cancelled job stays so until it is resumed, whatever its last execution still does."""
    return state.status == "paused" and state.outcome == CANCELLED


def _marked(state: State, execution: Execution) -> State | None:
    """The state with the mark of ``execution``; None when it has that mark, or that of a later one."""
    outcome = execution.state if execution.state in job_status.BAD else ""
    if outcome == state.outcome or execution.firing_ms < state.outcome_ms:
        return None
    return replace(state, rev=state.rev + 1, outcome=outcome, outcome_ms=execution.firing_ms)


def _newest(s: Services, state: State, execution: Execution) -> Execution:
    """``execution``, or one claimed for a later instant that has ended already: the last one decides."""
    last_ms = state.last_claimed_ms
    if last_ms <= execution.firing_ms:
        return execution
    keys = [ExecutionKey(state.tenant, state.id, last_ms, manual) for manual in (False, True)]
    ended = [e for e in s.stores.executions.get(keys).values() if e.state in job_status.BAD or e.state == COMPLETED]
    return ended[0] if ended else execution
