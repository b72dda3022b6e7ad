"""Deliveries under way: sent, watched while they take long, and written down when they have landed.

A delivery that takes long is written down as in progress and looked at now and then: when somebody has cancelled it,
its connection is closed. An answer to an attempt that was ended meanwhile is kept as a note, and has no effect.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Attempt, Execution, LateAnswer
from chalicelib.core.executions.journal import Result
from chalicelib.core.executions.limits import RUNNING_MARK_MS, WATCH_STEPS_MS
from chalicelib.engine import schedule_change
from chalicelib.engine.dispatch.admission import Call, Flight, Look, Ready, depart, forsake, give_up_waiting, hand_back
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.outcomes import Ended, note_late, update_surely, write_outcomes
from chalicelib.ports.services import Services
from chalicelib.ports.target import ACCEPTED, COMPLETED, FAILED, Outcome, Target
from chalicelib.process.limits import WATCHED_TOGETHER

log = logging.getLogger(__name__)

LEASE_SLACK_MS = 5_000  # a running attempt's lease outlasts its own deadline, so that its worker can still write
LANDING_LOOK_MS = 20  # deliveries that land within this of each other share a write
WAITING_LOOK_MS = 100  # while all wait for their turn: their landing is then noticed this much later at most


def dispatches(s: Services, standing: Sequence[Ready], look: Look) -> list[Callable[[], None]]:
    """Let firings that may go depart, in as few calls as their targets allow. The jobs that are returned see them to
    their end. ``look`` tells of those that had to wait whether they still may go."""
    jobs: list[Callable[[], None]] = []
    by_target: dict[str, list[Ready]] = defaultdict(list)
    for ready in standing:
        by_target[ready.target_type].append(ready)
    for name, several in by_target.items():
        target = s.targets[name]
        calls = depart(s, target, several, look)
        together = max(1, WATCHED_TOGETHER // target.max_batch)
        jobs += [partial(_see_off, s, target, some) for some in chunks(calls, together)]
    return jobs


def _is_slow(flight: Flight, now_ms: int) -> bool:
    return flight.started_ms is not None and now_ms - flight.started_ms >= RUNNING_MARK_MS


def _next_look_ms(flight: Flight) -> int:
    """When to look whether somebody cancelled it: after growing times."""
    assert flight.started_ms is not None
    steps = WATCH_STEPS_MS
    beyond = max(0, flight.looks + 1 - len(steps)) * steps[-1]
    return flight.started_ms + sum(steps[: flight.looks + 1]) + beyond


def _compare(flight: Flight, stored: Execution | None) -> None:
    """Go on from the stored record while the attempt is ours, else know that it is not."""
    mine = flight.execution
    if stored is None:
        return
    same_attempt = stored.attempt == mine.attempt and stored.claimed_by == mine.claimed_by
    if stored.is_open and same_attempt:
        flight.ready.claimed.execution = stored
    else:
        flight.fenced = True


def _see_off(s: Services, target: Target, calls: Sequence[Call]) -> None:
    """Watch calls from their waiting to their end. What has landed is written down together, at most LANDING_LOOK_MS
    later; what is under way for RUNNING_MARK_MS is written down as in progress; what waits in vain is handed back.

    Raises Unavailable, when all is over, if the end of some could not be written down."""
    problems: list[Unavailable] = []
    try:
        while calls:
            given_up = give_up_waiting(s, calls)
            calls = [call for call in calls if call not in given_up]
            landed = _landed(s, calls)
            calls = [call for call in calls if call not in landed]
            _end(s, [flight for call in landed for flight in call.flights], problems)
            watched = [call for call in calls if not call.waits and (target.max_batch == 1 or call.was_held)]
            _look_after(s, target, [flight for call in watched for flight in call.flights])
    finally:  # none are left, unless this line of work is ended by force
        forsake(s.process.admission, [call.ticket for call in calls])
    for problem in problems:
        raise problem


def _landed(s: Services, calls: Sequence[Call]) -> list[Call]:
    """Those that have landed, or whose job came to nothing, within the time until the next look."""
    if not calls:
        return []
    look_ms = _look_ms(s, calls)
    return [call for call in calls if call.held.wait(look_ms)]


def _end(s: Services, flights: Sequence[Flight], problems: list[Unavailable]) -> None:
    hand_back(s, [(flight, 0) for flight in flights if flight.kept])
    try:
        _finish(s, [flight for flight in flights if flight.outcome is not None])
    except Unavailable as problem:  # they stay leased; the others must not suffer
        problems.append(problem)


def _look_after(s: Services, target: Target, flying: Sequence[Flight]) -> None:
    now_ms = s.clock.now_ms()
    _mark(s, [flight for flight in flying if not flight.marked and _is_slow(flight, now_ms)])
    _watch(s, target, [flight for flight in flying if flight.marked and _next_look_ms(flight) <= now_ms])


def _look_ms(s: Services, calls: Sequence[Call]) -> int:
    """When to look again: soon, unless the only one left has been written down as running, or none is under way."""
    now_ms = s.clock.now_ms()
    flying = [call for call in calls if not call.waits]
    if len(calls) == len(flying) == 1 and all(flight.marked for flight in flying[0].flights):
        return max(min(map(_next_look_ms, flying[0].flights)), now_ms + LANDING_LOOK_MS)
    return now_ms + (LANDING_LOOK_MS if flying else WAITING_LOOK_MS)


def _mark(s: Services, slow: Sequence[Flight]) -> None:
    """Write down that these are in progress, and lease them for as long as they may take."""
    writes = []
    for flight in slow:
        flight.marked = True
        execution = flight.execution
        assert flight.started_ms is not None
        until_ms = flight.started_ms + flight.ready.delivery.timeout_ms + LEASE_SLACK_MS
        running = journal.running(execution, flight.started_ms, until_ms)
        writes.append((replace(running, hlc=s.ids.hlc()), execution.rev))
    if not writes:
        return
    try:
        answers = update_surely(s, writes)
    except Unavailable:
        log.warning("could not write down that %d attempts run", len(slow))
        return
    for flight, (marked, _), won in zip(slow, writes, answers, strict=True):
        if won:
            flight.ready.claimed.execution = marked


def _watch(s: Services, target: Target, due: Sequence[Flight]) -> None:
    """Break off those that somebody has ended meanwhile."""
    if not due:
        return
    try:
        stored = s.stores.executions.get([flight.execution.key for flight in due])
    except Unavailable:
        stored = {}
    for flight in due:
        flight.looks += 1
        _compare(flight, stored.get(flight.execution.key))
        if flight.fenced:
            target.cancel(flight.execution.id)


def _finish(s: Services, landed: Sequence[Flight]) -> None:
    """Write down how deliveries ended; what was ended by others is left as it is, but for a note."""
    ended = [(flight, _ended(s, flight)) for flight in landed]
    _doubt(s, [flight for flight, e in ended if _is_doubtful(flight, e.execution)])
    ours = [(flight, _ended(s, flight)) for flight, _ in ended if not flight.fenced]
    for (flight, e), won in zip(ours, write_outcomes(s, [e for _, e in ours]), strict=True):
        flight.fenced = not won
        if won:
            follow(s, e.execution, e.definition)
    for flight in landed:
        if flight.fenced:
            _note(s, flight)
        if flight.outcome is not None and flight.outcome.pause_schedule:
            _pause(s, flight.execution)


def _is_doubtful(flight: Flight, after: Execution) -> bool:
    """Whether to look before writing: a failure of what was cancelled meanwhile must neither be tried again nor leave a
    dead letter, and both are queued before the write that would notice."""
    assert flight.outcome is not None
    return flight.outcome.kind == FAILED and (flight.marked or not after.is_open)


def _doubt(s: Services, flights: Sequence[Flight]) -> None:
    if flights:
        stored = s.stores.executions.get([flight.execution.key for flight in flights])
        for flight in flights:
            _compare(flight, stored.get(flight.execution.key))


def _note(s: Services, flight: Flight) -> None:
    execution, outcome = flight.execution, flight.outcome
    assert outcome is not None
    assert flight.started_ms is not None
    said = "closed" if outcome.closed else outcome.kind if outcome.kind == ACCEPTED else result_of(outcome).outcome
    answer = LateAnswer(flight.ended_ms, said, outcome.http_status, None if outcome.closed else outcome.error)
    note_late(s, execution.key, Attempt(execution.attempt, execution.fencing_token, flight.started_ms), answer)


def _ended(s: Services, flight: Flight) -> Ended:
    execution, definition = flight.execution, flight.ready.claimed.definition
    assert flight.outcome is not None
    assert flight.started_ms is not None
    if flight.outcome.kind == ACCEPTED:
        after = journal.accepted(execution, flight.started_ms, flight.ended_ms + definition.timeout_ms)
    else:
        result = result_of(flight.outcome)
        after = journal.finish(execution, result, definition.retry_policy, flight.started_ms, flight.ended_ms)
    return Ended(replace(after, hlc=s.ids.hlc()), execution.rev, definition)


def result_of(outcome: Outcome) -> Result:
    """An outcome in the journal's terms."""
    kind = COMPLETED if outcome.kind == COMPLETED else "timeout" if outcome.error_type == "timeout" else FAILED
    return Result(
        kind,
        http_status=outcome.http_status,
        error_type=outcome.error_type,
        error=outcome.error,
        retry_after_ms=outcome.retry_after_ms,
        permanent=outcome.permanent,
    )


def _pause(s: Services, execution: Execution) -> None:
    schedule_change.pause(s, execution.key_of_schedule, "the target answered 410 Gone")
