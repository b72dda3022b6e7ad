"""Handing back: claims that were not sent are given back to the queue, to be claimed anew later."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.core.executions import journal
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Run
from chalicelib.engine.dispatch.call import InFlight
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import update_surely
from chalicelib.engine.prepare import Ready
from chalicelib.engine.recheck import recheck
from chalicelib.ports.services import Services
from chalicelib.process.limits import POSTPONE_MAX_MS, POSTPONE_MIN_MS

log = logging.getLogger(__name__)


def hand_back(s: Services, held: Sequence[tuple[InFlight, int]]) -> None:
    """Give the claims of deliveries that were not sent back to the queue, each to come again in its milliseconds:
    queued first, written second. No attempt is counted. Those whose catch-up window has passed meanwhile end. Raises
    Unavailable: then their messages must come again."""
    _hand_back(s, _without_late(s, held))


def leave_to_others(s: Services, claims: Sequence[Ready]) -> None:
    """Give claims whose instants have yet to come back to the queue: this process leaves. Each is due at its instant.
    Raises Unavailable: then they stay leased, and are taken over when that has expired."""
    _give(s, [(InFlight(ready, ready.claimed.execution), ready.claimed.due_ms) for ready in claims])


def _without_late(s: Services, held: Sequence[tuple[InFlight, int]]) -> Sequence[tuple[InFlight, int]]:
    """Without those whose window has passed, unless they run under another version by now, with a longer one."""
    now_ms = s.clock.now_ms()
    late = [d.ready for d, _ in held if catch_up.is_expired(d.ready.claimed.definition, d.execution, now_ms)]
    if not late:
        return held
    standing = {ready.claimed.execution.key: ready for ready in recheck(s, late)}
    ended = {ready.claimed.execution.key for ready in late} - standing.keys()
    for delivery, _ in held:
        if ready := standing.get(delivery.execution.key):
            delivery.ready, delivery.execution = ready, ready.claimed.execution
    return [(delivery, comes_in_ms) for delivery, comes_in_ms in held if delivery.execution.key not in ended]


def _hand_back(s: Services, held: Sequence[tuple[InFlight, int]]) -> None:
    if not held:
        return
    now_ms = s.clock.now_ms()
    _give(s, [(each, now_ms + min(max(in_ms, POSTPONE_MIN_MS), POSTPONE_MAX_MS)) for each, in_ms in held])
    first = held[0][0].ready.claimed.definition
    log.info("%d firings wait for their turn in the queue; the first is of owner %s", len(held), first.owner)


def _give(s: Services, held: Sequence[tuple[InFlight, int]]) -> None:
    """Queue each for its instant, and then write that it has no worker."""
    writes = []
    for delivery, at_ms in held:
        back = journal.hand_back(delivery.execution, at_ms, waits=False)
        writes.append((replace(back, hlc=s.ids.hlc()), delivery.execution.rev))
    # A number above the claimed attempt's makes a worker that gets the message early wait for the write that follows.
    enqueue(s, [Run(e.key, e.attempt + 2, e.due_ms) for e, _ in writes])
    answers = update_surely(s, writes)
    for (delivery, _), won in zip(held, answers, strict=True):
        if not won:
            _follow_the_end(s, delivery)


def _follow_the_end(s: Services, delivery: InFlight) -> None:
    """Another writer was faster: a caller cancelled it while it waited."""
    found = s.stores.executions.get([delivery.execution.key]).get(delivery.execution.key)
    if found is not None:
        follow(s, found, delivery.ready.claimed.definition, just_now=False)
