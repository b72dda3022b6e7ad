"""Threads for calls: the API blocks while it waits for AWS, and the server's event loop must not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from chalicelib.core.errors import Unavailable

T = TypeVar("T")


class CallThreads:
    """So many threads, begun as they are needed, and so many calls that wait for one of them."""

    def __init__(self, name: str, threads: int, queued: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + queued
        self._present = 0

    async def run(self, call: Callable[[], T]) -> T:
        """What ``call`` answers or raises. A call that runs goes on to its end whatever becomes of its caller, and
        counts until then. Raises Unavailable when too many wait already."""
        if self._present >= self._most:
            raise Unavailable("this server has more calls than it can work on", code="overloaded")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                settle = partial(done.set_result, call())
            except BaseException as problem:
                settle = partial(done.set_exception, problem)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its tasks with it
                loop.call_soon_threadsafe(self._left, done, settle)

        self._pool.submit(work)
        self._present += 1
        return await done

    def _left(self, done: asyncio.Future[T], settle: Callable[[], None]) -> None:
        self._present -= 1
        if not done.done():  # else it was cancelled
            settle()

    def close(self) -> None:
        """Begin no further call."""
        self._pool.shutdown(wait=False, cancel_futures=True)
