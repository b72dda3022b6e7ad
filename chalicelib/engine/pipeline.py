"""At the instant: one look whether the claims still stand, the dispatch, and the outcome.

Everything else was done before: what is left here is one batch read, the send, and (after it) one batch write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import MISSED
from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.targets.cloudevent import prepare
from chalicelib.core.trace import of_attempt
from chalicelib.engine.claim import Claimed, rebind
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.dispatch.admission import Ready as Ready
from chalicelib.engine.dispatch.admission import passing
from chalicelib.engine.dispatch.in_flight import dispatches
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.handoff import TOO_LATE, given_up
from chalicelib.engine.outcomes import update_surely
from chalicelib.engine.overlap_slot import admit
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery

LOOK_ATTEMPTS = 5


def make_ready(s: Services, claimed: Claimed, *, ahead: bool = True) -> Ready:
    """Serialise the event, and ``ahead`` of the instant let the target resolve, connect and read its secret."""
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
    if ahead:
        s.targets[str(definition.target["type"])].prepare(delivery)
    return Ready(claimed, delivery, template)


def _deadline_ms(claimed: Claimed) -> int:
    own = claimed.definition.target.get("timeout_ms")
    return min(own, claimed.definition.timeout_ms) if isinstance(own, int) else claimed.definition.timeout_ms


def fire(s: Services, group: Sequence[Ready]) -> None:
    """Deliver firings that are due now. Raises Unavailable when the claims could not be looked at or ended:
    they stay leased, and whoever finds them expired goes on."""
    with passing(s, group):
        standing = _standing(s, group)
        jobs = dispatches(s, [r for r in standing if r.claimed.definition.overlap == "allow"], partial(_standing, s))
    jobs += [partial(_in_turn, s, ready) for ready in standing if ready.claimed.definition.overlap != "allow"]
    handles = [s.tasks.start(job) for job in jobs[1:]]
    if jobs:
        jobs[0]()
    for handle in handles:
        handle.wait()


def _in_turn(s: Services, ready: Ready) -> None:
    """Deliver a firing of a schedule whose runs must not overlap, if it is its turn."""
    if admit(s, ready.claimed):
        for job in dispatches(s, _in_time(s, [ready]), partial(_standing, s)):
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
    records = [r.claimed.execution for r in late]
    missed = [(journal.settle(e, MISSED, now_ms, TOO_LATE), e.rev) for e in records]
    for ready, (record, _), won in zip(late, missed, update_surely(s, missed), strict=True):
        if won:
            follow(s, record, ready.claimed.definition)
    return [r for r in group if r not in late]


def _look(s: Services, group: Sequence[Ready]) -> dict[Key, int]:
    keys = list({r.claimed.key for r in group})
    for _ in range(LOOK_ATTEMPTS - 1):
        try:
            return s.stores.schedules.epochs(keys)
        except Unavailable:
            s.clock.sleep_until(s.clock.now_ms() + RUNNING_MARK_MS)
    return s.stores.schedules.epochs(keys)


def _reconsider(s: Services, ready: Ready) -> Ready | None:
    """The schedule changed between claim and instant: judge again by the version in force at the instant."""
    claimed = ready.claimed
    mine = s.stores.executions.get([claimed.execution.key]).get(claimed.execution.key)
    if mine is None or mine.rev != claimed.execution.rev:
        if mine is not None and not mine.is_open:
            chain(s, mine)  # a caller cancelled it: a DELAY schedule goes on from there
        return None
    state = s.stores.schedules.states([claimed.key]).get(claimed.key)
    binding = rebind(s, state, mine)
    if binding is None:
        return None
    if binding.version == claimed.definition.version:
        return ready
    bound = replace(mine, rev=mine.rev + 1, version=binding.version, target_type=str(binding.target["type"]))
    if not update_surely(s, [(bound, mine.rev)])[0]:
        return None
    return make_ready(s, Claimed(bound, binding, claimed.epoch, claimed.due_ms))
