"""A process in memory: a clock that a test moves, tasks that run as it moves, ids that count up, a queue.

Single-threaded and deterministic: jobs run in order of their time, then of their starting, whenever a caller sleeps,
waits or moves the clock. For unit tests and examples; the simulation has its own, which runs jobs beside each other.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.adapters.machine.system import observe_text
from chalicelib.core import queue_messages, ulid
from chalicelib.core.limits import QUEUE_DELAY_MAX_S
from chalicelib.ports.clock import Reading
from chalicelib.ports.signals import Bell
from chalicelib.ports.tasks import Handle, Held
from chalicelib.ports.work_queue import Incoming, Outgoing

_NANOS_PER_MS = 1_000_000


class ManualClock:
    """A clock that stands still until a caller sleeps or moves it. ``tasks`` run when their times come."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._heap: list[_Job] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def sleep_until(self, unix_ms: int) -> None:
        """Let time pass until ``unix_ms``, running what is due on the way."""
        while self._heap and self._heap[0].due_ms <= max(unix_ms, self._now_ms):
            self._run_next()
        self._now_ms = max(self._now_ms, unix_ms)

    def advance(self, ms: int) -> None:
        """Let ``ms`` milliseconds pass."""
        self.sleep_until(self._now_ms + ms)

    def read(self) -> Reading:
        """Both clocks: here the same one."""
        return Reading(self._now_ms * _NANOS_PER_MS, self._now_ms * _NANOS_PER_MS)

    def _add(self, due_ms: int, run: Callable[[], None]) -> _Job:
        job = _Job(max(due_ms, self._now_ms), next(self._order), run, self)
        heapq.heappush(self._heap, job)
        return job

    def _run_next(self) -> None:
        job = heapq.heappop(self._heap)
        self._now_ms = max(self._now_ms, job.due_ms)
        job.execute()


@dataclass(order=True, slots=True)
class _Job:
    """A job waiting, running or done; the handle that callers wait on."""

    due_ms: int
    order: int
    run: Callable[[], None] = field(compare=False)
    clock: ManualClock = field(compare=False)
    done: bool = field(default=False, compare=False)
    error: Exception | None = field(default=None, compare=False)

    def execute(self) -> None:
        try:
            self.run()
        except Exception as error:
            self.error = error
        self.done = True

    def wait(self, until_ms: int | None = None) -> bool:
        """Let time pass until the job has ended, or until ``until_ms``. True when it has ended; re-raises its error."""
        clock = self.clock
        while not self.done:
            if not clock._heap:
                raise RuntimeError("waiting for a job that is waiting for this one")
            if until_ms is not None and clock._heap[0].due_ms > until_ms:
                clock.sleep_until(until_ms)
                return False
            clock._run_next()
        if self.error is not None:
            raise self.error
        return True


