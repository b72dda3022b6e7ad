"""Time that passes when a caller waits for it: an hourly schedule's day is over in seconds."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.core import queue_messages
from chalicelib.ports.clock import Reading
from chalicelib.ports.tasks import Handle, Held
from chalicelib.ports.work_queue import Incoming, Outgoing, WorkQueue


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, unix_ms: int) -> None:
        self._now_ms = unix_ms

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def sleep_until(self, unix_ms: int) -> None:
        """Be there at once; never goes back."""
        self._now_ms = max(self._now_ms, unix_ms)

    def read(self) -> Reading:
        """Both clocks, in step."""
        return Reading(self._now_ms * 1_000_000, self._now_ms * 1_000_000)


class _Job:
    def __init__(self, clock: VirtualClock, due_ms: int, run: Callable[[], None]) -> None:
        self._clock = clock
        self._due_ms = due_ms
        self._run: Callable[[], None] | None = run

    def wait(self, until_ms: int | None = None) -> bool:
        """Move the clock to when the job is due and run it, in the caller's thread."""
        if self._run is None:
            return True
        if until_ms is not None and until_ms < self._due_ms:
            self._clock.sleep_until(until_ms)
            return False
        self._clock.sleep_until(self._due_ms)
        run, self._run = self._run, None
        run()
        return True


class _HeldJob:
    """A job that is over as soon as it begins."""

    def __init__(self, clock: VirtualClock, job: Callable[[], None]) -> None:
        self._clock = clock
        self._job = job
        self._begun: _Job | None = None

    def go(self) -> None:
        """Run it now."""
        self._begun = _Job(self._clock, self._clock.now_ms(), self._job)
        self._begun.wait()

    def wait(self, until_ms: int | None = None) -> bool:
        """Whether it has begun, and so is over; the clock moves to ``until_ms`` if not."""
        if self._begun is not None:
            return self._begun.wait(until_ms)
        if until_ms is not None:
            self._clock.sleep_until(until_ms)
        return False


class VirtualTasks:
    """One job after the other, each when a caller waits for it; jobs begun at once are over at once."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """The job runs when it is waited for."""
        return _Job(self._clock, unix_ms, job)

    def start(self, job: Callable[[], None]) -> Handle:
        """The job runs now."""
        handle = _Job(self._clock, self._clock.now_ms(), job)
        handle.wait()
        return handle

    def hold(self, job: Callable[[], None]) -> Held:
        """The job runs when ``go`` is called."""
        return _HeldJob(self._clock, job)


@dataclass(frozen=True, slots=True, order=True)
class _Held:
    visible_ms: int
    number: int
    body: str


class VirtualQueue:
    """Passes sends on to the real queue, whose calls are counted, and delivers a copy in virtual time."""

    def __init__(self, real: WorkQueue, clock: VirtualClock) -> None:
        self._real = real
        self._clock = clock
        self._held: list[_Held] = []
        self._numbers = itertools.count()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """As the port says."""
        self._real.send(messages)
        for outgoing in messages:
            self._hold(outgoing.delay_s * 1000, queue_messages.encode(outgoing.message))

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """As the port says."""
        self._real.send_dead(execution_id, event, reason)

    def _hold(self, delay_ms: int, body: str) -> None:
        heapq.heappush(self._held, _Held(self._clock.now_ms() + delay_ms, next(self._numbers), body))

    def next_visible_ms(self) -> int | None:
        """When the next message can be received; None when there is none."""
        return self._held[0].visible_ms if self._held else None

    def receive(self, most: int) -> list[Incoming]:
        """What is visible now."""
        found: list[Incoming] = []
        while self._held and len(found) < most and self._held[0].visible_ms <= self._clock.now_ms():
            held = heapq.heappop(self._held)
            found.append(Incoming(str(held.number), held.body, 1))
        return found

    def give_back(self, incoming: Incoming, after_ms: int) -> None:
        """A message that was not answered is visible again after a while."""
        self._hold(after_ms, incoming.body)
