"""What a caller can see and do of executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, TooMany
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import CANCELLED, TIMEOUT, Execution, ExecutionState, LateAnswer, parse_id
from chalicelib.core.executions.journal import AttemptResult
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.core.security.authorize import Resource, authorize, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.engine import execution_change
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.execution_change import CHANGE_ATTEMPTS, cancel_running, check_version, end, recheck_claims
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import note_late
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned
from chalicelib.usecases.policy_gate import check_schedule

PAGE_SCAN_MAX = 10  # pages of the list read for one page of answers: a rare filter gives short pages, not long calls


class ExecutionFilter(Struct, frozen=True):
    """Which executions a list wants; None = any. The range is of firing instants, both ends included; without
    ``to_ms`` it ends now, since firings are claimed some seconds before their instants."""

    schedule_id: str | None = None
    state: ExecutionState | None = None
    owner: str | None = None
    from_ms: int = 0
    to_ms: int | None = None

    def matches(self, execution: Execution) -> bool:
        return self.state in (None, execution.state) and self.owner in (None, execution.owner)


def get(s: Services, caller: Caller, execution_id: str, permission: Permission = "executions:read") -> Execution:
    """One execution, for what ``permission`` says. Raises NotFound, Forbidden."""
    key = parse_id(caller.tenant, execution_id)
    if key is None:
        raise missing(f"execution {execution_id}")
    found = execution_change.load(s, key)
    authorize(caller, permission, Resource(found.tenant, found.owner, f"execution {found.id}"))
    return found


def _get_at(
    s: Services, caller: Caller, execution_id: str, permission: Permission, versions: Sequence[str] | None
) -> Execution:
    """One that the caller may change in the way that ``permission`` says."""
    found = get(s, caller, execution_id, permission)
    check_version(found, versions)
    return found


def page(
    s: Services, caller: Caller, wanted: ExecutionFilter, limit: int, after: str | None
) -> tuple[list[Execution], str | None]:
    """Executions that match and that the caller may see, newest firing first, and the position to go on from (None: the
    end).

    The work is bounded: where few match, a page may be short and still go on.
    """
    authorize(caller, "executions:read")
    own = only_owner(caller, "executions:read")
    if own is not None:
        if wanted.owner not in (None, own):
            return [], None
        wanted = replace(wanted, owner=own)
    items: list[Execution] = []
    seen = own is None
    if wanted.to_ms is None:
        wanted = replace(wanted, to_ms=s.clock.now_ms())
    for _ in range(PAGE_SCAN_MAX):
        found, after = _scan(s, caller, wanted, limit - len(items), after)
        items += [e for e in found if wanted.matches(e)]
        seen = seen or any(e.owner == own for e in found)
        if after is None or len(items) >= limit:
            break
    # A page of another owner's schedule has no next one: that there is more would show that there is something.
    return items, after if seen or wanted.schedule_id is None else None


def _scan(
    s: Services, caller: Caller, wanted: ExecutionFilter, limit: int, after: str | None
) -> tuple[list[Execution], str | None]:
    to_ms = INSTANT_MAX_MS if wanted.to_ms is None else wanted.to_ms
    if wanted.schedule_id is not None:
        key = Key(caller.tenant, wanted.schedule_id)
        return s.stores.executions.of_schedule(key, wanted.from_ms, to_ms, limit, after)
    shards = range(s.config.shards)
    found = s.stores.executions.recent(caller.tenant, shards, wanted.from_ms, to_ms, limit, after)
    records = s.stores.executions.get(found.keys)
    return [records[key] for key in found.keys if key in records], found.after


def cancel(
    s: Services, caller: Caller, execution_id: str, reason: str | None, versions: Sequence[str] | None = None
) -> Execution:
    """Cancel a pending or running execution. ``versions``, here and below: those that it may have (None: any).

    Raises NotFound, PreconditionFailed, Conflict(not_cancellable).
    """
    found = _get_at(s, caller, execution_id, "executions:cancel", versions)
    done = cancel_running(s, found, reason, versions)
    recheck_claims(s, done, found.due_ms)
    return done


def complete(
    s: Services, caller: Caller, execution_id: str, result: str | None, versions: Sequence[str] | None = None
) -> Execution:
    """The end of an execution that its target accepted. ``result`` is JSON.

    Raises NotFound, PreconditionFailed, Conflict: not_accepted, or timed_out when its time was over. A report that
    comes too late is noted.
    """

    def completed(execution: Execution, definition: Definition, now_ms: int) -> Execution:
        _must_be_accepted(s, execution, now_ms)
        ended = AttemptResult("completed", result=result)
        return journal.finish(execution, ended, definition.retry_policy, execution.attempts[-1].started_ms, now_ms)

    return _reported(s, caller, execution_id, versions, completed, LateAnswer(s.clock.now_ms(), "completed"))


def fail(
    s: Services, caller: Caller, execution_id: str, error: str, versions: Sequence[str] | None = None
) -> Execution:
    """The failure of an accepted execution; it is retried by its policy. Raises as ``complete``."""

    def failed(execution: Execution, definition: Definition, now_ms: int) -> Execution:
        _must_be_accepted(s, execution, now_ms)
        ended = AttemptResult("failed", error_type="http_error", error=error)
        return journal.finish(execution, ended, definition.retry_policy, execution.attempts[-1].started_ms, now_ms)

    return _reported(s, caller, execution_id, versions, failed, LateAnswer(s.clock.now_ms(), "failed", error=error))


def heartbeat(s: Services, caller: Caller, execution_id: str, versions: Sequence[str] | None = None) -> Execution:
    """Start the time-out of an accepted execution anew. Raises as ``complete``."""

    def prolonged(execution: Execution, definition: Definition, now_ms: int) -> Execution:
        _must_be_accepted(s, execution, now_ms)
        until_ms = max(now_ms + definition.timeout_ms, execution.lease_until_ms or 0)
        return replace(execution, rev=execution.rev + 1, lease_until_ms=until_ms)

    return end(s, _get_at(s, caller, execution_id, "executions:report", versions), versions, prolonged)


def retry(
    s: Services,
    caller: Caller,
    execution_id: str,
    versions: Sequence[str] | None = None,
    payload: str | None = None,
) -> Execution:
    """A further attempt of an execution that is over without success, with its own payload or another.

    Raises PolicyDenied, NotFound, PreconditionFailed, Conflict(not_retryable).
    """
    for _ in range(CHANGE_ATTEMPTS):
        found = _get_at(s, caller, execution_id, "executions:retry", versions)
        now_ms = s.clock.now_ms()
        reopened = replace(journal.reopen(found, now_ms), hlc=s.ids.hlc())
        if payload is not None:
            reopened = replace(reopened, payload=payload)
        state = s.stores.schedules.states([found.key_of_schedule]).get(found.key_of_schedule)
        if state is None or state.status == "deleted":
            raise Conflict("its schedule no longer exists", code="not_retryable")
        _check_policies(s, caller, found)
        if found.state == CANCELLED:
            # A process may die between its cancel and its word to the worker that has claimed the firing. That worker
            # would send the cancelled attempt beside the new one.
            recheck_claims(s, found, found.due_ms)
        # A DELAY schedule goes on from the end that this takes away: what follows from it may be on the queue already.
        chain(s, found)
        # A number above the next attempt's makes a worker that gets the message early wait for the write that follows.
        enqueue(s, [Run(found.key, found.attempt + 2, now_ms)])
        if s.stores.executions.update([(reopened, found.rev)])[0]:
            return reopened
    raise TooMany("the execution is being changed by many callers at once", code="contended")


def _check_policies(s: Services, caller: Caller, found: Execution) -> None:
    """Refuse an attempt that policies would reject. One whose definition has expired is left to its firing."""
    wanted = Versioned(found.key_of_schedule, found.version)
    definition = load_definitions(s, {wanted}).get(wanted)
    if definition is not None:
        check_schedule(s, caller, definition, "executions:retry")


def _must_be_accepted(s: Services, execution: Execution, now_ms: int) -> None:
    if not (execution.is_open and execution.asynchronous):
        raise Conflict("only an execution that its target answered with 202 can be reported on", code="not_accepted")
    assert execution.lease_until_ms is not None
    if execution.lease_until_ms + s.config.max_drift_ms <= now_ms:
        raise Conflict("the time-out of this attempt has passed", code="timed_out")


def _reported(
    s: Services,
    caller: Caller,
    execution_id: str,
    versions: Sequence[str] | None,
    ended: Callable[[Execution, Definition, int], Execution],
    answer: LateAnswer,
) -> Execution:
    """``end``; of an execution that was ended without the report, the report is noted."""
    try:
        return end(s, _get_at(s, caller, execution_id, "executions:report", versions), versions, ended)
    except Conflict:
        found = get(s, caller, execution_id, "executions:report")
        if found.attempts and found.attempts[-1].outcome in (TIMEOUT, CANCELLED):
            note_late(s, found.key, found.attempts[-1], answer)
        raise
