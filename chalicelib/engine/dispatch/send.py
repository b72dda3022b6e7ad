"""Dispatching: calls to targets are made ready to line up, and each is sent by its own job once it is admitted.

A call that waited long for its turn is rechecked first: its schedules may have changed meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.delivery_phase import DeliveryPhase
from chalicelib.engine.dispatch import admission
from chalicelib.engine.dispatch.call import InFlight, TargetCall, waited_long
from chalicelib.engine.dispatch.grouping import by_call, by_target, line_of
from chalicelib.engine.prepare import Ready
from chalicelib.engine.recheck import recheck
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Target
from chalicelib.process.admission import Ticket
from chalicelib.process.limits import HOLD_MAX_MS

log = logging.getLogger(__name__)


def calls_for(s: Services, standing: Sequence[Ready]) -> list[TargetCall]:
    """The calls that carry these firings, as few as their targets allow. They begin when ``admission`` lets them."""
    now_ms = s.clock.read().steady_ms
    return [
        _call(s, target, group, now_ms)
        for target, several in ((s.targets[name], several) for name, several in by_target(standing).items())
        for group in by_call(s.config.caps, target, several)
    ]


def _call(s: Services, target: Target, group: Sequence[Ready], now_ms: float) -> TargetCall:
    deliveries = [InFlight(ready, ready.claimed.execution) for ready in group]
    owner, destination = line_of(s.config.caps, group)
    ticket = Ticket(owner, destination, len(group), min(r.claimed.due_ms for r in group), _without_call)
    job = s.tasks.hold(partial(_send, s, target, deliveries, ticket))
    ticket.go = job.go
    return TargetCall(target, deliveries, ticket, job, now_ms + HOLD_MAX_MS)


def _without_call() -> None:
    raise AssertionError("a ticket without a call")


def _send(s: Services, target: Target, deliveries: Sequence[InFlight], ticket: Ticket) -> None:
    """The job of one call, beside all others, once its turn has come."""
    try:
        for delivery in deliveries:
            delivery.move(DeliveryPhase.ADMITTED)
        if waited_long(deliveries, ticket):
            _recheck_waited(s, deliveries)
        going = [delivery for delivery in deliveries if delivery.phase is DeliveryPhase.ADMITTED]
        if going:
            _dispatch(s, target, going, ticket)
    finally:
        admission.release(s, ticket)


def _recheck_waited(s: Services, deliveries: Sequence[InFlight]) -> None:
    """Drop those that were cancelled, deleted or changed meanwhile, or are too late by now. When that cannot be found
    out all are held back."""
    try:
        standing = {r.claimed.execution.key: r for r in recheck(s, [delivery.ready for delivery in deliveries])}
    except Unavailable as problem:
        log.warning("could not recheck firings that have waited: %s", problem)
        for delivery in deliveries:
            delivery.move(DeliveryPhase.HELD_BACK)
        return
    for delivery in deliveries:
        ready = standing.get(delivery.execution.key)
        if ready is None:
            delivery.move(DeliveryPhase.DROPPED)
        else:
            delivery.ready, delivery.execution = ready, ready.claimed.execution


def _dispatch(s: Services, target: Target, going: Sequence[InFlight], ticket: Ticket) -> None:
    started_ms = s.clock.now_ms()
    for delivery in going:
        delivery.started_ms = started_ms
        delivery.move(DeliveryPhase.DISPATCHED)
    sent = partial(_sent, s, ticket)
    outcomes = target.dispatch([_stamped(s, delivery.ready, sent) for delivery in going])
    ended_ms = s.clock.now_ms()
    for delivery, outcome in zip(going, outcomes, strict=True):
        delivery.ended_ms, delivery.outcome = ended_ms, outcome


def _sent(s: Services, ticket: Ticket) -> None:
    """Only the answer is still to come, so that another may be sent beside it."""
    s.process.admission.sent(ticket)
    admission.admit(s)


def _stamped(s: Services, ready: Ready, sent: Callable[[], None]) -> Delivery:
    return replace(ready.delivery, event=ready.template.render(s.ids.hlc()), sent=sent)