class ManualTasks:
    """``Tasks`` that run as a ManualClock moves."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when the clock reaches ``unix_ms``."""
        return self._clock._add(unix_ms, job)

    def after(self, ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when the clock was moved so far."""
        return self.at(self._clock.now_ms() + ms, job)

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` as soon as a caller waits or sleeps, after those started before it."""
        return self._clock._add(self._clock.now_ms(), job)

    def hold(self, job: Callable[[], None]) -> Held:
        """``job``, to be begun later."""
        return _ManualHeld(self._clock, job)


class _ManualHeld:
    """A job that has yet to begin."""

    def __init__(self, clock: ManualClock, job: Callable[[], None]) -> None:
        self._clock = clock
        self._job = job
        self._begun: _Job | None = None

    def go(self) -> None:
        """Begin as soon as a caller waits or sleeps."""
        self._begun = self._clock._add(self._clock.now_ms(), self._job)

    def wait(self, until_ms: int | None = None) -> bool:
        """Let time pass until the job has ended, or until ``until_ms``."""
        clock = self._clock
        while self._begun is None:
            if not clock._heap and until_ms is None:
                raise RuntimeError("waiting for a job that was never begun")
            if until_ms is not None and (not clock._heap or clock._heap[0].due_ms > until_ms):
                clock.sleep_until(until_ms)
                return False
            clock._run_next()
        return self._begun.wait(until_ms)


class _ManualBell:
    """A bell whose waiter lets time pass."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.rung = False

    def wait(self, until_ms: int) -> None:
        """Let time pass until rung, until ``until_ms``, or until some task has run (which may have moved the clock)."""
        clock = self._clock
        if not self.rung and clock._heap and clock._heap[0].due_ms <= until_ms:
            clock._run_next()
        elif not self.rung:
            clock.sleep_until(until_ms)
        self.rung = False

    def ring(self) -> None:
        """Wake its waiter."""
        self.rung = True


class RingableBell(Bell, Protocol):
    """A bell as signals of this process ring it."""

    def ring(self) -> None: ...


class ManualSignals:
    """``Signals`` whose waiters move a ManualClock; bells ring when a task of that clock rings them."""

    address = ""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._bells: dict[str, list[RingableBell]] = {}

    def new_bell(self) -> RingableBell:
        """A bell that nothing has rung yet."""
        return _ManualBell(self._clock)

    @contextmanager
    def bell(self, name: str) -> Iterator[RingableBell]:
        """Hang up a bell."""
        hung = self.new_bell()
        self._bells.setdefault(name, []).append(hung)
        try:
            yield hung
        finally:
            self._bells[name].remove(hung)

    def ring(self, name: str, at: str = "") -> None:
        """Wake the waiters."""
        for hung in self._bells.get(name, ()):
            hung.ring()

    def turn(self, name: str) -> AbstractContextManager[None]:
        """No other job runs meanwhile."""
        return nullcontext()


class CountingIds:
    """``Ids`` whose ULIDs count up from one."""

    def __init__(self, clock: ManualClock, max_drift_ms: int = 20) -> None:
        self._count = itertools.count(1)
        self._hlc = HlcClock(lambda: clock.read().wall_unix_nanos, max_drift_ms)

    def ulid(self, now_ms: int) -> str:
        """A ULID of this time and the next number."""
        return ulid.encode(now_ms, next(self._count))

    def secret_bits(self) -> int:
        """Bits that follow from the next number: the same in every run, and so no secret at all."""
        digest = hashlib.sha256(f"bits/{next(self._count)}".encode()).digest()
        return int.from_bytes(digest)

    def hlc(self) -> str:
        """A stamp above every one given out or seen."""
        return self._hlc.now().encode()

    def observe(self, stamp: str) -> None:
        """Merge a caller's stamp; raises InvalidField."""
        observe_text(self._hlc, stamp)


class DeadLetter(NamedTuple):
    """An execution that ran out of attempts."""

    execution_id: str
    event: str
    reason: str


@dataclass(slots=True)
class _Letter:
    body: str
    visible_ms: int
    receives: int = 0


class MemoryQueue:
    """``WorkQueue`` in memory, and the receiving side that AWS would have. ``dead`` holds the dead letters, ``poison``
    the bodies that were received ``max_receives`` times."""

    def __init__(self, now_ms: Callable[[], int], visibility_ms: int = 60_000, max_receives: int = 10) -> None:
        self._now_ms = now_ms
        self._visibility_ms = visibility_ms
        self._max_receives = max_receives
        self._letters: dict[str, _Letter] = {}
        self._count = itertools.count(1)
        self.dead: list[DeadLetter] = []
        self.poison: list[str] = []

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages."""
        for outgoing in messages:
            assert 0 <= outgoing.delay_s <= QUEUE_DELAY_MAX_S
            visible_ms = self._now_ms() + outgoing.delay_s * 1000
            self._letters[str(next(self._count))] = _Letter(queue_messages.encode(outgoing.message), visible_ms)

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        """Hide received messages for so long from now."""
        for handle in handles:
            receipt, _, receives = handle.rpartition("/")
            letter = self._letters.get(receipt)
            if letter is not None and str(letter.receives) == receives:
                letter.visible_ms = self._now_ms() + for_s * 1000

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """Keep a dead letter."""
        self.dead.append(DeadLetter(execution_id, event, reason))

    def receive(self, limit: int = 10) -> list[Incoming]:
        """At most ``limit`` visible messages; they are hidden for ``visibility_ms``, and come again unless deleted."""
        now_ms, found = self._now_ms(), list[Incoming]()
        for receipt, letter in list(self._letters.items()):
            if letter.visible_ms > now_ms or len(found) == limit:
                continue
            if letter.receives == self._max_receives:
                self.poison.append(self._letters.pop(receipt).body)
                continue
            letter.receives += 1
            letter.visible_ms = now_ms + self._visibility_ms
            handle = f"{receipt}/{letter.receives}"
            found.append(Incoming(receipt, letter.body, letter.receives, handle, self._visibility_ms // 1000))
        return found

    def delete(self, receipt: str) -> None:
        """Forget a message that was handled."""
        self._letters.pop(receipt, None)

    def next_visible_ms(self) -> int | None:
        """When the next message can be received; None when the queue is empty."""
        return min((letter.visible_ms for letter in self._letters.values()), default=None)
