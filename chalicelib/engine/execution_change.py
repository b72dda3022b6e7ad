"""Ending an execution from outside the way of its firing: a cancel, a report of its target, a run that is replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound, PreconditionFailed, TooMany
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution, ExecutionKey, version_of
from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Definition
from chalicelib.engine import claim_spans
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import Ended, write_outcomes
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned

CHANGE_ATTEMPTS = 12
CHAIN_HINT_MS = 2_000


def load(s: Services, key: ExecutionKey, versions: Sequence[str] | None = None) -> Execution:
    """One execution, also one that is only claimed, at one of ``versions`` (None: any). Raises NotFound,
    PreconditionFailed."""
    found = s.stores.executions.get([key]).get(key) or claim_spans.pending(s, key)
    if found is None:
        raise NotFound(f"there is no execution {key.id}")
    check_version(found, versions)
    return found


def check_version(found: Execution, versions: Sequence[str] | None) -> None:
    """Refuse a version other than those that a caller names. Raises PreconditionFailed."""
    if versions is not None and version_of(found) not in versions:
        raise PreconditionFailed("the execution has another version")


def cancel_running(
    s: Services, found: Execution, reason: str | None, versions: Sequence[str] | None = None
) -> Execution:
    """Cancel an execution that has begun; one that only was claimed may still be sent. Raises NotFound,
    PreconditionFailed, Conflict(not_cancellable), TooMany.

    The connection of a delivery under way in this process is closed; other processes check and close theirs. A target
    that has accepted the firing is sent a cancel event.
    """

    def cancelled(execution: Execution, definition: Definition, now_ms: int) -> Execution:
        return journal.cancel(execution, now_ms, reason)

    def before_write(execution: Execution) -> None:
        if execution.asynchronous:  # its target is at work and is to be notified: queued first, owed by the record
            enqueue(s, [Run(execution.key, execution.attempt + 1, s.clock.now_ms())])

    done = end(s, found, versions, cancelled, before_write)
    if done.attempts and done.target_type in s.targets:
        s.targets[done.target_type].cancel(done.id, done.attempt)
    return done


def end(
    s: Services,
    found: Execution,
    versions: Sequence[str] | None,
    ended: Callable[[Execution, Definition, int], Execution],
    before_write: Callable[[Execution], None] = lambda _: None,
) -> Execution:
    """Write what is reported of an open execution, ``found`` as it was read; what follows from it follows. ``versions``
    are those that it may have (None: any). ``before_write`` is called with the record as it was, before the write.

    Raises NotFound, PreconditionFailed, TooMany, and what ``ended`` raises.
    """
    for _ in range(CHANGE_ATTEMPTS):
        definition = _definition_of(s, found)
        after = replace(ended(found, definition, s.clock.now_ms()), hlc=s.ids.hlc())
        before_write(found)
        if definition.type == "DELAY" and not after.is_open:
            # Should this process die between the two writes below, the hint makes a worker chain the next run.
            enqueue(s, [Run(found.key, found.attempt, s.clock.now_ms() + CHAIN_HINT_MS)])
        if write_outcomes(s, [Ended(after, found.rev, definition)])[0]:
            follow(s, after, definition)
            return after
        found = load(s, found.key, versions)
    raise TooMany("the execution is being changed by many callers at once", code="contended")


def _definition_of(s: Services, execution: Execution) -> Definition:
    wanted = Versioned(execution.key_of_schedule, execution.version)
    definition = load_definitions(s, {wanted}).get(wanted)
    if definition is None:
        raise Conflict("the definition it ran under has expired", code="definition_expired")
    return definition


def recheck_claims(s: Services, cancelled: Execution, due_ms: int) -> None:
    """Make a worker that has claimed a firing due at ``due_ms`` recheck it. On return it is not sent any more, unless
    it has been."""
    key = cancelled.key_of_schedule
    for _ in range(CHANGE_ATTEMPTS):
        state = s.stores.schedules.states([key]).get(key)
        if state is None:
            return
        moved = replace(state, rev=state.rev + 1, epoch=state.epoch + 1)
        if s.stores.schedules.write_states([(moved, state.rev)])[0]:
            break
    until_ms, drift_ms = s.clock.now_ms() + RECHECK_AHEAD_MAX_MS + 1, s.config.max_drift_ms
    if until_ms - 2 * RECHECK_AHEAD_MAX_MS - drift_ms <= due_ms <= until_ms + drift_ms:
        s.clock.sleep_until(until_ms)  # a worker that has rechecked it already sends it by then
