"""Departures: deliveries that are due leave in the order and within the limits that ``process.admission`` keeps.

A delivery that waits keeps its claim: its attempt's lease outlasts what it may wait here twice over. One whose turn
does not come in that time, or is known to be further away, is handed back: its next attempt is queued for later, then
the record says so, and no attempt was counted. So whatever waits is either a ticket here, whose message the queue
brings again should this process die, or a record and a message like those of a retry.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.core.queue_messages import Run
from chalicelib.core.targets.cloudevent import Template
from chalicelib.core.targets.registry import destination_of
from chalicelib.engine.claim import Claimed
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import update_surely
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome, Target
from chalicelib.ports.tasks import Held
from chalicelib.process.admission import Admission, Caps, Ticket
from chalicelib.process.limits import HOLD_LOOK_MS, HOLD_MAX_MS, PASSING_MAX, POSTPONE_MAX_MS, POSTPONE_MIN_MS

log = logging.getLogger(__name__)

NANOS_PER_MS = 1_000_000
PASSING = Caps(sending=PASSING_MAX)


class Ready(Struct):
    """A claimed firing with everything prepared that can be before its instant."""

    claimed: Claimed
    delivery: Delivery
    template: Template

    @property
    def target_type(self) -> str:
        return str(self.claimed.definition.target["type"])


Look = Callable[[Sequence[Ready]], list[Ready]]  # those that still stand; the others are ended (see fire.standing)


class Flight(Struct, eq=False):
    """One delivery: when its dispatch began and ended, and how. ``fenced``: the attempt is not ours to end any more.
    ``kept``: it was not sent, and is to be handed back; ``dropped``: it was not sent, and was ended."""

    ready: Ready
    started_ms: int | None = None
    ended_ms: int = 0
    outcome: Outcome | None = None
    marked: bool = False
    fenced: bool = False
    kept: bool = False
    dropped: bool = False
    looks: int = 0

    @property
    def execution(self) -> Execution:
        return self.ready.claimed.execution


class Call(Struct, eq=False):
    """One call to a target: the flights it carries, its place in the line, and the job that makes it."""

    flights: list[Flight]
    ticket: Ticket
    held: Held
    until_ms: float  # how long it may wait, by the clock that never steps
    comes_in_ms: int | None = None  # it did not even begin to wait: its turn is so far away

    @property
    def waits(self) -> bool:
        return self.ticket.started_ms is None

    @property
    def was_held(self) -> bool:
        """Whether it waited so long that what was known of it may be old."""
        return self.ticket.waited_ms >= _look_again_ms(self.flights)


def depart(s: Services, target: Target, several: Sequence[Ready], look: Look) -> list[Call]:
    """Let firings of one kind of target queue up; those whose turn has come are on their way on return."""
    now_ms = steady_ms(s)
    calls = [_call(s, target, group, now_ms, look) for group in _groups(s.config.caps, target, several)]
    for call in _by_turns(calls):
        call.comes_in_ms = s.process.admission.enter(s.config.caps, call.ticket, now_ms)
    admit(s)
    return calls


@contextmanager
def passing(s: Services, group: Sequence[Ready]) -> Iterator[None]:
    """For what is done with firings right before they depart: a few groups at once, owner by owner. Otherwise the many
    groups of a herd would all compete for the processor, and everybody's would be late."""
    owner, _ = _names(PASSING, group)
    ticket = Ticket(owner, "", 0, group[0].claimed.due_ms, _nowhere)
    held = s.tasks.hold(_nothing)
    ticket.go = held.go
    if s.process.dispatch_gate.enter(PASSING, ticket, steady_ms(s)) is None and not _admit(
        s, s.process.dispatch_gate, PASSING, ticket
    ):
        held.wait()
    try:
        yield
    finally:
        forsake(s.process.dispatch_gate, [ticket])
        _admit(s, s.process.dispatch_gate, PASSING)


def _nothing() -> None:
    """To be waited for."""


def admit(s: Services) -> None:
    """Let those begin whose turn has come, and see to it that somebody looks again when time alone brings a turn."""
    _admit(s, s.process.admission, s.config.caps)


