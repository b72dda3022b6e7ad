"""Streams without threads of their own: a few threads ask those that are due what there is, for all of them.

A thousand subscribers are due in the same instant. So what wakes them costs them nothing each: the thread that rings a
bell puts all who wait for it in line. Their pieces come back to the event loop in batches. So the loop is woken once
for a batch, and other connections get their turn between two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Final

from chalicelib.api.http.connection import EventSource, Step
from chalicelib.process.bell import NewsBell

LATE_MOST_S: Final = 0.25  # how much later than it said a stream is asked that waits for a bell which does not ring


Answer = asyncio.Future[Step]
Due = tuple[EventSource, Answer]  # a stream that is to be asked, and who waits for its piece
Stepped = tuple[Answer, "Step | Exception"]


class _Waiting:
    """Those who wait for one bell, and until when. ``place`` is what takes its listener down."""

    def __init__(self) -> None:
        self.place = 0
        self.until_s: dict[Due, float] = {}


class Streams:
    """Belongs to one event loop."""

    def __init__(self, threads: int, batch: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stream")
        self._threads = threads
        self._batch = batch
        self._lock = Lock()  # guards what follows
        self._due: deque[Due] = deque()
        self._working = 0
        self._waiting: dict[NewsBell, _Waiting] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def next(self, source: EventSource, last: Step | None) -> Step:
        """The next piece of a stream, once the time that its last one named has come, or what its step raises."""
        done: Answer = self._loop.create_future()
        due = source, done
        if last is None or not last.wait_s:
            self._line_up((due,))
        elif last.bell is None:
            return await self._later(due, last.wait_s)
        else:
            self._listen(due, last.bell, last.heard, self._loop.time() + last.wait_s)
        return await done

    async def _later(self, due: Due, wait_s: float) -> Step:
        timer = self._loop.call_later(wait_s, self._line_up, (due,))
        try:
            return await due[1]
        finally:
            timer.cancel()

    # -- bells

    def _listen(self, due: Due, bell: NewsBell, heard: int, until_s: float) -> None:
        with self._lock:
            waiting = self._waiting.get(bell)
            if waiting is None:
                waiting = self._waiting[bell] = _Waiting()
                waiting.place = bell.hang(partial(self._rung, bell))
            waiting.until_s[due] = until_s
        if bell.number != heard:  # a ring from now on finds it; one before may not have
            self._rung(bell)
        if self._sweep is None:
            self._sweep = self._loop.call_later(LATE_MOST_S, self._sweep_over)

    def _rung(self, bell: NewsBell) -> None:
        """On the thread that rings: all who wait are due."""
        with self._lock:
            waiting = self._waiting.get(bell)
            if waiting is None:
                return
            found, waiting.until_s = waiting.until_s, {}
        self._line_up(found)

    def _sweep_over(self) -> None:
        """Those who have waited for long enough are due; a bell without waiting streams is let go."""
        now_s = self._loop.time()
        over: list[Due] = []
        with self._lock:
            for bell, waiting in list(self._waiting.items()):
                late = [due for due, until_s in waiting.until_s.items() if until_s <= now_s or due[1].done()]
                over += late
                for due in late:
                    del waiting.until_s[due]
                if not waiting.until_s:
                    bell.take_down(waiting.place)
                    del self._waiting[bell]
            self._sweep = self._loop.call_later(LATE_MOST_S, self._sweep_over) if self._waiting else None
        self._line_up(over)

    # -- steps

    def _line_up(self, more: Iterable[Due]) -> None:
        with self._lock:
            self._due.extend(more)
            wanted = min(self._threads, 1 + len(self._due) // self._batch) if self._due else 0
            begin = max(0, wanted - self._working)
            self._working += begin
        for _ in range(begin):
            with contextlib.suppress(RuntimeError):  # closed: no stream is asked any more
                self._pool.submit(self._work)

    def _work(self) -> None:
        while batch := self._take():
            stepped = [(done, _step(source)) for source, done in batch if not done.done()]
            try:
                self._loop.call_soon_threadsafe(_resolve, stepped)
            except RuntimeError:
                return  # the loop has ended, and its streams with it

    def _take(self) -> list[Due]:
        """A batch of those in line; none, and this thread is done."""
        with self._lock:
            found = [self._due.popleft() for _ in range(min(self._batch, len(self._due)))]
            self._working -= not found
            return found

    def close(self) -> None:
        """Ask no further stream."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _step(source: EventSource) -> Step | Exception:
    try:
        return source.step()
    except Exception as problem:
        return problem


def _resolve(stepped: list[Stepped]) -> None:
    for done, found in stepped:
        if done.done():
            continue  # its subscriber has gone
        if isinstance(found, Step):
            done.set_result(found)
        else:
            done.set_exception(found)
