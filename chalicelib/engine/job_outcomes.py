"""The mark of a bad end: how schedules whose last execution failed, timed out or was cancelled are found.

While all goes well nothing is written. An execution that ends well checks its own record (``mends``), which says
whether there was a mark when it was claimed. The mark is written before the record that it is about. A process that
dies in between leaves a mark that the record's real end corrects, never a bad end without a mark. A reader that goes by
the mark checks it against the record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from chalicelib.core.executions.execution import CANCELLED, COMPLETED, Execution, ExecutionKey
from chalicelib.core.jobs import job_status
from chalicelib.core.schedules.schedule import Key, State
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

MARK_ATTEMPTS = 12
LAST_SCAN_MAX = 20  # executions checked for the last one that was attempted


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


def remarked(s: Services, state: State) -> State:
    """The state of a cancelled job that is resumed (not yet written), marked by how its last execution ended."""
    records, _ = s.stores.executions.of_schedule(state.key, 0, s.clock.now_ms(), LAST_SCAN_MAX, None)
    last = job_status.last_attempted(records)
    if last is None or last.state not in job_status.BAD:
        return replace(state, outcome="")
    return replace(state, outcome=last.state, outcome_ms=last.firing_ms)


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
    """``execution``, or the one of the latest instant after it that has ended already: the last one decides."""
    if state.last_claimed_ms <= execution.firing_ms:
        return execution
    keys = [ExecutionKey(state.tenant, state.id, state.last_claimed_ms, manual) for manual in (False, True)]
    ended = next(_ended(s.stores.executions.get(keys).values()), None)
    if ended is None:  # it is still to come, or was taken back: one between may have ended
        from_ms, until_ms = execution.firing_ms + 1, state.last_claimed_ms
        records, _ = s.stores.executions.of_schedule(state.key, from_ms, until_ms, LAST_SCAN_MAX, None)
        ended = next(_ended(records), None)
    return execution if ended is None else ended


def _ended(records: Iterable[Execution]) -> Iterator[Execution]:
    return (e for e in records if e.state in job_status.BAD or e.state == COMPLETED)