def _admit(s: Services, line: Admission, caps: Caps, mine: Ticket | None = None) -> bool:
    """Whether the turn of ``mine`` has come, which is then the caller's to begin."""
    now_ms = steady_ms(s)
    admitted = line.admit(caps, now_ms)
    for ticket in admitted:
        if ticket is not mine:
            ticket.go()
    alarm_ms = line.take_alarm(now_ms)
    if alarm_ms is not None:
        s.tasks.at(s.clock.now_ms() + 1 + int(alarm_ms - now_ms), partial(_look_again, s, line, caps))
    return mine in admitted


def _look_again(s: Services, line: Admission, caps: Caps) -> None:
    _admit(s, line, caps)


def steady_ms(s: Services) -> float:
    """Milliseconds of a clock that never steps."""
    return s.clock.read().monotonic_nanos / NANOS_PER_MS


def give_up_waiting(s: Services, calls: Iterable[Call]) -> list[Call]:
    """Those of ``calls`` that have waited in vain, taken out of their lines and handed back."""
    now_ms = steady_ms(s)
    given_up = []
    for call in calls:
        if call.comes_in_ms is None and call.waits and call.until_ms <= now_ms:
            comes_in_ms = s.process.admission.wait_ms(s.config.caps, call.ticket, now_ms)
            if s.process.admission.withdraw(call.ticket):
                call.comes_in_ms = comes_in_ms
        if call.comes_in_ms is not None:
            given_up.append(call)
    hand_back(s, [(flight, call.comes_in_ms or 0) for call in given_up for flight in call.flights])
    return given_up


def hand_back(s: Services, flights: Sequence[tuple[Flight, int]]) -> None:
    """Give the claims of flights that were not sent back to the queue, each to come again in its milliseconds: queued
    first, written second."""
    if not flights:
        return
    try:
        _hand_back(s, flights)
    except Unavailable as problem:  # their claims run out, and reconcile finds them
        log.warning("could not hand back %d firings that wait: %s", len(flights), problem)


def _hand_back(s: Services, flights: Sequence[tuple[Flight, int]]) -> None:
    now_ms = s.clock.now_ms()
    writes = []
    for flight, comes_in_ms in flights:
        at_ms = now_ms + min(max(comes_in_ms, POSTPONE_MIN_MS), POSTPONE_MAX_MS)
        back = journal.hand_back(flight.execution, at_ms, waits=False)
        writes.append((replace(back, hlc=s.ids.hlc()), flight.execution.rev))
    # A number above the claimed attempt's makes whoever gets the message too early wait for the write that follows.
    enqueue(s, [Run(e.key, e.attempt + 2, e.due_ms) for e, _ in writes])
    answers = update_surely(s, writes)
    for (flight, _), won in zip(flights, answers, strict=True):
        if not won:
            _follow_the_end(s, flight)
    first = flights[0][0].ready.claimed.definition
    log.info("%d firings wait for their turn in the queue, such as of %s", len(flights), first.owner)


def _follow_the_end(s: Services, flight: Flight) -> None:
    """Somebody was faster: a caller cancelled it while it waited."""
    found = s.stores.executions.get([flight.execution.key]).get(flight.execution.key)
    if found is not None:
        follow(s, found, flight.ready.claimed.definition, just_now=False)


def forsake(line: Admission, tickets: Iterable[Ticket]) -> None:
    """Nobody will see these to their end: they take nobody's turn, and their places are free."""
    for ticket in tickets:
        if not line.withdraw(ticket):
            line.land(ticket)


# -- one call


def _call(s: Services, target: Target, group: Sequence[Ready], now_ms: float, look: Look) -> Call:
    flights = [Flight(ready) for ready in group]
    owner, place = _names(s.config.caps, group)
    ticket = Ticket(owner, place, len(group), min(r.claimed.due_ms for r in group), _nowhere)
    held = s.tasks.hold(partial(_fly, s, target, flights, ticket, look))
    ticket.go = held.go
    return Call(flights, ticket, held, now_ms + _patience_ms(s, group))


def _nowhere() -> None:
    raise AssertionError("a ticket without a call")


def _patience_ms(s: Services, group: Sequence[Ready]) -> int:
    """How long these may wait: while the leases of their claims have more than as long again to run."""
    leased_until_ms = min(r.claimed.execution.lease_until_ms or 0 for r in group)
    return max(0, min(HOLD_MAX_MS, leased_until_ms - s.clock.now_ms() - HOLD_MAX_MS))


