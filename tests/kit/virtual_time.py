"""Virtual time in which everything runs beside everything else: greenlets of one thread, in order of their times."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from greenlet import getcurrent, greenlet

from chalicelib.adapters.memory.machine import CountingIds, ManualClock, ManualSignals
from chalicelib.ports.services import Machine


class _Wake:
    """A sleeper in the order of time; one that was woken otherwise is passed over."""

    __slots__ = ("sleeper",)

    def __init__(self, sleeper: greenlet | None) -> None:
        self.sleeper = sleeper


class VirtualTime(ManualClock):
    """A clock that moves to the next thing that is due, and the tasks that wait for it."""

    def __init__(self, now_ms: int) -> None:
        super().__init__(now_ms)
        self._hub = getcurrent()
        self._due: list[tuple[int, int, _Wake]] = []
        self._number = itertools.count()

    def next_due_ms(self) -> int | None:
        """When the next sleeper wakes; None when nobody sleeps."""
        while self._due and self._due[0][2].sleeper is None:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def sleep_until(self, unix_ms: int) -> None:
        if getcurrent() is self._hub:
            while (due_ms := self.next_due_ms()) is not None and due_ms <= unix_ms:
                self._run_next()
            self._now_ms = max(self._now_ms, unix_ms)
        elif unix_ms > self._now_ms:
            self._put(unix_ms, getcurrent())
            self._hub.switch()

    def let_others_run(self) -> None:
        """Go on after all that is due at this very millisecond."""
        if getcurrent() is not self._hub:
            self._put(self._now_ms, getcurrent())
            self._hub.switch()

    def wait_for(self, waiting: Waiting, until_ms: int | None) -> None:
        """Return when it is woken, or at ``until_ms``."""
        if getcurrent() is self._hub:
            self._run_until_woken(waiting, until_ms)
            return
        wakes = [_Wake(getcurrent())]
        waiting.wakes += wakes
        if until_ms is not None:
            wakes.append(self._put(until_ms, getcurrent()))
        self._hub.switch()
        for wake in wakes:
            wake.sleeper = None

    def _run_until_woken(self, waiting: Waiting, until_ms: int | None) -> None:
        while not waiting.woken:
            due_ms = self.next_due_ms()
            if due_ms is None and until_ms is None:
                raise RuntimeError("waiting for what nobody does")
            if due_ms is None or (until_ms is not None and due_ms > until_ms):
                assert until_ms is not None
                self.sleep_until(until_ms)
                return
            self._run_next()

    def wake(self, waiting: Waiting) -> None:
        """Let those who wait for it go on, now."""
        waiting.woken = True
        for wake in waiting.wakes:
            if wake.sleeper is not None:
                self._put(self._now_ms, wake.sleeper)
                wake.sleeper = None
        waiting.wakes.clear()

    def _put(self, due_ms: int, sleeper: greenlet) -> _Wake:
        wake = _Wake(sleeper)
        heapq.heappush(self._due, (due_ms, next(self._number), wake))
        return wake

    def _run_next(self) -> None:
        due_ms, _, wake = heapq.heappop(self._due)
        if wake.sleeper is not None:
            self._now_ms = max(self._now_ms, due_ms)
            wake.sleeper.switch()

    def after(self, ms: int, job: Callable[[], object]) -> Job:
        """Run ``job`` when so much time has passed."""
        return self.at(self.now_ms() + ms, job)

    def at(self, unix_ms: int, job: Callable[[], object]) -> Job:
        started = Job(self)
        self._put(max(unix_ms, self._now_ms), greenlet(lambda: started.run(job), parent=self._hub))
        return started

    def start(self, job: Callable[[], object]) -> Job:
        return self.at(self._now_ms, job)

    def hold(self, job: Callable[[], object]) -> HeldJob:
        return HeldJob(self, job)


class Waiting:
    """What is waited for."""

    def __init__(self) -> None:
        self.woken = False
        self.wakes: list[_Wake] = []


class Job(Waiting):
    """The handle of a task."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self._error: Exception | None = None

    def run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            self._error = error
        self._time.wake(self)

    def wait(self, until_ms: int | None = None) -> bool:
        self._time.let_others_run()
        if not self.woken and (until_ms is None or self._time.now_ms() < until_ms):
            self._time.wait_for(self, until_ms)
        if self._error is not None:
            raise self._error
        return self.woken


class HeldJob(Job):
    """The handle of a task that has yet to begin."""

    def __init__(self, time: VirtualTime, job: Callable[[], object]) -> None:
        super().__init__(time)
        self._job = job

    def go(self) -> None:
        self._time.start(lambda: self.run(self._job))


class _Bell(Waiting):
    """A bell whose waiter lets others run."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, until_ms: int) -> None:
        if not self.woken and self._time.now_ms() < until_ms:
            self._time.wait_for(self, until_ms)
        self.woken = False

    def ring(self) -> None:
        """Wake its waiter."""
        self._time.wake(self)


class VirtualSignals(ManualSignals):
    """``Signals`` of one process in virtual time: its waiters let others run."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(time)
        self._time = time

    def new_bell(self) -> _Bell:
        """A bell of this time."""
        return _Bell(self._time)


def virtual_machine(time: VirtualTime) -> Machine:
    """A machine on which jobs run beside each other."""
    return Machine(time, CountingIds(time), tasks=time, signals=VirtualSignals(time))
