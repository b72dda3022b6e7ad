"""Admission: calls that are due begin in the order and within the limits that ``process.admission`` keeps.

A call that waits keeps the claims of its deliveries: their leases outlast what it may wait here twice over. One whose
turn does not come in that time, or is known to be further away, is given up, and its claims are handed back. So what
waits is either a ticket here or a record and a message like those of a retry. Should this process die, the queue brings
the ticket's message again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from chalicelib.engine.dispatch.call import TargetCall
from chalicelib.engine.dispatch.grouping import line_of, owner_by_owner
from chalicelib.engine.prepare import Ready
from chalicelib.ports.services import Services
from chalicelib.process.admission import Admission, Caps, Ticket
from chalicelib.process.limits import DISPATCH_GATE_MAX

NANOS_PER_MS = 1_000_000
GATE = Caps(sending=DISPATCH_GATE_MAX)


def steady_ms(s: Services) -> float:
    """Milliseconds of a clock that never steps."""
    return s.clock.read().monotonic_nanos / NANOS_PER_MS


def submit(s: Services, calls: Sequence[TargetCall]) -> None:
    """Put calls in line. Those whose turn has come are on their way on return, the others begin by themselves."""
    now_ms = steady_ms(s)
    for call in owner_by_owner(calls):
        call.comes_in_ms = s.process.admission.submit(s.config.caps, call.ticket, now_ms)
    admit(s)


def admit(s: Services) -> None:
    """Let those begin whose turn has come."""
    _admit(s, s.process.admission, s.config.caps)


def release(s: Services, ticket: Ticket) -> None:
    """A call is over: its place is free for the next."""
    s.process.admission.finish(ticket)
    admit(s)


def give_up(s: Services, calls: Iterable[TargetCall]) -> list[TargetCall]:
    """Those of ``calls`` that have waited in vain, taken out of their lines."""
    now_ms = steady_ms(s)
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


@contextmanager
def dispatch_gate(s: Services, group: Sequence[Ready]) -> Iterator[None]:
    """For what is done with firings right before they are sent: a few groups at once, owner by owner. Otherwise the
    many groups of a herd would all compete for the processor, and all would be late."""
    owner, _ = line_of(GATE, group)
    ticket = Ticket(owner, "", 0, group[0].claimed.due_ms, _nothing)
    opened = s.tasks.hold(_nothing)
    ticket.go = opened.go
    gate = s.process.dispatch_gate
    if gate.submit(GATE, ticket, steady_ms(s)) is None and not _admit(s, gate, GATE, ticket):
        opened.wait()
    try:
        yield
    finally:
        abandon(gate, [ticket])
        _admit(s, gate, GATE)


def _nothing() -> None:
    """To be waited for."""


def _admit(s: Services, line: Admission, caps: Caps, mine: Ticket | None = None) -> bool:
    """Whether the turn of ``mine`` has come, which is then the caller's to begin. Sets an alarm for
    the turn that time alone brings."""
    now_ms = steady_ms(s)
    admitted = line.admit(caps, now_ms)
    for ticket in admitted:
        if ticket is not mine:
            ticket.go()
    alarm_ms = line.take_alarm(now_ms)
    if alarm_ms is not None:
        s.tasks.at(s.clock.now_ms() + 1 + int(alarm_ms - now_ms), partial(_admit_again, s, line, caps))
    return mine in admitted


def _admit_again(s: Services, line: Admission, caps: Caps) -> None:
    _admit(s, line, caps)
