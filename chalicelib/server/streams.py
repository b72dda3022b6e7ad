"""Streams without threads of their own: a few threads ask those that are due what there is, for all of them.

A thousand subscribers are due in the same instant. Their pieces come back to the event loop in batches. So the loop is
woken once for a batch, and other connections get their turn between two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from chalicelib.api.http.connection import EventSource, Step
from chalicelib.process.bell import NewsBell

Due = tuple[EventSource, "asyncio.Future[Step]"]
Stepped = tuple["asyncio.Future[Step]", Step | Exception]


class StreamThreads:
    """Belongs to one event loop."""

    def __init__(self, threads: int, batch: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stream")
        self._threads = threads
        self._batch = batch
        self._lock = Lock()
        self._due: deque[Due] = deque()
        self._working = 0

    async def step(self, source: EventSource) -> Step:
        """The next piece of a stream, or what its step raises."""
        done: asyncio.Future[Step] = self._loop.create_future()
        with self._lock:
            self._due.append((source, done))
            begin = self._working < min(self._threads, 1 + len(self._due) // self._batch)
            self._working += begin
        if begin:
            self._pool.submit(self._work)
        return await done

    def _work(self) -> None:
        stepped: list[Stepped] = []
        while True:
            with self._lock:
                due = self._due.popleft() if self._due else None
                self._working -= due is None
            if due is None:
                break
            source, done = due
            if not done.cancelled():
                stepped.append((done, _step(source)))
            if len(stepped) == self._batch:
                self._hand_over(stepped)
                stepped = []
        self._hand_over(stepped)

    def _hand_over(self, stepped: list[Stepped]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, stepped)
        except RuntimeError:
            return  # the loop has ended, and its streams with it

    def close(self) -> None:
        """Ask no further stream."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class BellWaiters:
    """Streams that wait for bells. The loop is woken once for a ring, however many wait. Belongs to one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[NewsBell, tuple[int, set[asyncio.Future[None]]]] = {}

    async def wait(self, bell: NewsBell, heard: int, until_s: float) -> None:
        """Return when ``bell`` has rung another time than ``heard``, and at the loop's ``until_s`` at the latest."""
        place, waiting = self._waiting.get(bell) or self._hang(bell)
        done: asyncio.Future[None] = self._loop.create_future()
        waiting.add(done)
        timer = self._loop.call_at(until_s, _wake, done)
        try:
            if bell.number == heard:  # a ring from now on finds us
                await done
        finally:
            timer.cancel()
            waiting.discard(done)
            if not waiting and self._waiting.get(bell) == (place, waiting):
                del self._waiting[bell]
                bell.take_down(place)

    def _hang(self, bell: NewsBell) -> tuple[int, set[asyncio.Future[None]]]:
        waiting: set[asyncio.Future[None]] = set()

        def rung() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its streams with it
                self._loop.call_soon_threadsafe(_wake_all, waiting)

        found = self._waiting[bell] = bell.hang(rung), waiting
        return found


def _wake_all(waiting: set[asyncio.Future[None]]) -> None:
    for done in waiting:
        _wake(done)


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


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
