"""How an execution's record goes on: each function is one step, pure, and returns the record to write in its place.

A claim makes the record (or takes it over) for one owner until ``lease_until_ms``. Every later write of that attempt is
conditional on ``rev``, which any other writer moves. Only after the lease has expired may another worker end the
attempt and start the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import Conflict
from chalicelib.core.executions import retry
from chalicelib.core.executions.execution import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    PENDING,
    RETRY_REQUESTED,
    RETRYABLE,
    TIMEOUT,
    TRANSITIONS,
    Attempt,
    AttemptOutcome,
    Execution,
    LateAnswer,
    Transition,
)
from chalicelib.core.executions.limits import ANSWERS_KEPT_MAX, ATTEMPT_LEASE_MS, ERROR_MAX_CHARS
from chalicelib.core.schedules.schedule import RetryPolicy

LOST_MAX_ATTEMPTS = 20  # attempts whose worker died do not count against the policy, but are not tried for ever


def _move(execution: Execution, state: str, at_ms: int, reason: str | None = None) -> Execution:
    if state not in TRANSITIONS[execution.state]:
        raise Conflict(f"an execution that is {execution.state} cannot become {state}", code="illegal_transition")
    step = Transition(execution.state, state, at_ms, reason)
    return replace(execution, state=state, history=(*execution.history, step))


def claim(execution: Execution, owner: str, fencing_token: int, now_ms: int) -> Execution:
    """Begin the next attempt for ``owner``; its lease outlasts the instant by ATTEMPT_LEASE_MS.

    The record must be new, waiting for a retry, or handed back by ``lose``.
    """
    assert execution.is_open
    assert execution.lease_until_ms is None, "an attempt lives or was not ended"
    due = max(now_ms, execution.due_ms)
    return replace(
        execution,
        rev=execution.rev + 1,
        attempt=execution.attempt + 1,
        fencing_token=fencing_token,
        claimed_by=owner,
        lease_until_ms=due + ATTEMPT_LEASE_MS,
        put_off_ms=execution.put_off_ms if execution.retry_at_ms is None else execution.retry_at_ms,
        retry_at_ms=None,
        waits=False,
        # A hold ends with the claim, also of what was skipped meanwhile and is owed again after an edit.
        held_until_ms=now_ms if execution.is_held else execution.held_until_ms,
    )


def renew(execution: Execution, until_ms: int) -> Execution:
    """A claim that waits for its turn, protected until ``until_ms``."""
    assert execution.lease_until_ms is not None
    return replace(execution, rev=execution.rev + 1, lease_until_ms=max(until_ms, execution.lease_until_ms))


def hand_back(execution: Execution, check_at_ms: int, *, waits: bool = True) -> Execution:
    """Give up a claim that was never sent. The execution ``waits`` for its turn, which is checked by ``check_at_ms``;
    or else it is simply due then.

    The attempt was none, so its number is given out again; its fencing token is not.
    """
    assert not _attempt_began(execution), "an attempt that was sent cannot be taken back"
    return replace(
        execution,
        rev=execution.rev + 1,
        attempt=execution.attempt - 1,
        claimed_by=None,
        lease_until_ms=None,
        retry_at_ms=check_at_ms,
        waits=waits,
    )


def hold(execution: Execution, now_ms: int, check_at_ms: int) -> Execution:
    """Give up a claim that must not be sent while the queue of its tenant is paused, or go on holding what is held
    already. It is checked at ``check_at_ms`` unless it is woken before that."""
    claimed = execution.lease_until_ms is not None
    held = hand_back(execution, check_at_ms, waits=False) if claimed else execution
    first_ms = now_ms if execution.held_ms is None else execution.held_ms
    rev = execution.rev + 1
    return replace(held, rev=rev, retry_at_ms=check_at_ms, held_ms=first_ms, held_until_ms=None)


def freed(execution: Execution, now_ms: int) -> Execution:
    """A held execution as its next claim takes it: due since its instant (not yet written in this form)."""
    return replace(execution, retry_at_ms=None, held_until_ms=now_ms)


def awakened(execution: Execution, now_ms: int) -> Execution:
    """A waiting execution as its next claim takes it: due now (not yet written in this form)."""
    assert execution.retry_at_ms is not None
    return replace(execution, retry_at_ms=min(execution.retry_at_ms, now_ms), waits=False)


def running(execution: Execution, started_ms: int, lease_until_ms: int) -> Execution:
    """The attempt has been sent and takes its time: write it down, protected until ``lease_until_ms``."""
    begun = _begun(execution, started_ms)
    return replace(begun, rev=execution.rev + 1, lease_until_ms=lease_until_ms)


def _begun(execution: Execution, started_ms: int) -> Execution:
    """In progress, with the current attempt in the list; unchanged when ``running`` already wrote that."""
    if execution.attempts and execution.attempts[-1].number == execution.attempt:
        return execution
    moved = execution if execution.state == IN_PROGRESS else _move(execution, IN_PROGRESS, started_ms)
    attempt = Attempt(execution.attempt, execution.fencing_token, started_ms)
    first = execution.first_started_ms
    return replace(
        moved,
        attempts=(*execution.attempts, attempt),
        first_started_ms=started_ms if first is None else first,
    )


class AttemptResult(Struct, frozen=True):
    """How an attempt ended, in the terms of the journal."""

    outcome: AttemptOutcome
    http_status: int | None = None
    error_type: str | None = None
    error: str | None = None
    retry_after_ms: int | None = None
    permanent: bool = False
    result: str | None = None
    receipt: str = ""
    answer: str | None = None


def finish(execution: Execution, result: AttemptResult, policy: RetryPolicy, started_ms: int, now_ms: int) -> Execution:
    """End the current attempt: completed, waiting for the next one, or out of attempts.

    ``retry_at_ms`` of the answer is set when it waits; a final record has ``finished_ms``.
    """
    begun = _end_attempt(_begun(execution, started_ms), result, now_ms)
    ended = replace(begun, rev=execution.rev + 1, claimed_by=None, lease_until_ms=None, asynchronous=False)
    if result.outcome == "completed":
        return replace(_move(ended, COMPLETED, now_ms), finished_ms=now_ms, result=result.result, error=None)
    if not result.permanent and _may_retry(ended, policy):
        counted = sum(a.outcome != "lost" for a in ended.attempts)
        wait = 0 if result.outcome == "lost" else retry.backoff_ms(policy, counted, ended.id)
        return replace(ended, retry_at_ms=now_ms + max(wait, result.retry_after_ms or 0), error=result.error)
    state = TIMEOUT if result.outcome == "timeout" else FAILED
    return replace(_move(ended, state, now_ms, result.error_type), finished_ms=now_ms, error=result.error)


def _end_attempt(execution: Execution, result: AttemptResult, now_ms: int) -> Execution:
    last = replace(
        execution.attempts[-1],
        finished_ms=now_ms,
        outcome=result.outcome,
        http_status=result.http_status,
        error_type=result.error_type,
        error=result.error[:ERROR_MAX_CHARS] if result.error else None,
        receipt=result.receipt,
        answer=result.answer,
    )
    return replace(execution, attempts=(*_with_newest_answers(execution.attempts[:-1], last), last))


def _with_newest_answers(before: Sequence[Attempt], last: Attempt) -> list[Attempt]:
    """Earlier attempts, of which the newest keep what their targets answered: a record has an end."""
    left = ANSWERS_KEPT_MAX - (last.answer is not None)
    kept: list[Attempt] = []
    for attempt in reversed(before):
        if attempt.answer is not None:
            left -= 1
            attempt = attempt if left >= 0 else replace(attempt, answer=None)
        kept.append(attempt)
    return kept[::-1]


def without_answers(execution: Execution) -> Execution:
    """The record without what targets answered."""
    if all(a.answer is None for a in execution.attempts):
        return execution
    return replace(execution, attempts=tuple(replace(a, answer=None) for a in execution.attempts))


def _may_retry(execution: Execution, policy: RetryPolicy) -> bool:
    lost = sum(a.outcome == "lost" for a in execution.attempts)
    return len(execution.attempts) - lost < policy.max_attempts and lost < LOST_MAX_ATTEMPTS


def lose(execution: Execution, policy: RetryPolicy, now_ms: int) -> Execution:
    """End an attempt whose lease expired: its worker died, or its asynchronous caller never completed it.

    A worker's death is ``lost`` and does not count against the retry policy, since the target was not at fault. An
    attempt that was recorded as running or accepted has used its time and is a ``timeout``. Its target may still be at
    work, and the policy decides how often it may be asked. Whether a lost attempt was ever sent is not known: the
    lateness of the execution is that of the first one that certainly was.
    """
    assert execution.lease_until_ms is not None
    assert execution.lease_until_ms <= now_ms
    if not _attempt_began(execution):
        result = AttemptResult(
            "lost", error_type="internal_error", error="the worker stopped before it recorded an outcome"
        )
        ended = finish(execution, result, policy, min(execution.due_ms, now_ms), now_ms)
        return replace(ended, first_started_ms=execution.first_started_ms)
    if execution.asynchronous:
        result = AttemptResult(
            "timeout", error_type="timeout", error="the target accepted the firing and never completed it"
        )
    else:
        result = AttemptResult("timeout", error_type="timeout", error="no outcome was recorded within the time-out")
    return finish(execution, result, policy, min(execution.attempts[-1].started_ms, now_ms), now_ms)


def _attempt_began(execution: Execution) -> bool:
    return bool(execution.attempts) and execution.attempts[-1].number == execution.attempt


def accepted(execution: Execution, started_ms: int, until_ms: int) -> Execution:
    """The target answered 202 and will complete the execution itself, before ``until_ms``."""
    begun = _begun(execution, started_ms)
    return replace(begun, rev=execution.rev + 1, lease_until_ms=until_ms, asynchronous=True)


def cancel(execution: Execution, now_ms: int, reason: str | None) -> Execution:
    """Cancel a pending or running execution; raises Conflict from any other state."""
    if not execution.is_open:
        raise Conflict(f"the execution is already {execution.state}", code="not_cancellable")
    settled = settle(execution, CANCELLED, now_ms, reason)
    return replace(settled, notice=1) if execution.asynchronous else settled


def notified(execution: Execution, notice: int) -> Execution:
    """A cancelled execution whose target was notified (0), or is to be notified again (the number of the next try)."""
    return replace(execution, rev=execution.rev + 1, notice=notice)


def note_late(execution: Execution, attempt: Attempt, answer: LateAnswer) -> Execution | None:
    """An execution that is over, with what the target of ``attempt`` said after that; its state and times stay.

    None when there is nothing to note: it is open (the next attempt owns the record), or has a note already. An attempt
    that was cancelled before it was written down as running is written down here.
    """
    known = {a.number: a for a in execution.attempts}
    stored = known.get(attempt.number)
    if stored is None:
        stored = replace(attempt, finished_ms=execution.finished_ms, outcome=execution.state)
    if execution.is_open or stored.late_answer is not None or attempt.number > execution.attempt:
        return None
    known[attempt.number] = replace(stored, late_answer=answer)
    attempts = tuple(known[number] for number in sorted(known))
    return replace(execution, rev=execution.rev + 1, attempts=attempts)


def settle(execution: Execution, state: str, now_ms: int, reason: str | None) -> Execution:
    """End an open execution without (further) delivery: cancelled, missed or skipped."""
    running_attempt = execution.attempts and execution.attempts[-1].finished_ms is None
    ended = _end_attempt(execution, AttemptResult("cancelled", error=reason), now_ms) if running_attempt else execution
    moved = _move(ended, state, now_ms, reason)
    return replace(
        moved,
        rev=execution.rev + 1,
        claimed_by=None,
        lease_until_ms=None,
        retry_at_ms=None,
        asynchronous=False,
        waits=False,
        finished_ms=now_ms,
    )


def reject(execution: Execution, error: str, denied_by: str, at_ms: int) -> Execution:
    """End a claimed attempt that policies do not let pass: failed for good, and nothing was sent. ``error`` is also the
    reason of the step, which the ledger shows; ``denied_by`` names policies and rules for the audit."""
    result = AttemptResult("failed", error_type="rejected", error=error, permanent=True)
    ended = finish(execution, result, RetryPolicy(), at_ms, at_ms)
    step = ended.history[-1]._replace(reason=error[:ERROR_MAX_CHARS])
    attempts = (*ended.attempts[:-1], replace(ended.attempts[-1], denied_by=denied_by))
    history = (*ended.history[:-1], step)
    return replace(ended, error=error[:ERROR_MAX_CHARS], attempts=attempts, history=history)


def reopen(execution: Execution, now_ms: int, reason: str = RETRY_REQUESTED) -> Execution:
    """A further attempt of the same id, due at once: a caller's ``:retry``, or what ``reason`` says. Raises Conflict
    when it is not over."""
    if execution.state not in RETRYABLE:
        raise Conflict(f"an execution that is {execution.state} cannot be retried", code="not_retryable")
    moved = _move(execution, PENDING, now_ms, reason)
    return replace(moved, rev=execution.rev + 1, retry_at_ms=now_ms, finished_ms=None, error=None, notice=0)
