"""Time that passes only when every job waits for it: threads that take turns, one at a time, in the order of instants.

So ten branches that each take a minute take one minute together, in no time at all, and always in the same order.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from chalicelib.ports.clock import Reading
from chalicelib.ports.tasks import Handle, Held

_NANOS_PER_MS = 1_000_000


class VirtualTime:
    """``Clock`` and ``Tasks``. ``run`` lets jobs go on, each in a thread of its own, until none is left."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._heap: list[tuple[int, int, _Thread]] = []
        self._order = itertools.count()
        self._hub = threading.Semaphore(0)
        self._local = threading.local()
        self._closed = False

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def read(self) -> Reading:
        """Both clocks: here the same one."""
        return Reading(self._now_ms * _NANOS_PER_MS, self._now_ms * _NANOS_PER_MS)

    def sleep_until(self, unix_ms: int) -> None:
        """Let others go on until then."""
        me: _Thread | None = getattr(self._local, "me", None)
        if me is None:
            self._now_ms = max(self._now_ms, unix_ms)
        elif unix_ms > self._now_ms:
            self._wake(me, unix_ms)
            me.park()

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when it is so late."""
        thread = _Thread(self, job)
        self._wake(thread, unix_ms)
        return thread

    def after(self, ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when so much time has passed."""
        return self.at(self._now_ms + ms, job)

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` as soon as the others wait."""
        return self.at(self._now_ms, job)

    def hold(self, job: Callable[[], None]) -> Held:
        """``job``, to be begun later."""
        return _Thread(self, job)

    def next_ms(self) -> int | None:
        """When the next job goes on; None: there is none."""
        return self._heap[0][0] if self._heap else None

    def run_next(self) -> None:
        """Let the next job go on until it waits or ends. Raises what it raised."""
        due_ms, _, thread = heapq.heappop(self._heap)
        self._now_ms = max(self._now_ms, due_ms)
        thread.go_on(self._local)
        self._hub.acquire()
        if thread.error is not None and not thread.is_awaited:
            raise thread.error

    def close(self) -> None:
        """End what still waits, so that no thread outlives its time."""
        self._closed = True
        while self._heap:
            _, _, thread = heapq.heappop(self._heap)
            if thread._begun and not thread.done:
                thread.go_on(self._local)
                self._hub.acquire()

    def _wake(self, thread: _Thread, at_ms: int) -> None:
        heapq.heappush(self._heap, (max(at_ms, self._now_ms), next(self._order), thread))

    def _give_back(self) -> None:
        self._hub.release()


class _ClosedTime(BaseException):
    """Raised where a job waits for a time that does not come."""


class _Thread:
    """A job: waiting for its turn, running, or done. The handle that others wait on."""

    def __init__(self, time: VirtualTime, job: Callable[[], None]) -> None:
        self._time = time
        self._job = job
        self._turn = threading.Semaphore(0)
        self._begun = False
        self._waiter: _Thread | None = None
        self.is_awaited = False
        self.done = False
        self.error: Exception | None = None

    def go(self) -> None:
        """Begin what was held."""
        self._time._wake(self, self._time.now_ms())

    def go_on(self, local: threading.local) -> None:
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, args=(local,), daemon=True).start()
        else:
            self._turn.release()

    def park(self) -> None:
        """Let others go on until it is woken."""
        self._time._give_back()
        self._turn.acquire()
        if self._time._closed:
            raise _ClosedTime

    def wait(self, until_ms: int | None = None) -> bool:
        """True when the job has ended, False when ``until_ms`` comes first. Raises what it raised."""
        me: _Thread | None = getattr(self._time._local, "me", None)
        assert me is not None, "only a job can wait for another"
        self.is_awaited = True
        if not self.done:
            self._waiter = me
            if until_ms is not None:
                self._time._wake(me, until_ms)
            me.park()
        if self.error is not None:
            raise self.error
        return self.done

    def _run(self, local: threading.local) -> None:
        local.me = self
        try:
            self._job()
        except _ClosedTime:
            pass
        except Exception as problem:
            self.error = problem
        self.done = True
        if self._waiter is not None:
            self._time._wake(self._waiter, self._time.now_ms())
        self._time._give_back()
