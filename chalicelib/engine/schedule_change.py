"""Changing a schedule, for callers and for the engine alike.

Every change follows one order: settle what is overdue, then queue what falls inside the horizon under a new version id.
Only then one write makes the version true, on the condition of the ``rev`` that was read. A crash in between leaves
orphan messages: their version never comes into force.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound, PreconditionFailed, TooMany
from chalicelib.core.executions.execution import CANCELLED, Execution, ExecutionKey
from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.policies import failures, monitor
from chalicelib.core.policies.limits import FAILURE_PAUSES_KEPT
from chalicelib.core.schedules import capacity, schedule
from chalicelib.core.schedules.limits import SETTLE_MAX_INSTANTS
from chalicelib.core.schedules.schedule import BadEnd, Definition, FailurePause, Key, Schedule, State, VersionRef
from chalicelib.engine import claim_spans, handoff, job_outcomes
from chalicelib.engine.capacity import counted, exhausted, limits
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.handoff import Owed, hand_off
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import CapacityFull, NameTaken, RevisionLost, ScheduleChange

CHANGE_ATTEMPTS = 12


def load(s: Services, key: Key) -> Schedule:
    """One schedule. Raises NotFound."""
    found = s.stores.schedules.get([key]).get(key)
    if found is None:
        raise NotFound(f"there is no schedule {key.id}")
    return found


def change(
    s: Services,
    key: Key,
    if_match: str | None,
    edited: Callable[[Definition], Definition],
    outcome: BadEnd | None = None,
    first: Schedule | None = None,
) -> Schedule:
    """Load, settle, decide, queue, write; from the top again when another writer was faster. ``outcome`` marks the
    schedule so (None: the mark stays). ``first`` is the schedule as the caller has just read it.

    Raises NotFound, PreconditionFailed, Conflict(name_taken), CapacityExhausted, TooMany.
    """
    for _ in range(CHANGE_ATTEMPTS):
        found, first = first or load(s, key), None
        check_match(found.definition, if_match)
        changed = edited(found.definition)
        if changed == found.definition and outcome in (None, found.state.outcome):
            return found
        since_ms = _next_since_ms(s, found)
        settled = settle(s, found, since_ms)
        if settled is None:
            continue
        made = _next_version(s, settled, changed, since_ms, outcome)
        if _write_change(s, settled, made):
            _outlast_rechecks(s, settled, since_ms)
            return made
    raise TooMany("the schedule is being changed by many callers at once", code="contended")


def delete(s: Services, key: Key, if_match: str | None, first: Schedule | None = None) -> None:
    """Delete: in-flight firings are not delivered; executions stay readable. ``first`` as in ``change``. Raises
    NotFound, PreconditionFailed."""
    for _ in range(CHANGE_ATTEMPTS):
        found, first = first or load(s, key), None
        check_match(found.definition, if_match)
        since_ms = _next_since_ms(s, found)
        settled = settle(s, found, since_ms)
        if settled is not None and _write_deletion(s, settled, since_ms):
            _outlast_rechecks(s, settled, since_ms)
            return
    raise TooMany("the schedule is being changed by many callers at once", code="contended")


def pause(s: Services, key: Key, note: str | None, if_match: str | None = None) -> Schedule:
    """Stop firing from now on; instants before now stay owed. Raises NotFound, PreconditionFailed."""
    return change(s, key, if_match, lambda d: replace(d, active=False, note=note))


def pause_failing(s: Services, judged: Definition, cause: FailurePause, still_so: Callable[[], bool]) -> Schedule:
    """Pause because too many executions failed in a row. Raises PreconditionFailed when the schedule is no longer what
    it was when that was judged, or that is no longer so; NotFound, TooMany."""

    def paused(definition: Definition) -> Definition:
        if not still_so():
            raise PreconditionFailed("executions have gone well again")
        kept = (*definition.failure_pauses, cause)[-FAILURE_PAUSES_KEPT:]
        return replace(definition, active=False, note=failures.note(cause.failures), failure_pauses=kept)

    return change(s, judged.key, judged.version, paused)


def check_match(definition: Definition, if_match: str | None) -> None:
    """Reject a version other than the one a caller names (None: any). Raises PreconditionFailed."""
    if if_match is not None and if_match != definition.version:
        raise PreconditionFailed(f"the schedule is at version {definition.version}")


def settle(s: Services, found: Schedule, since_ms: int) -> Schedule | None:
    """Hand off what is owed before ``since_ms``, when another version begins, so that no instant disappears with an
    edit.

    Returns the schedule as it stands then, or None when another writer was faster (or there is more to settle).
    """
    definition, state = found.definition, found.state
    if _went_on(s, found):
        return None
    if state.next_run_ms is None or state.next_run_ms >= since_ms:
        return found
    window = schedule.window(definition, state.next_run_ms, since_ms - 1, state.run_count, SETTLE_MAX_INSTANTS)
    now_ms = s.clock.now_ms()
    missed = handoff.too_old(definition, window.instants, now_ms)
    there = claim_spans.reach(s, [(state, missed[-1])]) if missed else {state.key: state}
    if state.key not in there:
        return None
    state = there[state.key]
    hand_off(s, [Owed(definition, state, window.instants)], now_ms)
    moved = state.advanced(window)
    if not s.stores.schedules.write_states([(moved, state.rev)])[0]:
        return None
    unfinished = moved.next_run_ms is not None and moved.next_run_ms < since_ms
    return settle(s, Schedule(definition, moved), since_ms) if unfinished else Schedule(definition, moved)


def begin(
    s: Services, definition: Definition, state: State, awaited_ms: int | None, before: Schedule | None = None
) -> State:
    """Queue the owed instants of the new version inside the horizon. Returns the state that goes on from there.
    ``awaited_ms`` is the run of a DELAY schedule that has to end first."""
    if not definition.active:
        return replace(state, status="paused", next_run_ms=None, queued_ms=awaited_ms)
    if awaited_ms is not None:
        return replace(state, status="active", next_run_ms=None, queued_ms=awaited_ms)
    first = _first(before, definition)
    if first is None:
        return replace(state, status="active", next_run_ms=None, queued_ms=None)
    until_ms = s.clock.now_ms() + s.config.horizon_ms
    window = schedule.window(definition, first, until_ms, state.run_count, SETTLE_MAX_INSTANTS)
    hand_off(s, [Owed(definition, state, window.instants)], s.clock.now_ms())
    fresh = replace(state, status="active", next_run_ms=None, queued_ms=None)
    return replace(fresh.advanced(window), rev=state.rev)


def find_capacity(s: Services, before: Schedule | None, new: Definition, state: State, awaited_ms: int | None) -> State:
    """The state as one that counts, if the schedule has anything to do from now on. Raises CapacityExhausted."""
    spent = schedule.runs_left(new, state.run_count) == 0 or _first(before, new) is None
    if (new.active and awaited_ms is None and spent) or capacity.is_cancelled(new, state):
        return capacity.uncounted(state)
    return counted(s, before, new, state)


def _first(before: Schedule | None, new: Definition) -> int | None:
    """The first instant of a new version. An edit that leaves the recurrence alone leaves a DELAY schedule in its wait.
    A pause, a resumption and any other edit begin a new wait."""
    waits_until_ms = None if before is None else _goes_on_waiting(before, new)
    if waits_until_ms is None:
        return schedule.first_from(new, new.since_ms)
    return waits_until_ms if new.end_at_ms is None or waits_until_ms <= new.end_at_ms else None


def _goes_on_waiting(before: Schedule, new: Definition) -> int | None:
    definition, state = before.definition, before.state
    waits_until_ms = state.queued_ms if state.next_run_ms is None else state.next_run_ms
    if not definition.type == new.type == "DELAY" or waits_until_ms is None or waits_until_ms < new.since_ms:
        return None
    paused = definition.is_paused_at(new.since_ms) or new.is_paused_at(new.since_ms)
    was, becomes = (d.compiled().spec._replace(end_at_ms=None, max_runs=None) for d in (definition, new))
    return waits_until_ms if was == becomes and not paused else None


def only_if_it_counts(definition: Definition, state: State) -> Schedule:
    return Schedule(definition, state if capacity.counts(definition, state) else capacity.uncounted(state))


def _next_since_ms(s: Services, found: Schedule) -> int:
    """From when on the next version is in force. That is a little ahead, since workers may have rechecked the instants
    until then (see ``recheck``). It never goes back, whatever the clock does, so that versions keep their order."""
    ahead_ms = RECHECK_AHEAD_MAX_MS if found.definition.active else 0
    return max(s.clock.now_ms() + ahead_ms, found.state.current.since_ms + 1)


def _outlast_rechecks(s: Services, before: Schedule, since_ms: int) -> None:
    """Return when a change that is written can be acknowledged. All that was rechecked without seeing it has begun by
    then. That is at once for a schedule that fires nothing now."""
    until_ms, drift_ms = max(since_ms, s.clock.now_ms() + RECHECK_AHEAD_MAX_MS) + 1, s.config.max_drift_ms
    from_ms = since_ms - RECHECK_AHEAD_MAX_MS - drift_ms  # workers go by their own clocks
    if before.definition.active and _may_fire(before, from_ms, until_ms + drift_ms):
        s.clock.sleep_until(until_ms)


def _may_fire(schedule: Schedule, from_ms: int, until_ms: int) -> bool:
    """Whether a schedule has an instant that may be sent in [from_ms, until_ms]."""
    definition, queued_ms = schedule.definition, schedule.state.queued_ms
    from_ms -= definition.jitter_ms
    # What was claimed may be of a version before this one, whose own change is not acknowledged yet.
    claimed = [*schedule.state.claims, *((span.first_ms, span.last_ms) for span in schedule.state.spans)]
    if any(first_ms <= until_ms and from_ms <= last_ms for first_ms, last_ms in claimed):
        return True
    if definition.type == "DELAY":
        return queued_ms is not None and from_ms <= queued_ms <= until_ms
    next_ms = definition.compiled().next_after(from_ms - 1)
    return next_ms is not None and next_ms <= until_ms


def _went_on(s: Services, found: Schedule) -> bool:
    """Set the next run of a DELAY schedule whose awaited run has ended, when its worker died before it could. That next
    run may be on the queue or even in progress already, and a change must not begin another beside it."""
    state = found.state
    if found.definition.type != "DELAY" or state.status != "active" or state.next_run_ms is not None:
        return False
    record = _awaited_run(s, state)
    if record is None or record.is_open:
        return False
    chain(s, record)
    return True


def _awaited_run(s: Services, state: State) -> Execution | None:
    if state.queued_ms is None:
        return None
    key = ExecutionKey(state.tenant, state.id, state.queued_ms)
    return s.stores.executions.get([key]).get(key)


def _next_version(s: Services, found: Schedule, changed: Definition, since_ms: int, outcome: BadEnd | None) -> Schedule:
    """The changed definition under a new version, its first instants queued, counted when it counts."""
    definition, state = found.definition, found.state
    now_ms = s.clock.now_ms()
    new = replace(
        changed,
        version=s.ids.ulid(now_ms),
        since_ms=since_ms,
        updated_at_ms=max(now_ms, definition.updated_at_ms),
        zone_data=s.config.zone_data,
        hlc=s.ids.hlc(),
        origin=s.config.origin,
    )
    if new.active and (definition.is_paused_at(since_ms) or new.rests_at(since_ms)):
        new = replace(new, failures_from_ms=new.owes_from(since_ms))
    awaited = _awaited(s, found, new)
    taken_back = 0 if awaited is not None else schedule.queued_after(definition, state, since_ms)
    if new.active and not definition.active and state.outcome == CANCELLED:  # the job is cancelled no longer
        state = job_outcomes.remarked(s, state)
    moved = state.with_version(
        VersionRef(new.version, since_ms, new.active),
        run_count=state.run_count - taken_back,
        outcome=state.outcome if outcome is None else outcome,
        outcome_ms=now_ms if outcome else state.outcome_ms,
        chained=new.type == "DELAY",
        hlc=new.hlc,
    )
    placed = find_capacity(s, found, new, moved, awaited)
    return only_if_it_counts(new, begin(s, new, placed, awaited, found))


def _awaited(s: Services, found: Schedule, new: Definition) -> int | None:
    """The instant of a DELAY schedule's run that was owed before the change and has not ended. The next run follows its
    end, whatever is edited, paused and resumed meanwhile. (When it ends before the change is written, the state has
    moved on and the change begins anew. When it ends later, its end finds the new version waiting.)"""
    state = found.state
    waits = found.definition.type == new.type == "DELAY" and state.next_run_ms is None
    if not waits or state.queued_ms is None:
        return None
    record = _awaited_run(s, state)
    if state.queued_ms >= new.since_ms:  # not due yet by this clock: but by another it may have begun
        return state.queued_ms if record is not None and record.is_open and record.attempts else None
    return state.queued_ms if record is None or record.is_open else None


def _write_change(s: Services, before: Schedule, after: Schedule) -> bool:
    old, new = before.definition, after.definition
    change = ScheduleChange(
        state=after.state,
        before=before.state,
        definition=new,
        snapshot=_superseded(before, new.since_ms),
        old_name=_guard(old),
        new_name=_guard(new),
        limits=limits(s),
        monitor=monitor.to_begin(before, after),
    )
    try:
        s.stores.schedules.change(change)
    except NameTaken:
        raise name_taken(new) from None
    except CapacityFull:
        raise exhausted(s) from None
    except RevisionLost:
        return False
    return True


def _superseded(found: Schedule, until_ms: int) -> Definition:
    """The definition as kept for its instants still owed and for what was triggered under it, also while it was paused.
    One that spent its ``max_runs`` has no owed instants after its last, and none when it began with no runs left."""
    definition, state = found.definition, found.state
    spent = state.next_run_ms is None and schedule.runs_left(definition, state.run_count) == 0
    if definition.active and spent and definition.type != "DELAY":
        until_ms = min(until_ms, definition.since_ms if state.queued_ms is None else state.queued_ms + 1)
    return replace(definition, until_ms=until_ms)


def _guard(definition: Definition) -> tuple[str, str] | None:
    return None if definition.name is None else (definition.owner, definition.name)


def name_taken(definition: Definition) -> Conflict:
    return Conflict(f"{definition.owner} already has a schedule named {definition.name}", code="name_taken")


def _write_deletion(s: Services, found: Schedule, since_ms: int) -> bool:
    old, state = found.definition, found.state
    ref = VersionRef(s.ids.ulid(s.clock.now_ms()), since_ms, active=False)
    taken_back = schedule.queued_after(old, state, since_ms)
    gone = state.with_version(
        ref,
        status="deleted",
        next_run_ms=None,
        queued_ms=None,
        run_count=state.run_count - taken_back,
        counted=-1,
        weight_bytes=0,
        hlc=s.ids.hlc(),
    )
    change = ScheduleChange(
        state=gone,
        before=state,
        definition=None,
        snapshot=_superseded(found, since_ms),
        old_name=_guard(old),
        new_name=None,
    )
    try:
        s.stores.schedules.change(change)
    except RevisionLost:
        return False
    return True
