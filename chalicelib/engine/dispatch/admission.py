"""Admission: calls that are due begin in the order and within the limits that ``process.admission`` keeps.

A call that waits keeps the claims of its deliveries: their leases outlast what it may wait here twice over. One whose
turn does not come in that time, or is known to be further away, is given up, and its claims are handed back. So what
waits is either a ticket here or a record and a message like those of a retry. Should this process die, the queue brings
the ticket's message again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from chalicelib.engine.dispatch.call import TargetCall
from chalicelib.engine.dispatch.grouping import owner_by_owner
from chalicelib.ports.services import Services
from chalicelib.process.admission import Admission, Ticket
from chalicelib.process.limits import GIVE_WAY_MAX_MS, GIVE_WAY_STEP_MS


def submit(s: Services, calls: Sequence[TargetCall]) -> None:
    """Put calls in line. Those whose turn has come are on their way on return, the others begin by themselves."""
    now_ms = s.clock.read().steady_ms
    for call in owner_by_owner(calls):
        call.comes_in_ms = s.process.admission.submit(s.config.caps, call.ticket, now_ms)
    admit(s)


def admit(s: Services) -> None:
    """Let those begin whose turn has come."""
    line, now_ms = s.process.admission, s.clock.read().steady_ms
    for ticket in line.admit(s.config.caps, now_ms):
        ticket.go()
    alarm_ms = line.take_alarm(now_ms)
    if alarm_ms is not None:  # for the turn that time alone brings
        s.tasks.at(s.clock.now_ms() + 1 + int(alarm_ms - now_ms), partial(admit, s))


def release(s: Services, ticket: Ticket) -> None:
    """A call is over: its place is free for the next."""
    s.process.admission.finish(ticket)
    admit(s)


def give_way(s: Services) -> bool:
    """Let calls that wait for a place to be sent from go first: what has ended can be written a little later. Returns
    whether that took time, of which GIVE_WAY_MAX_MS are the most."""
    line, began_ms = s.process.admission, s.clock.now_ms()
    while line.is_crowded(s.config.caps) and s.clock.now_ms() < began_ms + GIVE_WAY_MAX_MS:
        s.clock.sleep_until(s.clock.now_ms() + GIVE_WAY_STEP_MS)
    return s.clock.now_ms() > began_ms


def give_up(s: Services, calls: Iterable[TargetCall]) -> list[TargetCall]:
    """Those of ``calls`` that have waited in vain, taken out of their lines."""
    now_ms = s.clock.read().steady_ms
    given_up = []
    for call in calls:
        if call.comes_in_ms is None and call.waits and call.until_ms <= now_ms:
            comes_in_ms = s.process.admission.wait_ms(s.config.caps, call.ticket, now_ms)
            if s.process.admission.withdraw(call.ticket):
                call.comes_in_ms = comes_in_ms
        if call.comes_in_ms is not None:
            given_up.append(call)
    return given_up


def abandon(line: Admission, tickets: Iterable[Ticket]) -> None:
    """No thread will see these to their end: they take no turn, and their places are free."""
    for ticket in tickets:
        if not line.withdraw(ticket):
            line.finish(ticket)
