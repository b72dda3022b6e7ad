"""Event sources over PostgreSQL: a queue, and what was written, each handed to the very function that AWS would call.

One thread listens. A notification wakes the receivers of its queue, or the reader of what was written. Both also look
by themselves, so nothing waits for a notification that was lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.adapters.postgres.database import Place, PostgresDatabase
from chalicelib.adapters.postgres.listener import listen
from chalicelib.adapters.postgres.work_queue import PostgresQueue
from chalicelib.adapters.postgres.written import Position, WrittenReader
from chalicelib.core.errors import ChronoError
from localdev.backoff import Backoff
from localdev.invocations import Handler, LocalContext
from localdev.sqs_source import BATCH_MAX, WINDOW_WORTH_S, Invocation, Message, SqsSource

POLL_BUSY_S = 0.05  # while something is written, and for BUSY_S after the last of it
POLL_IDLE_S = 1.0
BUSY_S = 12.0
PAUSES = 5  # a pause is so many times as long as the work before it: firings need this process more
PAUSE_MAX_S = 0.5
TIMEOUT_S = 60.0
SHARD = "written"
DELETE_TRIES = 5

_log = logging.getLogger(__name__)


class Wakes:
    """Wake-ups by the name of what they are for."""

    def __init__(self, place: Place, stopping: threading.Event) -> None:
        self._place = place
        self._stopping = stopping
        self._events: dict[str, threading.Event] = {}

    def event(self, name: str) -> threading.Event:
        """Set when there is something for ``name``."""
        return self._events.setdefault(name, threading.Event())

    def start(self) -> None:
        """Begin listening."""
        threading.Thread(target=self._run, name="listen", daemon=True).start()

    def _run(self) -> None:
        backoff = Backoff("listening to PostgreSQL", _log, self._stopping)
        while not self._stopping.is_set():
            for event in list(self._events.values()):
                event.set()  # what was said while no one listened
            try:
                listen(self._place, self._woken, lambda: not self._stopping.is_set())
            except ChronoError as problem:
                backoff.failed(problem)
                continue
            backoff.succeeded()

    def _woken(self, name: str) -> None:
        self.event(name).set()


class PostgresSource(SqsSource):
    """Feeds one queue of PostgreSQL to one function, as ``SqsSource`` feeds one of SQS."""

    call_max = BATCH_MAX

    def __init__(
        self,
        queue: PostgresQueue,
        woken: threading.Event,
        handler: Handler,
        *,
        timeout_s: float,
        visibility_s: int,
        stopping: threading.Event,
        name: str = "deliver",
    ) -> None:
        super().__init__(
            None,
            "",
            f"postgres:queue/{name}",
            handler,
            timeout_s=timeout_s,
            visibility_s=visibility_s,
            region="",
            stopping=stopping,
            name=name,
        )
        self._queue = queue
        self._woken = woken

    def _gather(self) -> Invocation | None:
        """What is due, and what becomes due within the window. One call takes all that an invocation may have, and
        costs the same when it finds little. So there is one at each end of the window."""
        with self._first:
            messages = [] if self._stopping.is_set() else self._receive(self._poll_s)
            window_s = self._window_s()
            if messages and len(messages) < BATCH_MAX and window_s >= WINDOW_WORTH_S:
                self._stopping.wait(window_s)
                messages += self._receive(0, BATCH_MAX - len(messages))
        return Invocation(messages) if messages else None

    def _receive(self, wait_s: int, most: int = BATCH_MAX) -> list[Message]:
        """What is due, or becomes due within ``wait_s``."""
        until = time.monotonic() + wait_s
        while True:
            self._woken.clear()
            rows = self._queue.receive(most, self._visibility_s)
            left_s = until - time.monotonic()
            if rows or left_s <= 0 or self._stopping.is_set():
                return [_message(row) for row in rows]
            next_ms = self._queue.next_in_ms()
            self._woken.wait(left_s if next_ms is None else min(left_s, max(0, next_ms) / 1000))

    def _delete(self, messages: Sequence[Message]) -> None:
        ids = [int(message["MessageId"]) for message in messages]
        for attempt in range(DELETE_TRIES if ids else 0):
            try:
                self._queue.delete(ids)
                return
            except ChronoError as problem:  # a message that stays is harmless: it will be seen to be done
                _log.debug("deleting %d messages failed: %s", len(ids), problem)
                time.sleep(0.1 * 2**attempt)

    def _change_visibility(self, messages: Sequence[Message], visibility_s: int) -> bool:
        try:
            self._queue.hide([message["ReceiptHandle"] for message in messages], visibility_s)
        except ChronoError as problem:
            _log.debug("changing the visibility of %d messages failed: %s", len(messages), problem)
            return False
        return True

    def _make_visible(self, messages: Sequence[Message]) -> None:
        self._change_visibility(messages, 0)


def _message(row: tuple[Any, ...]) -> Message:
    number, receives, sent_ms, body = row
    return {
        "MessageId": str(number),
        "ReceiptHandle": f"{number}/{receives}",
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(sent_ms)},
    }


class WrittenSource:
    """Feeds what was written to one function, while this process is the one that does: at least once, in order."""

    def __init__(
        self,
        database: PostgresDatabase,
        woken: threading.Event,
        handler: Handler,
        is_ours: Callable[[], bool],
        stopping: threading.Event,
        give_way: Callable[[], object] = lambda: None,
    ) -> None:
        """``give_way`` is called before a read and lets firings go first: both share a process."""
        self._give_way = give_way
        self._reader = WrittenReader(database)
        self._woken = woken
        self._handler = handler
        self._is_ours = is_ours
        self._stopping = stopping
        self._position = Position()

    def wake(self) -> None:
        """Something was just written, or is about to be."""
        self._woken.set()

    def start(self) -> None:
        """Begin reading."""
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def _run(self) -> None:
        backoff = Backoff("feeding what was written", _log, self._stopping)
        busy_until = 0.0
        while not self._stopping.is_set():
            try:
                if self._is_ours():
                    began = time.monotonic()
                    if self._read_all():
                        busy_until = time.monotonic() + BUSY_S
                        self._stopping.wait(min(PAUSE_MAX_S, PAUSES * (time.monotonic() - began)))
                else:
                    self._position = Position()  # the process that does it meanwhile may die before it has done all
            except Exception as problem:  # the database is away, or the function failed: begin anew
                self._position = Position()
                backoff.failed(problem)
                continue
            backoff.succeeded()
            if self._woken.wait(POLL_BUSY_S if time.monotonic() < busy_until else POLL_IDLE_S):
                self._woken.clear()
                busy_until = time.monotonic() + BUSY_S
                self._stopping.wait(POLL_BUSY_S)  # more of the same is on its way

    def _read_all(self) -> bool:
        """Whether there was anything."""
        found_any = False
        while not self._stopping.is_set():
            self._give_way()
            found = self._reader.read(self._position)
            if found is None:
                return found_any
            found_any = True
            for records in found.records.values():
                self._handler({"Records": records, "shardId": SHARD}, LocalContext("feed", TIMEOUT_S))
            self._reader.forget(self._position, found.last)
            self._position = found.last
            if not found.is_full:  # a few rows cost as many statements as hundreds: the next come together
                break
        return found_any
