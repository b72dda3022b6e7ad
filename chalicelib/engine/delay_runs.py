"""DELAY schedules: the next run is the end of the last one plus the delay."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core import queue_messages
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.schedule import Definition, Schedule, State
from chalicelib.engine.handoff import enqueue, firing_of
from chalicelib.ports.services import Services

CHAIN_ATTEMPTS = 10


def chain(s: Services, execution: Execution) -> bool:
    """Set the next run of a DELAY schedule whose awaited execution has ended; does nothing in every other case. False
    when others changed the schedule again and again, so that it is not known whether the next run is set.

    The end counts as no earlier than the run's own instant and the version in force, whatever the clock of who ended it
    said. No instant before it is owed under any version. Idempotent: only the execution the schedule waits for
    (``queued_ms``) moves it, and moving it ends the waiting.
    """
    if execution.manual or execution.finished_ms is None:
        return True
    for _ in range(CHAIN_ATTEMPTS):
        found = s.stores.schedules.get([execution.key_of_schedule]).get(execution.key_of_schedule)
        if found is None or not _awaits(found, execution.firing_ms):
            return True
        moved = _next(s, found, max(execution.finished_ms, execution.firing_ms, found.state.current.since_ms))
        if s.stores.schedules.write_states([(moved, found.state.rev)])[0]:
            return True
    return False


def _awaits(found: Schedule, firing_ms: int) -> bool:
    state = found.state
    waits = state.status == "active" and state.next_run_ms is None and state.queued_ms == firing_ms
    return waits and found.definition.type == "DELAY"


def _next(s: Services, found: Schedule, ended_ms: int) -> State:
    definition, state = found.definition, found.state
    due = definition.compiled().after_end(definition.owes_from(ended_ms))
    if due is None or schedule.runs_left(definition, state.run_count) == 0:
        return replace(state, rev=state.rev + 1, queued_ms=None)
    if due > s.clock.now_ms() + s.config.horizon_ms:
        return replace(state, rev=state.rev + 1, next_run_ms=due, queued_ms=None)
    return _queued(s, definition, state, due)


def _queued(s: Services, definition: Definition, state: State, due: int) -> State:
    enqueue(s, queue_messages.pack([firing_of(definition, due)]))
    return replace(state, rev=state.rev + 1, queued_ms=due, run_count=state.run_count + 1)
