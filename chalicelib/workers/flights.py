"""Deliveries under way: sent, watched while they take long, and written down when they have landed.

A delivery that takes long is written down as in progress and looked at now and then: when somebody has cancelled it,
its connection is closed. An answer to an attempt that was ended meanwhile is kept as a note, and has no effect.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core import execution as journal
from chalicelib.core import limits
from chalicelib.core.cloudevent import Template
from chalicelib.core.errors import Unavailable
from chalicelib.core.execution import Attempt, Execution, LateAnswer, Result
from chalicelib.ports.batches import chunks, gathered
from chalicelib.ports.clock import Handle
from chalicelib.ports.services import Caller, Services
from chalicelib.ports.target import ACCEPTED, COMPLETED, FAILED, Delivery, Outcome, Target
from chalicelib.usecases import schedules
from chalicelib.usecases.outcomes import Ended, note_late, update_surely, write_outcomes
from chalicelib.usecases.sequel import follow
from chalicelib.workers.claim import Claimed

log = logging.getLogger(__name__)

LEASE_SLACK_MS = 5_000  # a running attempt's lease outlasts its own deadline, so that its worker can still write
LANDING_LOOK_MS = 20  # deliveries that land within this of each other share a write


class Ready(Struct):
    """A claimed firing with everything prepared that can be before its instant."""

    claimed: Claimed
    delivery: Delivery
    template: Template

    @property
    def target_type(self) -> str:
        return str(self.claimed.definition.target["type"])


def dispatches(s: Services, standing: Sequence[Ready]) -> list[Callable[[], None]]:
    """The dispatches of firings that may go, in as few calls as their targets allow. Each also ends what it sent."""
    jobs: list[Callable[[], None]] = []
    by_target: dict[str, list[Ready]] = defaultdict(list)
    for ready in standing:
        by_target[ready.target_type].append(ready)
    for name, several in by_target.items():
        target = s.targets[name]
        if target.max_batch > 1:
            jobs += [partial(_together, s, target, chunk) for chunk in chunks(several, target.max_batch)]
        else:
            jobs += [partial(_apart, s, target, chunk) for chunk in chunks(several, limits.STATEMENTS_MAX)]
    return jobs


class _Flight(Struct):
    """One delivery on its way: when its dispatch began and ended, and how. ``fenced``: the attempt is not ours to end
    any more."""

    ready: Ready
    started_ms: int | None = None
    ended_ms: int = 0
    outcome: Outcome | None = None
    marked: bool = False
    fenced: bool = False
    looks: int = 0

    def run(self, s: Services, target: Target) -> None:
        """Dispatch it alone."""
        self.started_ms = s.clock.now_ms()
        (self.outcome,) = target.dispatch([_rendered(s, self.ready)])
        self.ended_ms = s.clock.now_ms()

    @property
    def execution(self) -> Execution:
        return self.ready.claimed.execution

    def is_slow(self, now_ms: int) -> bool:
        return self.started_ms is not None and now_ms - self.started_ms >= limits.RUNNING_MARK_MS

    @property
    def next_look_ms(self) -> int:
        """When to look whether somebody cancelled it: after growing times."""
        assert self.started_ms is not None
        steps = limits.WATCH_STEPS_MS
        beyond = max(0, self.looks + 1 - len(steps)) * steps[-1]
        return self.started_ms + sum(steps[: self.looks + 1]) + beyond

    def compare(self, stored: Execution | None) -> None:
        """Go on from the stored record while the attempt is ours, else know that it is not."""
        mine = self.execution
        if stored is None:
            return
        same_attempt = stored.attempt == mine.attempt and stored.claimed_by == mine.claimed_by
        if stored.is_open and same_attempt:
            self.ready.claimed.execution = stored
        else:
            self.fenced = True


def _rendered(s: Services, ready: Ready) -> Delivery:
    return replace(ready.delivery, event=ready.template.render(s.ids.hlc()))


def _together(s: Services, target: Target, chunk: Sequence[Ready]) -> None:
    """Send one batch to a target that takes several at once, and write down what came of it."""
    started_ms = s.clock.now_ms()
    outcomes = target.dispatch([_rendered(s, ready) for ready in chunk])
    ended_ms = s.clock.now_ms()
    landed = zip(chunk, outcomes, strict=True)
    _finish(s, [_Flight(ready, started_ms, ended_ms, outcome) for ready, outcome in landed])


def _apart(s: Services, target: Target, chunk: Sequence[Ready]) -> None:
    """Send each by itself, side by side, to a target that may be slow. What has landed is written down together, at
    most LANDING_LOOK_MS later; what is under way for RUNNING_MARK_MS is written down as in progress."""
    flying = [(flight := _Flight(ready), s.tasks.start(partial(flight.run, s, target))) for ready in chunk]
    while flying:
        look_ms = _look_ms(s, flying)
        seen = [(flight, handle, handle.wait(look_ms)) for flight, handle in flying]
        _finish(s, [flight for flight, _, landed in seen if landed])
        flying = [(flight, handle) for flight, handle, landed in seen if not landed]
        now_ms = s.clock.now_ms()
        _mark(s, [flight for flight, _ in flying if not flight.marked and flight.is_slow(now_ms)])
        _watch(s, target, [flight for flight, _ in flying if flight.marked and flight.next_look_ms <= now_ms])


def _look_ms(s: Services, flying: Sequence[tuple[_Flight, Handle]]) -> int:
    """When to look again: soon, unless the only one left has been written down as running."""
    if len(flying) == 1 and flying[0][0].marked:
        return max(flying[0][0].next_look_ms, s.clock.now_ms() + LANDING_LOOK_MS)
    return s.clock.now_ms() + LANDING_LOOK_MS


def _mark(s: Services, slow: Sequence[_Flight]) -> None:
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


def _watch(s: Services, target: Target, due: Sequence[_Flight]) -> None:
    """Break off those that somebody has ended meanwhile."""
    if not due:
        return
    try:
        stored = gathered(s.executions.get, [flight.execution.key for flight in due], limits.BATCH_GET_MAX)
    except Unavailable:
        stored = {}
    for flight in due:
        flight.looks += 1
        flight.compare(stored.get(flight.execution.key))
        if flight.fenced:
            target.cancel(flight.execution.id)


def _finish(s: Services, landed: Sequence[_Flight]) -> None:
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


def _is_doubtful(flight: _Flight, after: Execution) -> bool:
    """Whether to look before writing: a failure of what was cancelled meanwhile must neither be tried again nor leave a
    dead letter, and both are queued before the write that would notice."""
    assert flight.outcome is not None
    return flight.outcome.kind == FAILED and (flight.marked or not after.is_open)


def _doubt(s: Services, flights: Sequence[_Flight]) -> None:
    if flights:
        stored = gathered(s.executions.get, [flight.execution.key for flight in flights], limits.BATCH_GET_MAX)
        for flight in flights:
            flight.compare(stored.get(flight.execution.key))


def _note(s: Services, flight: _Flight) -> None:
    execution, outcome = flight.execution, flight.outcome
    assert outcome is not None
    assert flight.started_ms is not None
    said = "closed" if outcome.closed else outcome.kind if outcome.kind == ACCEPTED else result_of(outcome).outcome
    answer = LateAnswer(flight.ended_ms, said, outcome.http_status, None if outcome.closed else outcome.error)
    note_late(s, execution.key, Attempt(execution.attempt, execution.fencing_token, flight.started_ms), answer)


def _ended(s: Services, flight: _Flight) -> Ended:
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
    caller = Caller(execution.tenant, "chronowatch")
    schedules.pause(s, caller, execution.schedule_id, "the target answered 410 Gone", None)
