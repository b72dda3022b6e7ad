"""Deliveries in flight: supervised from their waiting to their end, and recorded when they are over.

A delivery that takes long is written down as in progress and checked now and then: when its execution was cancelled,
its connection is closed. An answer to an attempt that was ended meanwhile is kept as a note, and has no effect.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from msgspec.structs import replace

from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.delivery_phase import DeliveryPhase
from chalicelib.core.executions.execution import Attempt, Execution, LateAnswer, LateOutcome
from chalicelib.core.executions.journal import AttemptResult
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS, RUNNING_MARK_MS, WATCH_STEPS_MS
from chalicelib.engine import attempt_spans, schedule_change
from chalicelib.engine.dispatch import admission
from chalicelib.engine.dispatch.call import InFlight, TargetCall
from chalicelib.engine.dispatch.hand_back import hand_back
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.outcomes import Ended, note_late, update_surely, write_outcomes
from chalicelib.ports.services import Services
from chalicelib.ports.target import ACCEPTED, COMPLETED, FAILED, Outcome
from chalicelib.process.limits import HOLD_MAX_MS, RENEW_AFTER_MS, WATCHED_TOGETHER

log = logging.getLogger(__name__)

LEASE_SLACK_MS = 5_000  # a running attempt's lease outlasts its own deadline, so that its worker can still write
CHECK_MS = 20  # deliveries that end within this of each other share a write; longer where many are supervised
WAITING_CHECK_MS = 100  # while all wait for their turn: their end is then noticed this much later at most


def supervised_together(calls: Sequence[TargetCall]) -> Iterator[Sequence[TargetCall]]:
    """Calls in shares, each for one thread: what it sees to its end, it writes down together."""
    by_size: dict[int, list[TargetCall]] = defaultdict(list)
    for call in calls:
        by_size[call.target.max_batch].append(call)
    for max_batch, several in by_size.items():
        yield from chunks(several, max(1, WATCHED_TOGETHER // max_batch))


def supervise(s: Services, calls: Sequence[TargetCall]) -> None:
    """Supervise calls from their waiting to their end. What is over is recorded together, at most CHECK_MS later. What
    is under way for RUNNING_MARK_MS is recorded as in progress. What waits in vain is handed back.

    Raises Unavailable, when all is over, if the end of some could not be recorded."""
    with s.process.supervisors.one_more():
        _supervise(s, calls)


def _supervise(s: Services, calls: Sequence[TargetCall]) -> None:
    problems: list[Unavailable] = []
    try:
        while calls:
            if given_up := admission.give_up(s, calls):
                calls = [call for call in calls if call not in given_up]
                problems += _problem(partial(_hold_back, s, given_up))
            over = _over(s, calls)
            if over and admission.give_way(s):
                over = _over(s, calls)  # more have ended meanwhile
            calls = [call for call in calls if call not in over]
            problems += _problem(partial(_close, s, [delivery for call in over for delivery in call.deliveries]))
            calls = _renewed(s, calls)
            if calls:
                _mark_and_check(s, calls)
    finally:  # none are left, unless this line of work is ended by force
        admission.abandon(s.process.admission, [call.ticket for call in calls])
    if problems:
        raise problems[0]


def _problem(step: Callable[[], None]) -> list[Unavailable]:
    """What a step raised: its deliveries stay leased, and the others must not suffer."""
    try:
        step()
    except Unavailable as problem:
        return [problem]
    return []


def _hold_back(s: Services, given_up: Sequence[TargetCall]) -> None:
    held = [(delivery, call.comes_in_ms or 0) for call in given_up for delivery in call.deliveries]
    for delivery, _ in held:
        delivery.move(DeliveryPhase.HELD_BACK)
    hand_back(s, held)


def _renewed(s: Services, calls: list[TargetCall]) -> list[TargetCall]:
    """Renew the claims of those that have waited for a while, once, for as long as they may wait. Left out are calls
    that others have taken over."""
    now_ms = s.clock.read().steady_ms
    long = [c for c in calls if c.waits and not c.is_renewed and now_ms - c.ticket.submitted_ms >= RENEW_AFTER_MS]
    still = [call for call in long if s.process.admission.withdraw(call.ticket)]  # none begins meanwhile
    if not still:
        return calls
    try:
        _renew_claims(s, [delivery for call in still for delivery in call.deliveries])
    except Unavailable as problem:
        log.warning("could not renew the claims of firings that wait: %s", problem)
    for call in still:
        call.is_renewed = True
        call.deliveries[:] = [d for d in call.deliveries if d.phase is DeliveryPhase.WAITING]
        call.ticket.count = len(call.deliveries)
        if call.deliveries:
            s.process.admission.restore(call.ticket)
    admission.admit(s)
    return [call for call in calls if call.deliveries]


def _renew_claims(s: Services, waiting: Sequence[InFlight]) -> None:
    until_ms = s.clock.now_ms() + HOLD_MAX_MS + ATTEMPT_LEASE_MS
    renewed = [journal.renew(delivery.execution, until_ms) for delivery in waiting]
    writes = [(after, delivery.execution.rev) for after, delivery in zip(renewed, waiting, strict=True)]
    for delivery, after, won in zip(waiting, renewed, update_surely(s, writes), strict=True):
        if won:
            delivery.execution = after
            delivery.ready = replace(delivery.ready, claimed=replace(delivery.ready.claimed, execution=after))
        else:
            delivery.move(DeliveryPhase.DROPPED)


def _over(s: Services, calls: Sequence[TargetCall]) -> list[TargetCall]:
    """Those whose job has ended, within the time until the next check."""
    if not calls:
        return []
    check_ms = _check_ms(s, calls)
    return [call for call in calls if call.job.wait(check_ms)]


def _check_ms(s: Services, calls: Sequence[TargetCall]) -> int:
    """When to check again: soon, unless the only one left has been written down as running, or none is under way."""
    now_ms, check_ms = s.clock.now_ms(), s.process.supervisors.check_ms
    under_way = [call for call in calls if not call.waits]
    if len(calls) == len(under_way) == 1 and all(map(_is_known_to_run, under_way[0].deliveries)):
        return max(min(map(_next_check_ms, under_way[0].deliveries)), now_ms + CHECK_MS)
    return now_ms + check_ms(CHECK_MS if under_way else WAITING_CHECK_MS)


# -- while they are under way


def _mark_and_check(s: Services, calls: Sequence[TargetCall]) -> None:
    now_ms = s.clock.now_ms()
    watched = [call for call in calls if not call.waits and (call.target.max_batch == 1 or call.waited_long)]
    deliveries = [delivery for call in watched for delivery in call.deliveries]
    _mark(s, [d for d in deliveries if d.phase is DeliveryPhase.DISPATCHED and _took_long(d, now_ms)])
    _check(s, [d for d in deliveries if _is_known_to_run(d) and _next_check_ms(d) <= now_ms])


def _took_long(delivery: InFlight, until_ms: int) -> bool:
    return until_ms - delivery.started_ms >= RUNNING_MARK_MS


def _is_known_to_run(delivery: InFlight) -> bool:
    return delivery.phase in (DeliveryPhase.RUNNING, DeliveryPhase.FENCED)


def _next_check_ms(delivery: InFlight) -> int:
    """When to check whether a caller cancelled it: after growing times."""
    steps = WATCH_STEPS_MS
    beyond = max(0, delivery.checks + 1 - len(steps)) * steps[-1]
    return delivery.started_ms + sum(steps[: delivery.checks + 1]) + beyond


def _mark(s: Services, slow: Sequence[InFlight]) -> None:
    """Write down that these are in progress, and lease them for as long as they may take."""
    writes = []
    for delivery in slow:
        delivery.move(DeliveryPhase.RUNNING)
        until_ms = delivery.started_ms + delivery.ready.delivery.timeout_ms + LEASE_SLACK_MS
        running = journal.running(delivery.execution, delivery.started_ms, until_ms)
        writes.append((replace(running, hlc=s.ids.hlc()), delivery.execution.rev))
    if not writes:
        return
    try:
        answers = update_surely(s, writes)
    except Unavailable:
        log.warning("could not record that %d attempts run", len(slow))
        return
    for delivery, (running, _), won in zip(slow, writes, answers, strict=True):
        if won:
            delivery.execution = running


def _check(s: Services, due: Sequence[InFlight]) -> None:
    """Break off those that were ended meanwhile."""
    for delivery in due:
        delivery.checks += 1
    try:
        _verify(s, [delivery for delivery in due if delivery.phase is DeliveryPhase.RUNNING])
    except Unavailable as problem:
        log.info("could not check deliveries under way: %s", problem)
    for delivery in due:
        if delivery.phase is DeliveryPhase.FENCED:
            s.targets[delivery.ready.target_type].cancel(delivery.execution.id, delivery.execution.attempt)


def _verify(s: Services, deliveries: Sequence[InFlight]) -> None:
    """Go on from the stored records while the attempts are ours; those that are not are fenced."""
    if not deliveries:
        return
    found = s.stores.executions.get([delivery.execution.key for delivery in deliveries])
    for delivery in deliveries:
        mine, stored = delivery.execution, found.get(delivery.execution.key)
        if stored is None:
            continue
        if stored.is_open and stored.attempt == mine.attempt and stored.claimed_by == mine.claimed_by:
            delivery.execution = stored
        else:
            delivery.move(DeliveryPhase.FENCED)


# -- when they are over


def _close(s: Services, deliveries: Sequence[InFlight]) -> None:
    """Hand back what was not sent after all, and record what was answered. Raises Unavailable."""
    if held := [(delivery, 0) for delivery in deliveries if delivery.phase is DeliveryPhase.HELD_BACK]:
        hand_back(s, held)
    answered = [delivery for delivery in deliveries if delivery.outcome is not None]
    for delivery in answered:
        if delivery.phase is not DeliveryPhase.FENCED:
            delivery.move(DeliveryPhase.ANSWERED)
    if answered:
        _record(s, answered)


def _record(s: Services, answered: Sequence[InFlight]) -> None:
    """Write down how deliveries ended; what was ended by others is left as it is, but for a note."""
    ended = _ended_by_us(s, answered)
    doubtful = [delivery for delivery, e in ended if _is_doubtful(delivery, e.execution)]
    if doubtful:
        _verify(s, doubtful)
        ended = _ended_by_us(s, answered)
    for (delivery, e), won in zip(ended, write_outcomes(s, [e for _, e in ended]), strict=True):
        delivery.move(DeliveryPhase.RECORDED if won else DeliveryPhase.FENCED)
        if won:
            attempt_spans.answered(
                s, e.execution, e.definition, _answer(delivery), delivery.started_ms, delivery.ended_ms
            )
            follow(s, e.execution, e.definition)
    for delivery in answered:
        outcome = _answer(delivery)
        if delivery.phase is DeliveryPhase.FENCED:
            _note(s, delivery, outcome)
        if outcome.pause_schedule:
            schedule_change.pause(s, delivery.execution.key_of_schedule, "the target answered 410 Gone")


def _is_doubtful(delivery: InFlight, after: Execution) -> bool:
    """Whether to verify before writing. A failure of what was cancelled meanwhile must neither be tried again nor leave
    a dead letter. Both are queued before the write that would notice."""
    return _answer(delivery).kind == FAILED and (_took_long(delivery, delivery.ended_ms) or not after.is_open)


def _answer(delivery: InFlight) -> Outcome:
    assert delivery.outcome is not None
    return delivery.outcome


def _ended_by_us(s: Services, answered: Sequence[InFlight]) -> list[tuple[InFlight, Ended]]:
    return [(delivery, _ended(s, delivery)) for delivery in answered if delivery.phase is DeliveryPhase.ANSWERED]


def _ended(s: Services, delivery: InFlight) -> Ended:
    execution, definition, outcome = delivery.execution, delivery.ready.claimed.definition, _answer(delivery)
    if outcome.kind == ACCEPTED:
        after = journal.accepted(execution, delivery.started_ms, delivery.ended_ms + definition.timeout_ms)
    else:
        result = result_of(outcome)
        after = journal.finish(execution, result, definition.retry_policy, delivery.started_ms, delivery.ended_ms)
    return Ended(replace(after, hlc=s.ids.hlc()), execution.rev, definition)


def _note(s: Services, delivery: InFlight, outcome: Outcome) -> None:
    execution = delivery.execution
    said: LateOutcome = "closed" if outcome.closed else ACCEPTED if outcome.kind == ACCEPTED else _ending(outcome)
    answer = LateAnswer(delivery.ended_ms, said, outcome.http_status, None if outcome.closed else outcome.error)
    note_late(s, execution.key, Attempt(execution.attempt, execution.fencing_token, delivery.started_ms), answer)


def result_of(outcome: Outcome) -> AttemptResult:
    """An outcome in the journal's terms."""
    return AttemptResult(
        _ending(outcome),
        http_status=outcome.http_status,
        error_type=outcome.error_type,
        error=outcome.error,
        retry_after_ms=outcome.retry_after_ms,
        permanent=outcome.permanent,
        receipt=outcome.receipt,
        answer=outcome.answer,
    )


def _ending(outcome: Outcome) -> Literal["completed", "failed", "timeout"]:
    return COMPLETED if outcome.kind == COMPLETED else "timeout" if outcome.error_type == "timeout" else FAILED
