"""At the instant: one look whether the claims still stand, the dispatch, and the outcome.

Everything else was done before: what is left here is one batch read, the send, and (after it) one batch write.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from chalicelib.core import execution as journal
from chalicelib.core import limits
from chalicelib.core.cloudevent import Template, prepare
from chalicelib.core.errors import Unavailable
from chalicelib.core.execution import Execution, Result
from chalicelib.core.schedule import Key
from chalicelib.core.trace import of_attempt
from chalicelib.ports.batches import chunks, gathered
from chalicelib.ports.services import Caller, Services
from chalicelib.ports.target import Delivery, Outcome, Target
from chalicelib.usecases import schedules
from chalicelib.usecases.chain import chain
from chalicelib.usecases.outcomes import Ended, update_surely, write_outcomes
from chalicelib.usecases.owed import TOO_LATE, given_up
from chalicelib.usecases.sequel import follow
from chalicelib.workers.claim import Claimed, bind, settled
from chalicelib.workers.turns import admit

log = logging.getLogger(__name__)

LOOK_ATTEMPTS = 5
LANDING_LOOK_MS = 20  # deliveries that land within this of each other share a write
LEASE_SLACK_MS = 5_000  # a running attempt's lease outlasts its own deadline, so that its worker can still write


@dataclass(slots=True)
class Ready:
    """A claimed firing with everything prepared that can be before its instant."""

    claimed: Claimed
    delivery: Delivery
    template: Template

    @property
    def target_type(self) -> str:
        return str(self.claimed.definition.target["type"])


def make_ready(s: Services, claimed: Claimed) -> Ready:
    """Serialise the event, and let the target resolve, connect and read its secret."""
    execution, definition = claimed.execution, claimed.definition
    traceparent = str(of_attempt(execution.id, execution.attempt))
    template = prepare(
        execution_id=execution.id,
        schedule_id=execution.schedule_id,
        firing_unix_ms=execution.firing_ms,
        attempt=execution.attempt,
        fencing_token=execution.fencing_token,
        traceparent=traceparent,
        payload_json=execution.payload if execution.payload is not None else definition.payload,
    )
    delivery = Delivery(
        execution_id=execution.id,
        tenant=execution.tenant,
        schedule_id=execution.schedule_id,
        firing_unix_ms=execution.firing_ms,
        attempt=execution.attempt,
        fencing_token=execution.fencing_token,
        target=definition.target,
        event=b"",
        traceparent=traceparent,
        timeout_ms=_deadline_ms(claimed),
    )
    s.targets[str(definition.target["type"])].prepare(delivery)
    return Ready(claimed, delivery, template)


def _deadline_ms(claimed: Claimed) -> int:
    own = claimed.definition.target.get("timeout_ms")
    return min(own, claimed.definition.timeout_ms) if isinstance(own, int) else claimed.definition.timeout_ms


def fire(s: Services, group: Sequence[Ready]) -> None:
    """Deliver firings that are due now. Raises Unavailable when the claims could not be looked at or ended:
    they stay leased, and whoever finds them expired goes on."""
    standing = _standing(s, group)
    jobs = _jobs(s, [r for r in standing if r.claimed.definition.overlap == "allow"])
    jobs += [partial(_in_turn, s, ready) for ready in standing if ready.claimed.definition.overlap != "allow"]
    handles = [s.tasks.start(job) for job in jobs[1:]]
    if jobs:
        jobs[0]()
    for handle in handles:
        handle.wait()


def _jobs(s: Services, standing: Sequence[Ready]) -> list[Callable[[], None]]:
    """The dispatches of firings that may go, in as few calls as their targets allow."""
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


def _in_turn(s: Services, ready: Ready) -> None:
    """Deliver a firing of a schedule whose runs must not overlap, if it is its turn."""
    if admit(s, ready.claimed):
        for job in _jobs(s, [ready]):
            job()


def _standing(s: Services, group: Sequence[Ready]) -> list[Ready]:
    """Those whose schedule nobody changed since the claim, and those that stand in spite of a change."""
    epochs = _look(s, group)
    group = _in_time(s, group)
    standing = [r for r in group if epochs.get(r.claimed.key) == r.claimed.epoch]
    if len(standing) == len(group):
        return standing
    changed = [r for r in group if epochs.get(r.claimed.key) != r.claimed.epoch]
    return standing + [again for r in changed if (again := _reconsider(s, r)) is not None]


def _in_time(s: Services, group: Sequence[Ready]) -> Sequence[Ready]:
    """Without those that a stalled worker would send later than they may ever be; these are missed."""
    now_ms = s.clock.now_ms()
    late = [r for r in group if given_up(r.claimed.definition, r.claimed.execution, now_ms)]
    if not late:
        return group
    ended = [(journal.settle(e, journal.MISSED, now_ms, TOO_LATE), e.rev) for e in (r.claimed.execution for r in late)]
    for several in chunks(ended, limits.STATEMENTS_MAX):
        update_surely(s, several)
    return [r for r in group if r not in late]


def _look(s: Services, group: Sequence[Ready]) -> dict[Key, int]:
    keys = list({r.claimed.key for r in group})
    for _ in range(LOOK_ATTEMPTS - 1):
        try:
            return gathered(s.schedules.epochs, keys, limits.BATCH_GET_MAX)
        except Unavailable:
            s.clock.sleep_until(s.clock.now_ms() + limits.RUNNING_MARK_MS)
    return gathered(s.schedules.epochs, keys, limits.BATCH_GET_MAX)


def _reconsider(s: Services, ready: Ready) -> Ready | None:
    """The schedule changed between claim and instant: judge again by the version in force at the instant."""
    claimed = ready.claimed
    mine = s.executions.get([claimed.execution.key]).get(claimed.execution.key)
    if mine is None or mine.rev != claimed.execution.rev:
        if mine is not None and not mine.is_open:
            chain(s, mine)  # a caller cancelled it: a DELAY schedule goes on from there
        return None
    state = s.schedules.states([claimed.key]).get(claimed.key)
    binding = bind(s, state, mine)
    if isinstance(binding, str):
        update_surely(s, [(settled(mine, binding, s.clock.now_ms()), mine.rev)])
        return None
    if binding.version == claimed.definition.version:
        return ready
    bound = replace(mine, rev=mine.rev + 1, version=binding.version, target_type=str(binding.target["type"]))
    if not update_surely(s, [(bound, mine.rev)])[0]:
        return None
    return make_ready(s, Claimed(bound, binding, claimed.epoch, claimed.due_ms))


@dataclass(slots=True)
class _Flight:
    """One delivery on its way: when its dispatch began and ended, and how."""

    ready: Ready
    started_ms: int | None = None
    ended_ms: int = 0
    outcome: Outcome | None = None
    marked: bool = False

    def run(self, s: Services, target: Target) -> None:
        """Dispatch it alone."""
        self.started_ms = s.clock.now_ms()
        (self.outcome,) = target.dispatch([_rendered(s, self.ready)])
        self.ended_ms = s.clock.now_ms()

    def is_slow(self, now_ms: int) -> bool:
        return self.started_ms is not None and now_ms - self.started_ms >= limits.RUNNING_MARK_MS


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
        alone = len(flying) == 1 and flying[0][0].marked
        look_ms = None if alone else s.clock.now_ms() + LANDING_LOOK_MS
        seen = [(flight, handle, handle.wait(look_ms)) for flight, handle in flying]
        _finish(s, [flight for flight, _, landed in seen if landed])
        flying = [(flight, handle) for flight, handle, landed in seen if not landed]
        now_ms = s.clock.now_ms()
        _mark(s, [flight for flight, _ in flying if not flight.marked and flight.is_slow(now_ms)])


def _mark(s: Services, slow: Sequence[_Flight]) -> None:
    """Write down that these are in progress, and lease them for as long as they may take."""
    writes = []
    for flight in slow:
        flight.marked = True
        execution = flight.ready.claimed.execution
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


def _finish(s: Services, landed: Sequence[_Flight]) -> None:
    ended = [_ended(s, flight) for flight in landed]
    for e, won, flight in zip(ended, write_outcomes(s, ended), landed, strict=True):
        if not won:
            log.warning("a late result changed nothing", extra={"schedule_id": e.execution.schedule_id})
        else:
            follow(s, e.execution, e.definition)
        if flight.outcome is not None and flight.outcome.pause_schedule:
            _pause(s, e.execution)


def _ended(s: Services, flight: _Flight) -> Ended:
    execution, definition = flight.ready.claimed.execution, flight.ready.claimed.definition
    assert flight.outcome is not None
    assert flight.started_ms is not None
    if flight.outcome.kind == "accepted":
        after = journal.accepted(execution, flight.started_ms, flight.ended_ms + definition.timeout_ms)
    else:
        result = result_of(flight.outcome)
        after = journal.finish(execution, result, definition.retry_policy, flight.started_ms, flight.ended_ms)
    return Ended(replace(after, hlc=s.ids.hlc()), execution.rev, definition)


def result_of(outcome: Outcome) -> Result:
    """An outcome in the journal's terms."""
    kind = "completed" if outcome.kind == "completed" else "timeout" if outcome.error_type == "timeout" else "failed"
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
