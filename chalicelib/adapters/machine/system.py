"""This machine's clock, randomness and threads: the only module that reads them."""

from __future__ import annotations

import _thread
import heapq
import itertools
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.core import ulid
from chalicelib.core.clock.hlc import HEADER, BeyondRange, parse
from chalicelib.core.errors import InvalidField
from chalicelib.ports.clock import Reading
from chalicelib.ports.tasks import Handle, Held

_NANOS_PER_MS = 1_000_000
# A sleeper reads the wall clock at least this often, so that a stepped clock wakes it soon.
_RECHECK_S = 0.5
# A job is handed to its thread this long before it is due, and the thread sleeps the rest: the handing over, which
# takes a tenth of a millisecond and more under load, then costs no lateness.
_HAND_OVER_MS = 2
_THREADS_MAX = 1024
_IDLE_S = 30.0


def pause(ms: float) -> None:
    """Sleep about ``ms`` milliseconds: half of it certain, half random, so that clients do not come back in step."""
    time.sleep((0.5 + random.random() / 2) * ms / 1000)  # noqa: S311 - spreads load, guards nothing


def token() -> str:
    """32 random hexadecimal digits."""
    return os.urandom(16).hex()


def random_bytes(count: int) -> bytes:
    """Random bytes for keys and secrets."""
    return os.urandom(count)


def observe_text(clock: HlcClock, stamp: str) -> None:
    """Merge a caller's stamp into ``clock``.

    Raises InvalidField when it is no stamp, or with ``clock_skew`` when it is too far ahead.
    """
    try:
        remote = parse(stamp)
    except BeyondRange as problem:
        raise InvalidField.of(HEADER, str(problem), code="clock_skew") from None
    except ValueError as problem:
        raise InvalidField.of(HEADER, str(problem)) from None
    clock.observe(remote)


class SystemClock:
    """The wall clock in milliseconds."""

    def now_ms(self) -> int:
        """Unix milliseconds, rounded down."""
        return time.time_ns() // _NANOS_PER_MS

    def sleep_until(self, unix_ms: int) -> None:
        """Return as soon as ``now_ms() >= unix_ms``, and never before; follows a clock that is stepped meanwhile."""
        due = unix_ms * _NANOS_PER_MS
        while (left := due - time.time_ns()) > 0:
            time.sleep(min(left / 1e9, _RECHECK_S))

    def read(self) -> Reading:
        """The wall and the monotonic clock, one right after the other."""
        return Reading(time.time_ns(), time.monotonic_ns())


