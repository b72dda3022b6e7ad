"""The way of a firing, top to bottom. Each step is a module of its own.

    claim          take a fencing token in the state: this worker owns the attempt           claim.py
    prepare        serialise the event; let its target resolve, connect, read its secret     prepare.py
    wait           until a few milliseconds before the instant                               Tasks.at
    recheck        end what was paused, edited or deleted since; then wait for the instant   recheck.py
    take the slot  where the runs of a schedule must not overlap                             overlap_slot.py
    admit          wait for a turn among the owners, and for a place within the limits       dispatch/admission.py
    dispatch       send, in as few calls as the targets allow                                dispatch/send.py
    record         write down that it runs, and how it ended                                 dispatch/in_flight.py
    follow up      set off the next run, the one that waited, a pause after failures         follow_ups.py

A message is answered only when each of its firings is over, or in the care of others; otherwise the queue brings it
again. So a worker may die anywhere in here: the message comes back, finds the claim or the record, and goes on from it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct, field

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import RECHECK_KEPT_MS, UNKNOWN_VERSION_GRACE_MS
from chalicelib.core.queue_messages import Firing
from chalicelib.engine import cancel_notices
from chalicelib.engine.claim import claim
from chalicelib.engine.claimed import Claims, Item, Leased, execution_of
from chalicelib.engine.dispatch import admission, in_flight, send
from chalicelib.engine.dispatch.call import TargetCall
from chalicelib.engine.dispatch.hand_back import leave_to_others
from chalicelib.engine.overlap_slot import take_slot
from chalicelib.engine.prepare import Ready, prepare_all
from chalicelib.engine.recheck import in_time, recheck
from chalicelib.ports.services import Services
from chalicelib.ports.tasks import Handle
from chalicelib.process.limits import SHARED_AHEAD_MS
from chalicelib.process.shared_instants import SharedInstant, SharedInstants
from chalicelib.process.waiting_room import WaitingGroup

log = logging.getLogger(__name__)

# A message may arrive before the write that makes it true (queue first, write second): how long to wait for that write
# before the message goes back to the queue, in growing steps.
UNKNOWN_WAITS_MS = (10, 20, 40, 80, 150, 300, 600, 800)
AGAIN_MS = 500  # after which time what could not be claimed is tried once more here
TAKEOVER_ROUNDS = 40  # how often a message waits in its worker for the end of a claim of another
AT_HAND_MS = 1_000  # what is due sooner is sent by the worker that has it, even when that is about to end


class _Job(Struct, eq=False):
    """Something under way; should one of its handles fail, the items of ``executions`` come again. A handle may add
    another before it ends."""

    executions: frozenset[ExecutionKey]
    handles: list[Handle] = field(default_factory=list)


def deliver(s: Services, items: Sequence[Item]) -> set[Item]:
    """Take queued items all the way. Returns those that the queue must bring again."""
    claims = claim(s, items)  # claim
    jobs, again, leased = _start(s, claims), set(claims.redeliver), list(claims.leased)
    for wait_ms in UNKNOWN_WAITS_MS:
        if not claims.unknown:
            break
        s.clock.sleep_until(s.clock.now_ms() + wait_ms)
        claims = claim(s, claims.unknown)
        jobs += _start(s, claims)
        again.update(claims.redeliver)
        leased += claims.leased
    leased += [Leased(item, s.clock.now_ms() + AGAIN_MS) for item in again]  # the rest of the batch may take long
    again = {item for item in claims.unknown if _may_still_come(s, item)}
    for _ in range(TAKEOVER_ROUNDS):
        if not leased:
            break
        s.clock.sleep_until(min(each.until_ms for each in leased))
        over = [each for each in leased if each.until_ms <= s.clock.now_ms()]
        claims = claim(s, [each.item for each in over])  # of workers that died; of others nothing is left to claim
        jobs += _start(s, claims)
        again.update(claims.redeliver, claims.unknown)
        leased = [*(each for each in leased if each not in over), *claims.leased]
    again.update(each.item for each in leased)
    failed = _failed(jobs)
    again.update(item for item in items if failed and execution_of(item) in failed)
    return again


def _start(s: Services, claims: Claims) -> list[_Job]:
    """Prepare what was claimed, and let it wait for its instant."""
    groups: dict[int, list[Ready]] = defaultdict(list)
    for ready in prepare_all(s, claims.claimed):  # prepare
        groups[ready.claimed.due_ms].append(ready)
    ahead_ms = s.process.recheck_latency.ahead_ms
    waiting = [s.process.waiting_room.enter(due_ms, group) for due_ms, group in sorted(groups.items())]
    jobs = [_timed(s, each, ahead_ms) for each in waiting]  # wait
    for owed in claims.notices:
        handle = s.tasks.start(partial(cancel_notices.notify, s, owed.cancelled))
        jobs.append(_Job(frozenset({owed.cancelled.key}), [handle]))
    return jobs


def _timed(s: Services, waiting: WaitingGroup[Sequence[Ready]], ahead_ms: int) -> _Job:
    """The job that sees to a group at its instant: in a crowd one that it shares with its neighbours."""
    job = _Job(frozenset(ready.claimed.execution.key for ready in waiting.group))
    s.process.shared_instants.count(waiting.due_ms)
    if (shared := _shared(s, waiting)) is not None:
        job.handles.append(shared)
    else:
        job.handles.append(s.tasks.at(waiting.due_ms - ahead_ms, partial(_fire_alone, s, waiting, job)))
    return job


def _shared(s: Services, waiting: WaitingGroup[Sequence[Ready]]) -> Handle | None:
    """What a group shares with its neighbours in a crowd; None where it is to be alone."""
    instants: SharedInstants[Sequence[Ready], Handle] = s.process.shared_instants
    ready_ms = s.clock.now_ms() + SHARED_AHEAD_MS
    send_ms = instants.send_ms(waiting.due_ms, ready_ms)
    if send_ms is None:
        return None
    if ready_ms > waiting.due_ms and not all(ready.claimed.may_overlap for ready in waiting.group):
        return None  # several late ones of one schedule would share: which of them gets its slot is for their order
    at_ms = send_ms - SHARED_AHEAD_MS
    return instants.join(send_ms, waiting, lambda shared: s.tasks.at(at_ms, partial(_fire_shared, s, shared)))


def _fire_alone(s: Services, waiting: WaitingGroup[Sequence[Ready]], job: _Job) -> None:
    """Deliver a group, unless it is one of a crowd now: there were fewer when it was claimed."""
    shared = _shared(s, waiting)
    if shared is None:
        _fire_unless_left(s, waiting.due_ms, [waiting])
    else:
        job.handles.append(shared)


def _fire_shared(s: Services, shared: SharedInstant[Sequence[Ready], Handle]) -> None:
    _fire_unless_left(s, shared.due_ms, s.process.shared_instants.begin(shared))


def leave(s: Services) -> bool:
    """This process is about to end: give away the claims whose instants are not at hand. True when nothing is under way
    here any more. To be called again until then, since a message that had just come may still be claimed."""
    away = s.process.waiting_room.take_away(s.clock.now_ms() + AT_HAND_MS)
    try:
        leave_to_others(s, [ready for waiting in away for ready in waiting.group])
    except Unavailable as problem:
        log.warning("%d instants are taken over only when their leases end: %s", len(away), problem)
    else:
        for waiting in away:
            waiting.is_given = True
    return s.process.waiting_room.is_empty


def _fire_unless_left(s: Services, send_ms: int, several: Sequence[WaitingGroup[Sequence[Ready]]]) -> None:
    """Deliver what is due, unless it was given to others meanwhile. Raises Unavailable as ``_fire`` does.

    So it does when a group could not be given. Some of it may have been: it is not sent here, and comes again.
    """
    room = s.process.waiting_room
    begun, is_lost = [], False
    for waiting in several:
        if room.begin(waiting):
            begun.append(waiting)
        elif not waiting.is_given:
            is_lost = True
    try:
        if begun:
            begun.sort(key=lambda waiting: waiting.due_ms)
            _fire(s, send_ms, [ready for waiting in begun for ready in waiting.group])
    finally:
        for waiting in begun:
            room.end(waiting)
    if is_lost:
        raise Unavailable("could not be given to others when this process left")


def _fire(s: Services, due_ms: int, group: Sequence[Ready]) -> None:
    """Deliver firings whose instant is about to come. Raises Unavailable when their claims could not be rechecked or
    ended: they stay leased, and are taken over when that has expired."""
    began_ms = s.clock.read().steady_ms
    standing = recheck(s, group)  # recheck
    calls = _calls_for(s, standing)
    s.clock.sleep_until(due_ms)  # wait: nothing is sent before its instant
    is_old = s.clock.read().steady_ms - began_ms > RECHECK_KEPT_MS  # this worker stood still, or the tables did
    sendable = recheck(s, standing) if is_old else in_time(s, standing)
    if sendable is not standing:
        standing, calls = sendable, _calls_for(s, sendable)
    admission.submit(s, calls)  # admit; each call dispatches itself when its turn has come
    supervising = [partial(in_flight.supervise, s, share) for share in in_flight.supervised_together(calls)]
    in_slots = [partial(_fire_in_slot, s, ready) for ready in standing if not ready.claimed.may_overlap]
    _beside_each_other(s, [*supervising, *in_slots])


def _calls_for(s: Services, standing: Sequence[Ready]) -> list[TargetCall]:
    return send.calls_for(s, [ready for ready in standing if ready.claimed.may_overlap])


def _fire_in_slot(s: Services, ready: Ready) -> None:
    """Deliver a firing of a schedule whose runs must not overlap, if it gets the slot."""
    began_ms = s.clock.read().steady_ms
    if take_slot(s, ready.claimed):  # take the slot
        is_old = s.clock.read().steady_ms - began_ms > RECHECK_KEPT_MS
        calls = send.calls_for(s, recheck(s, [ready]) if is_old else in_time(s, [ready]))
        admission.submit(s, calls)  # admit, dispatch
        in_flight.supervise(s, calls)  # record, follow up


def _beside_each_other(s: Services, jobs: Sequence[Callable[[], None]]) -> None:
    """Do all of them, the first one here."""
    handles = [s.tasks.start(job) for job in jobs[1:]]
    if jobs:
        jobs[0]()
    for handle in handles:
        handle.wait()


def _may_still_come(s: Services, item: Item) -> bool:
    """Whether the write that a message hints at may yet happen; after the grace it was an orphan, and is dropped."""
    due_ms = item.at_ms if isinstance(item, Firing) else item.due_ms
    return s.clock.now_ms() < due_ms + UNKNOWN_VERSION_GRACE_MS


def _failed(jobs: Iterable[_Job]) -> set[ExecutionKey]:
    """Wait for all; the executions of those jobs that could not do everything because something was away."""
    failed: set[ExecutionKey] = set()
    for job in jobs:
        try:
            for handle in job.handles:
                handle.wait()
        except Unavailable as problem:
            log.warning("%d executions failed here; their messages come again: %s", len(job.executions), problem)
            failed |= job.executions
    return failed
