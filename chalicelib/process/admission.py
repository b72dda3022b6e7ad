"""Who is sent and who waits: the order in which one process sends what is due, within its limits.

Deliveries that are due wait in lines, one for each owner, and in each line by their destination; there the oldest
instant comes first. Owners take turns (round robin: Nagle, RFC 970), so what one of them has waiting costs another one
turn, however much it is. Four limits can hold a delivery back. Two bound how many of an owner or to a destination are
under way at once. Two bound how many of them begin in a second (GCRA, ITU-T I.371: a bucket of a tenth of a second).
Two bounds hold for all. An owner never takes the last place of the process (dynamic thresholds: Choudhury and Hahne,
IEEE/ACM Transactions on Networking 6, 1998). And only so many may be busy sending at the same moment, since these
compete for one processor. Those that only await their answers do not.

All of it is in the memory of one process. Times are milliseconds of a clock that never steps.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from msgspec import Struct

from chalicelib.process.limits import CALLS_MAX, HOLD_MAX_MS, SENDING_MAX, SENDING_MS

BURST_S: Final = 0.1  # so many seconds' worth of a rate may begin at once
_PACE_COUNT: Final = 100  # starts from which the pace of a line is known; older ones count less and less
_PACE_MIN_COUNT: Final = 20  # fewer of them, or within less than a second, give no pace
_PACE_MIN_MS: Final = 1000
_RATES_MAX: Final = 4096  # owners and destinations whose rates are remembered before the idle ones are dropped


class Caps(Struct, frozen=True):
    """What a process may do at once; None: no limit. ``*_in_flight`` are deliveries under way, ``*_rate`` are
    beginnings in a second. ``calls`` and ``sending`` bound all owners together."""

    owner_in_flight: int | None = None
    target_in_flight: int | None = None
    owner_rate: int | None = None
    target_rate: int | None = None
    calls: int = CALLS_MAX
    sending: int = SENDING_MAX

    @property
    def limited(self) -> bool:
        """Whether any owner or destination has a limit."""
        return self.by_owner or self.by_target

    @property
    def by_owner(self) -> bool:
        return self.owner_in_flight is not None or self.owner_rate is not None

    @property
    def by_target(self) -> bool:
        return self.target_in_flight is not None or self.target_rate is not None

    def most_in_a_call(self, most: int) -> int:
        """How many deliveries one call may carry: no more than may be under way, or begin, at once."""
        counts = [n for n in (self.owner_in_flight, self.target_in_flight) if n is not None]
        bursts = [burst_of(rate) for rate in (self.owner_rate, self.target_rate) if rate is not None]
        return min([most, *counts, *bursts])


def burst_of(rate: int) -> int:
    """How many may begin at once under ``rate`` a second."""
    return max(1, int(rate * BURST_S))


class Ticket(Struct, eq=False):
    """One call to a target that waits for its turn: ``count`` deliveries, the oldest of them due at ``due_ms`` (unix).
    ``go`` is called, from any thread, when the turn has come."""

    owner: str
    target: str
    count: int
    due_ms: int
    go: Callable[[], None]
    order: int = 0
    submitted_ms: float = 0.0
    started_ms: float | None = None
    finished: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        return self.due_ms, self.order

    @property
    def waited_ms(self) -> float:
        """How long it waited for its turn; 0 while it waits."""
        return 0.0 if self.started_ms is None else self.started_ms - self.submitted_ms


class _Queue(Struct, eq=False):
    """Tickets of one owner for one destination, the oldest last; and how many started in how long."""

    since_ms: float
    waiting: list[tuple[int, int, Ticket]]
    starts: float = 0.0
    span_ms: float = 0.0

    def started(self, now_ms: float) -> None:
        self.starts, self.span_ms, self.since_ms = self.starts + 1, self.span_ms + now_ms - self.since_ms, now_ms
        if self.starts >= _PACE_COUNT:
            self.starts, self.span_ms = self.starts / 2, self.span_ms / 2

    @property
    def pace_ms(self) -> float:
        """Milliseconds from one start to the next; 0 while too little is known."""
        known = self.starts >= _PACE_MIN_COUNT and self.span_ms >= _PACE_MIN_MS
        return self.span_ms / self.starts if known else 0.0


_Line = OrderedDict[str, _Queue]  # an owner's, by destination


class _Use(Struct, eq=False):
    """What an owner or a destination has under way."""

    calls: int = 0
    in_flight: int = 0


class Admission:
    """The lines and what is under way. Safe to share between threads; ``go`` is left to the caller."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._owners: dict[str, _Use] = {}
        self._targets: dict[str, _Use] = {}
        self._sending: dict[Ticket, float] = {}
        self._free_at_ms: dict[tuple[str, str], float] = {}  # GCRA's theoretical arrival times, by kind and name
        self._calls = 0
        self._count = 0
        self._wanted_ms: float | None = None
        self._alarm_ms: float | None = None

    def submit(self, caps: Caps, ticket: Ticket, now_ms: float) -> int | None:
        """Let a ticket wait. None, or the milliseconds to come again after when its turn is more than HOLD_MAX_MS away;
        then it does not wait."""
        with self._lock:
            line: _Line = self._lines.setdefault(ticket.owner, OrderedDict())
            queue = line.get(ticket.target)
            if queue is None:
                queue = line[ticket.target] = _Queue(now_ms, [])
            self._count += 1
            ticket.order, ticket.submitted_ms = self._count, now_ms
            wait_ms = _wait_ms(caps, queue, ticket, len(queue.waiting))
            if wait_ms > HOLD_MAX_MS:  # few see this; only then is the place in the line worth finding out
                wait_ms = _wait_ms(caps, queue, ticket, _ahead(queue, ticket))
            if wait_ms > HOLD_MAX_MS:
                return int(wait_ms)
            insort(queue.waiting, _entry(ticket))
            return None

    def admit(self, caps: Caps, now_ms: float) -> list[Ticket]:
        """Those whose turn has come; they count as under way until they ``finish``."""
        if not self._lines:  # without the lock: who lets a ticket wait calls this after it
            return []
        with self._lock:
            started = []
            while (ticket := self._next(caps, now_ms)) is not None:
                self._start(caps, ticket, now_ms)
                started.append(ticket)
            return started

    def sent(self, ticket: Ticket) -> None:
        """It only awaits its answer now."""
        with self._lock:
            self._sending.pop(ticket, None)

    def finish(self, ticket: Ticket) -> None:
        """It is over; said twice, it counts once."""
        with self._lock:
            if ticket.started_ms is None or ticket.finished:
                return
            ticket.finished = True
            self._sending.pop(ticket, None)
            self._calls -= 1
            _give(self._owners, ticket.owner, ticket.count)
            _give(self._targets, ticket.target, ticket.count)

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a ticket out of its line; False when it has started (or never waited)."""
        with self._lock:
            queue = self._find(ticket)
            place = None if queue is None else _place(queue, ticket)
            if queue is None or place is None:
                return False
            del queue.waiting[place]
            self._tidy(ticket.owner, ticket.target)
            return True

    def restore(self, ticket: Ticket) -> None:
        """Put a ticket that was withdrawn back to its place in the line."""
        with self._lock:
            line: _Line = self._lines.setdefault(ticket.owner, OrderedDict())
            queue = line.get(ticket.target)
            if queue is None:
                queue = line[ticket.target] = _Queue(ticket.submitted_ms, [])
            insort(queue.waiting, _entry(ticket))

    def wait_ms(self, caps: Caps, ticket: Ticket, now_ms: float) -> int:
        """About how long a ticket that has waited in vain has still to wait. It follows from its place in the line, the
        pace of the line, and how long nothing has started at all."""
        with self._lock:
            queue = self._find(ticket)
            if queue is None:
                return 0
            ahead = _ahead(queue, ticket)
            return int(max(_wait_ms(caps, queue, ticket, ahead), ahead * (now_ms - queue.since_ms)))

    def take_alarm(self, now_ms: float) -> float | None:
        """When ``admit`` has to be called although nothing was sent or has ended. None when it has not, or when an
        alarm is set for it already."""
        if self._wanted_ms is None:  # without the lock: who wants one calls this after it
            return None
        with self._lock:
            wanted, self._wanted_ms = self._wanted_ms, None
            if wanted is None or (self._alarm_ms is not None and now_ms < self._alarm_ms <= wanted):
                return None
            self._alarm_ms = wanted
            return wanted

    def is_crowded(self, caps: Caps) -> bool:
        """Whether something waits only because so many are being sent."""
        with self._lock:
            return bool(self._lines) and len(self._sending) >= caps.sending

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        with self._lock:
            return sum(len(queue.waiting) for line in self._lines.values() for queue in line.values())

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        with self._lock:
            return self._calls

    # -- under the lock

    def _find(self, ticket: Ticket) -> _Queue | None:
        line = self._lines.get(ticket.owner)
        return None if line is None else line.get(ticket.target)

    def _next(self, caps: Caps, now_ms: float) -> Ticket | None:
        """The next ticket, taken out of its line; None when there is none or all are held back."""
        if not self._lines or not self._is_room(caps, now_ms):
            return None
        for owner, line in self._lines.items():
            if not self._owner_may(caps, owner, now_ms):
                continue
            for target, queue in line.items():
                ticket = queue.waiting[-1][2]
                if self._may(caps, ticket, now_ms):
                    queue.waiting.pop()
                    queue.started(now_ms)
                    line.move_to_end(target)
                    self._lines.move_to_end(owner)
                    self._tidy(owner, target)
                    return ticket
        return None

    def _is_room(self, caps: Caps, now_ms: float) -> bool:
        if self._calls >= caps.calls:
            return False
        while len(self._sending) >= caps.sending:
            longest, since_ms = next(iter(self._sending.items()))
            if now_ms - since_ms < SENDING_MS:
                self._alarm(since_ms + SENDING_MS)
                return False
            del self._sending[longest]  # it waits for the network, and takes no processor time
        return True

    def _owner_may(self, caps: Caps, owner: str, now_ms: float) -> bool:
        use = self._owners.get(owner)
        if use is not None and use.calls and use.calls >= caps.calls - self._calls:
            return False  # what it leaves free is as much as it has: others find places
        if use is not None and caps.owner_in_flight is not None and use.in_flight >= caps.owner_in_flight:
            return False
        return self._rate_allows("owner", owner, caps.owner_rate, now_ms)

    def _may(self, caps: Caps, ticket: Ticket, now_ms: float) -> bool:
        return (
            _fits(self._owners.get(ticket.owner), ticket.count, caps.owner_in_flight)
            and _fits(self._targets.get(ticket.target), ticket.count, caps.target_in_flight)
            and self._rate_allows("target", ticket.target, caps.target_rate, now_ms)
        )

    def _rate_allows(self, kind: str, name: str, rate: int | None, now_ms: float) -> bool:
        if rate is None:
            return True
        allowed_ms = self._free_at_ms.get((kind, name), 0.0) - (burst_of(rate) - 1) * 1000 / rate
        if allowed_ms <= now_ms:
            return True
        self._alarm(allowed_ms)
        return False

    def _alarm(self, at_ms: float) -> None:
        self._wanted_ms = at_ms if self._wanted_ms is None else min(self._wanted_ms, at_ms)

    def _start(self, caps: Caps, ticket: Ticket, now_ms: float) -> None:
        ticket.started_ms = now_ms
        self._calls += 1
        self._sending[ticket] = now_ms
        _take(self._owners, ticket.owner, ticket.count)
        _take(self._targets, ticket.target, ticket.count)
        self._charge("owner", ticket.owner, caps.owner_rate, ticket.count, now_ms)
        self._charge("target", ticket.target, caps.target_rate, ticket.count, now_ms)

    def _charge(self, kind: str, name: str, rate: int | None, count: int, now_ms: float) -> None:
        if rate is None:
            return
        self._free_at_ms[kind, name] = max(self._free_at_ms.get((kind, name), 0.0), now_ms) + count * 1000 / rate
        if len(self._free_at_ms) > _RATES_MAX:
            self._free_at_ms = {key: at_ms for key, at_ms in self._free_at_ms.items() if at_ms > now_ms}

    def _tidy(self, owner: str, target: str) -> None:
        line = self._lines[owner]
        if not line[target].waiting:
            del line[target]
        if not line:
            del self._lines[owner]


def _wait_ms(caps: Caps, queue: _Queue, ticket: Ticket, ahead: int) -> float:
    rates = [rate for rate in (caps.owner_rate, caps.target_rate) if rate is not None]
    return ahead * max([queue.pace_ms, *(ticket.count * 1000 / rate for rate in rates)])


def _entry(ticket: Ticket) -> tuple[int, int, Ticket]:
    """How a ticket lies in its queue: sorted with the oldest last, where it is cheap to take."""
    due_ms, order = ticket.rank
    return -due_ms, -order, ticket


def _place(queue: _Queue, ticket: Ticket) -> int | None:
    place = bisect_left(queue.waiting, _entry(ticket)[:2], key=lambda entry: entry[:2])
    return place if place < len(queue.waiting) and queue.waiting[place][2] is ticket else None


def _ahead(queue: _Queue, ticket: Ticket) -> int:
    """How many come before it."""
    behind = bisect_left(queue.waiting, _entry(ticket)[:2], key=lambda entry: entry[:2])
    return len(queue.waiting) - behind - (_place(queue, ticket) is not None)


def _fits(use: _Use | None, count: int, most: int | None) -> bool:
    return most is None or use is None or use.in_flight == 0 or use.in_flight + count <= most


def _take(uses: dict[str, _Use], name: str, count: int) -> None:
    use = uses.setdefault(name, _Use())
    use.calls += 1
    use.in_flight += count


def _give(uses: dict[str, _Use], name: str, count: int) -> None:
    use = uses[name]
    use.calls -= 1
    use.in_flight -= count
    if use.calls == 0:
        del uses[name]