class SystemIds:
    """ULIDs from the system's randomness and stamps from one hybrid logical clock; safe to share between threads."""

    def __init__(self, hlc: HlcClock) -> None:
        self._hlc = hlc
        self._lock = threading.Lock()
        self._last_ms = 0
        self._last_random = 0

    def ulid(self, now_ms: int) -> str:
        """A new ULID (github.com/ulid/spec, monotonic): never equal to or smaller than one given before, also when
        ``now_ms`` went backward."""
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # The top bit is left free, so that counting up within the millisecond does not overflow.
                self._last_random = int.from_bytes(os.urandom(ulid.RANDOM_BITS // 8)) >> 1
            else:
                self._last_random += 1
            return ulid.encode(self._last_ms, self._last_random)

    def secret_bits(self) -> int:
        """256 bits of the system's randomness."""
        return int.from_bytes(os.urandom(32))

    def hlc(self) -> str:
        """A stamp above every one this process gave out or saw."""
        return self._hlc.now().encode()

    def observe(self, stamp: str) -> None:
        """Merge a caller's stamp. Raises InvalidField when it is none, or ``clock_skew`` when too far ahead."""
        observe_text(self._hlc, stamp)


def _nothing() -> None:
    """What is left of a job that was begun."""


class _Job:
    """A job under way: the handle that callers wait on."""

    __slots__ = ("_clock", "_done", "_error", "_run")

    def __init__(self, clock: SystemClock, run: Callable[[], None]) -> None:
        self._clock = clock
        self._run = run
        self._done = threading.Event()
        self._error: BaseException | None = None

    def execute(self) -> None:
        """Run it and keep what it raised for the waiter. What it ran is let go: often that holds this handle, and a
        ring waits for a collection of all garbage."""
        run, self._run = self._run, _nothing
        try:
            run()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, until_ms: int | None = None) -> bool:
        """Wait for its end, or until the clock says ``until_ms``. True when it has ended; re-raises its error."""
        if not self._done.is_set():
            timeout = None if until_ms is None else (until_ms - self._clock.now_ms()) / 1000
            if (timeout is not None and timeout <= 0) or not self._done.wait(timeout):
                return False
        if self._error is not None:
            raise self._error
        return True


class _Here(threading.local):
    """Which pool the current thread belongs to."""

    pool: _Pool | None = None


_here = _Here()


class _Pool:
    """Daemon threads, reused, made when all are busy. Work waits only when ``threads_max`` are busy.

    Jobs start jobs and wait for them. In one bounded pool, enough jobs due together would fill all threads with
    waiting, and what they wait for would never begin. So what a job starts runs in the pool below its own.
    """

    def __init__(self, threads_max: int) -> None:
        self._threads_max = threads_max
        self._lock = threading.Lock()
        self._queue: deque[Callable[[], None]] = deque()
        self._idle: list[_Worker] = []
        self._count = 0
        self._below: _Pool | None = None

    def below(self) -> _Pool:
        """The pool for what this pool's jobs start."""
        with self._lock:
            if self._below is None:
                self._below = _Pool(self._threads_max)
            return self._below

    def run(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop().give(work)  # the last to fall idle: its caches are warm
                return
            if self._count >= self._threads_max:
                self._queue.append(work)
                return
            self._count += 1
        # threading.Thread would wait until the thread has begun: on a busy processor a long time for a timer.
        _thread.start_new_thread(_Worker(work).loop, (self,))

    def next_for(self, worker: _Worker) -> Callable[[], None] | None:
        """Waiting work, or None after listing the worker as idle."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._idle.append(worker)
            return None

    def retire(self, worker: _Worker) -> bool:
        """Take an idle worker off the list; False when work was given to it at the last moment."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            self._count -= 1
            return True


class _Worker:
    """One thread of the pool."""

    __slots__ = ("_wake", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._wake = threading.Lock()
        self._wake.acquire()

    def give(self, work: Callable[[], None]) -> None:
        self._work = work
        self._wake.release()

    def loop(self, pool: _Pool) -> None:
        _here.pool = pool
        while True:
            if self._work is not None:
                work, self._work = self._work, None
                work()
                del work  # what the job holds must not live until the next one comes
            queued = pool.next_for(self)
            if queued is not None:
                self._work = queued
                continue
            if not self._wake.acquire(timeout=_IDLE_S):
                if pool.retire(self):
                    return
                self._wake.acquire()


class _Held(_Job):
    """A job that has yet to begin, and the pool it will begin in."""

    __slots__ = ("_pool",)

    def __init__(self, clock: SystemClock, run: Callable[[], None], pool: _Pool) -> None:
        super().__init__(clock, run)
        self._pool = pool

    def go(self) -> None:
        self._pool.run(self.execute)


class _Entry(Struct, frozen=True, order=True):
    due_ms: int
    order: int
    job: _Job


class _Timer:
    """Gives out jobs as they are about to be due, by ``now_ms``."""

    def __init__(
        self, now_ms: Callable[[], int], give: Callable[[int, _Job], None], name: str, recheck_s: float | None = None
    ) -> None:
        """``recheck_s``: how long to sleep at the most, by a clock that may be set."""
        self._now_ms = now_ms
        self._give = give
        self._name = name
        self._recheck_s = recheck_s
        self._heap: list[_Entry] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, due_ms: int, job: _Job) -> None:
        with self._changed:
            entry = _Entry(due_ms, next(self._order), job)
            heapq.heappush(self._heap, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, daemon=True, name=self._name)
                self._thread.start()
            elif self._heap[0] is entry:
                self._changed.notify()

    def _tick(self) -> None:
        while True:
            for entry in self._take_due():
                self._give(entry.due_ms, entry.job)

    def _take_due(self) -> list[_Entry]:
        """Wait until jobs are about to be due; all of them, in order."""
        with self._changed:
            while True:
                horizon = self._now_ms() + _HAND_OVER_MS
                due = []
                while self._heap and self._heap[0].due_ms <= horizon:
                    due.append(heapq.heappop(self._heap))
                if due:
                    return due
                left_s = (self._heap[0].due_ms - horizon) / 1000 if self._heap else None
                self._changed.wait(
                    left_s if left_s is None or self._recheck_s is None else min(left_s, self._recheck_s)
                )


class SystemTasks:
    """Jobs on threads: timers, and a pool that grows to ``threads_max`` so that a slow job holds back no other."""

    def __init__(self, clock: SystemClock, threads_max: int = _THREADS_MAX) -> None:
        self._clock = clock
        self._pool = _Pool(threads_max)
        self._leaves = _Pool(threads_max)  # for jobs that wait for no others, wherever they were begun
        self._instants = _Timer(clock.now_ms, self._hand_over, "chronowatch-timer", _RECHECK_S)
        self._spans = _Timer(_steady_ms, lambda _, job: self._pool.run(job.execute), "chronowatch-spans")

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` now on a thread of the pool."""
        handle = _Job(self._clock, job)
        self._pool_of_caller().run(handle.execute)
        return handle

    def hold(self, job: Callable[[], None]) -> Held:
        """``job``, to be begun later, on a thread of those for jobs that wait for no others."""
        return _Held(self._clock, job, self._leaves)

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` on a thread of the pool when the clock reaches ``unix_ms``."""
        handle = _Job(self._clock, job)
        if unix_ms - self._clock.now_ms() <= _HAND_OVER_MS:
            self._hand_over(unix_ms, handle)
        else:
            self._instants.add(unix_ms, handle)
        return handle

    def after(self, ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` on a thread of the pool when so much time has passed."""
        handle = _Job(self._clock, job)
        self._spans.add(_steady_ms() + ms, handle)
        return handle

    def _hand_over(self, due_ms: int, job: _Job) -> None:
        def work() -> None:
            self._clock.sleep_until(due_ms)
            job.execute()

        self._pool_of_caller().run(work)

    def _pool_of_caller(self) -> _Pool:
        """The first pool for threads of no pool, otherwise the one below the caller's."""
        return self._pool if _here.pool is None else _here.pool.below()


def _steady_ms() -> int:
    return time.monotonic_ns() // _NANOS_PER_MS