def _fly(s: Services, target: Target, flights: Sequence[Flight], ticket: Ticket, look: Look) -> None:
    """Make the call: on a thread of its own, when its turn has come."""
    try:
        was_held = ticket.waited_ms >= _look_again_ms(flights)
        flying = _still_standing(flights, look) if was_held else list(flights)
        if flying:
            _dispatch(s, target, flying, ticket)
    finally:
        s.process.admission.land(ticket)
        admit(s)


def _look_again_ms(flights: Sequence[Flight]) -> int:
    """After which wait to look again. What must not overlap may be replaced at any time."""
    overlaps = all(flight.ready.claimed.definition.overlap == "allow" for flight in flights)
    return HOLD_LOOK_MS if overlaps else RUNNING_MARK_MS


def _dispatch(s: Services, target: Target, flying: Sequence[Flight], ticket: Ticket) -> None:
    started_ms = s.clock.now_ms()
    for flight in flying:
        flight.started_ms = started_ms
    sent = partial(_sent, s, ticket)
    outcomes = target.dispatch([_rendered(s, flight.ready, sent) for flight in flying])
    ended_ms = s.clock.now_ms()
    for flight, outcome in zip(flying, outcomes, strict=True):
        flight.ended_ms = ended_ms
        flight.outcome = outcome


def _sent(s: Services, ticket: Ticket) -> None:
    s.process.admission.sent(ticket)
    admit(s)


def _rendered(s: Services, ready: Ready, sent: Callable[[], None]) -> Delivery:
    return replace(ready.delivery, event=ready.template.render(s.ids.hlc()), sent=sent)


def _still_standing(flights: Sequence[Flight], look: Look) -> list[Flight]:
    """After a long wait: those that nobody has cancelled, deleted or changed meanwhile. When that cannot be found out
    they are kept, to be handed back."""
    try:
        standing: dict[ExecutionKey, Ready] = {r.claimed.execution.key: r for r in look([f.ready for f in flights])}
    except Unavailable as problem:
        log.warning("could not look at firings that have waited: %s", problem)
        for flight in flights:
            flight.kept = True
        return []
    for flight in flights:
        found = standing.get(flight.execution.key)
        flight.dropped = found is None
        flight.ready = found or flight.ready
    return [flight for flight in flights if not flight.dropped]


# -- what travels together


def _by_turns(calls: Sequence[Call]) -> list[Call]:
    """The first call of each owner, then the second of each, and so on."""
    seen: dict[str, int] = defaultdict(int)
    places = []
    for call in calls:
        places.append(seen[call.ticket.owner])
        seen[call.ticket.owner] += 1
    return list(calls) if len(seen) == 1 else [c for _, c in sorted(zip(places, calls, strict=True), key=_first)]


def _first(pair: tuple[int, Call]) -> int:
    return pair[0]


def _names(caps: Caps, group: Sequence[Ready]) -> tuple[str, str]:
    """Whose line a call waits in, and for which destination; firings of several owners wait in a line of their own."""
    owners = {_owner(r) for r in group}
    owner = owners.pop() if len(owners) == 1 else ""
    return owner, destination_of(group[0].claimed.definition.target) if caps.by_target else ""


def _owner(ready: Ready) -> str:
    """An owner as lines and limits know it: the same name in two tenants is two owners."""
    definition = ready.claimed.definition
    return f"{definition.tenant}/{definition.owner}"


def _groups(caps: Caps, target: Target, several: Sequence[Ready]) -> list[Sequence[Ready]]:
    """Firings by the call that carries them. Where there are limits, a call is of one owner and one destination.
    Otherwise calls are full, and of one owner as far as that costs no further call."""
    if target.max_batch == 1:
        return [[ready] for ready in several]
    by_name: dict[tuple[str, str], list[Ready]] = defaultdict(list)
    for ready in several:
        by_name[_names(caps, [ready])].append(ready)
    if len(by_name) == 1 or caps.limited:
        most = caps.most_in_a_call(target.max_batch)
        return [group for same in by_name.values() for group in chunks(same, most)]
    groups, rest = list[Sequence[Ready]](), list[Ready]()
    for same in by_name.values():
        full = len(same) - len(same) % target.max_batch
        groups += chunks(same[:full], target.max_batch)
        rest += same[full:]
    return [*groups, *chunks(rest, target.max_batch)]
