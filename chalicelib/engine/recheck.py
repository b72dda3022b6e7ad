"""Rechecking: whether what was claimed may still be sent, right before its instant, and again when it waited long.

One batch read of the schedules' epochs settles all whose schedule has not changed. What must not be sent any more is
ended here. The read brings along whether the policies of their tenants have changed.

The read begins a few milliseconds before the instant, so that nothing is left to do when it comes. A change that is
written after the read is not seen. So ``schedule_change`` lets a change begin RECHECK_AHEAD_MAX_MS after it was made.
It is acknowledged when all that could not see it has begun: no acknowledged change is overtaken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import MISSED, Execution
from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.core.policies import catch_up
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.engine import binding
from chalicelib.engine.binding import Binding
from chalicelib.engine.claimed import Claimed
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.outcomes import update_surely
from chalicelib.engine.prepare import Ready, prepare
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import EPOCH_ID, epoch_key

READ_ATTEMPTS = 5


def recheck(s: Services, group: Sequence[Ready]) -> list[Ready]:
    """Those whose schedule has not changed since the claim, and those that stand in spite of a change. The others are
    ended. Raises Unavailable when that could not be found out."""
    epochs = _epochs(s, group)
    standing = [r for r in group if epochs.get(r.claimed.key) == r.claimed.epoch]
    if len(standing) < len(group):
        changed = [r for r in group if epochs.get(r.claimed.key) != r.claimed.epoch]
        standing += [again for r in changed if (again := _reconsidered(s, r)) is not None]
    return in_time(s, _permitted(s, epochs, _still_ours(s, standing)))


def _still_ours(s: Services, standing: list[Ready]) -> list[Ready]:
    """Without those whose claims have run out and were taken over: this worker stood still."""
    now_ms = s.clock.now_ms()
    expired = [r.claimed.execution for r in standing if not r.claimed.execution.leased(now_ms)]
    if not expired:
        return standing
    found = s.stores.executions.get([e.key for e in expired])
    lost = {e.key for e in expired if (found[e.key].rev if e.key in found else 0) != e.rev}
    return [r for r in standing if r.claimed.execution.key not in lost]


def _permitted(s: Services, epochs: Mapping[Key, int], standing: list[Ready]) -> list[Ready]:
    """Without those whose queue is paused, which are held, and those that policies reject, which are ended. A tenant
    that never had either costs nothing."""
    if not any(key.id == EPOCH_ID for key in epochs):
        return standing
    # Loaded with the first tenant that has policies, or has had a pause.
    from chalicelib.engine.queue_pause import without_held
    from chalicelib.engine.rulings import permitted

    return permitted(s, epochs, without_held(s, epochs, standing))


def in_time(s: Services, group: list[Ready]) -> list[Ready]:
    """Without those that a stalled worker would send later than they may ever be; these are missed."""
    now_ms = s.clock.now_ms()
    late = [r for r in group if catch_up.is_expired(r.claimed.definition, r.claimed.execution, now_ms)]
    if not late:
        return group
    records = [r.claimed.execution for r in late]
    missed = [(journal.settle(e, MISSED, now_ms, catch_up.too_late(e)), e.rev) for e in records]
    for ready, (record, _), won in zip(late, missed, update_surely(s, missed), strict=True):
        if won:
            follow(s, record, ready.claimed.definition)
    return [r for r in group if r not in late]


def rebound(s: Services, state: State | None, claimed: Execution) -> Definition | None:
    """The definition a claimed record runs under after its schedule changed. None when it must not run: it is ended."""
    bound = binding.bind(s, state, claimed)
    if isinstance(bound, Binding):
        return bound.definition
    update_surely(s, [(binding.ended_unbound(claimed, bound, s.clock.now_ms()), claimed.rev)])
    return None


def _epochs(s: Services, group: Sequence[Ready]) -> dict[Key, int]:
    keys = list({r.claimed.key for r in group})
    keys += sorted({epoch_key(key.tenant) for key in keys})
    for _ in range(READ_ATTEMPTS - 1):
        began_ms = s.clock.read().steady_ms
        try:
            epochs = s.stores.schedules.epochs(keys)
            s.process.recheck_latency.took(s.clock.read().steady_ms - began_ms)
            return epochs
        except Unavailable:
            s.clock.sleep_until(s.clock.now_ms() + RUNNING_MARK_MS)
    return s.stores.schedules.epochs(keys)


def _reconsidered(s: Services, ready: Ready) -> Ready | None:
    """The schedule changed between claim and instant: judge again by the version in force at the instant."""
    claimed = ready.claimed
    mine = s.stores.executions.get([claimed.execution.key]).get(claimed.execution.key)
    if mine is None and not claimed.execution.rev:
        mine = claimed.execution  # an end or a takeover would have written its record
    if mine is None or mine.rev != claimed.execution.rev:
        if mine is not None and not mine.is_open:
            chain(s, mine)  # a caller cancelled it: a DELAY schedule goes on from there
        return None
    state = s.stores.schedules.states([claimed.key]).get(claimed.key)
    definition = rebound(s, state, mine)
    if definition is None:
        return None
    if definition.version == claimed.definition.version:
        return ready
    moved = replace(mine, rev=mine.rev + 1, version=definition.version, target_type=str(definition.target["type"]))
    if not update_surely(s, [(moved, mine.rev)])[0]:
        return None
    return prepare(s, Claimed(moved, definition, claimed.epoch, claimed.due_ms))
