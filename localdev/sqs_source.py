"""An SQS event source mapping: receives messages, calls the function, deletes what it did not report as failed.

It behaves as Lambda's does (batching window, ReportBatchItemFailures, invisible while in work) with two differences.
Messages are hidden for ``visibility_s`` and not for as long as the function may run; their event says so. And an
invocation is never ended by force. So a process that has too much to do may hide a message too late. It does not begin
with it again, which would be still more to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from localdev.backoff import Backoff
from localdev.invocations import Handler, LocalContext

RECEIVERS = 4  # enough that 1,000 messages which become visible together are received within a second
CONCURRENCY = 512  # invocations at once; most of them sleep until their instant, or wait for a slow target's answer
BATCH_MAX = 100
CALL_MAX = 10  # what one SQS call takes
LONG_POLL_S = 2  # also the longest that a stop waits for a receiver: a call left behind would swallow its messages
HELD_POLL_S = 20  # where a call that waits ends with its caller, as in our emulator, a stop need not wait for it
WINDOW_PER_INVOCATION_S = 0.004  # the busier, the larger the batches: an idle system adds no latency
WINDOW_MAX_S = 0.2
WINDOW_WORTH_S = 0.02  # less is not waited for
DELETE_TRIES = 5
SETTLED_S = 0.5  # so long a stop waits for what may still be claimed, when nothing else is under way

_log = logging.getLogger(__name__)

Message = dict[str, Any]


class WaitingCalls(NamedTuple):
    """A client for calls that wait for messages, and what ends all of these with an error, now and later."""

    client: Any
    break_off: Callable[[], object]


@dataclass(eq=False, slots=True)
class Invocation:
    """Messages for one call of the function. From ``over_s`` on, a monotonic instant, Lambda would have ended it."""

    messages: list[Message]
    over_s: float = 0.0


class SqsSource:
    """Feeds one queue to one function. ``timeout_s`` is the function's, ``visibility_s`` the queue's."""

    call_max = CALL_MAX

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        queue_arn: str,
        handler: Handler,
        *,
        timeout_s: float,
        visibility_s: int,
        region: str,
        stopping: threading.Event,
        name: str = "deliver",
        waiting: WaitingCalls | None = None,
    ) -> None:
        """``waiting`` makes the calls that wait for messages, where they may be broken off."""
        self._name = name
        self._waiting = waiting
        self._poll_s = LONG_POLL_S if waiting is None else HELD_POLL_S
        self._sqs = sqs
        self._queue_url = queue_url
        self._queue_arn = queue_arn
        self._handler = handler
        self._timeout_s = timeout_s
        self._visibility_s = visibility_s
        self._region = region
        self._stopping = stopping
        self._slots = threading.BoundedSemaphore(CONCURRENCY)
        self._first = threading.Lock()  # of the receiver that waits for messages: the others wait for their turn here
        self._lock = threading.Lock()
        self._running: set[Invocation] = set()
        self._in_work: dict[str, tuple[Message, Invocation]] = {}  # by the id of the message
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin receiving."""
        jobs: list[Callable[[], None]] = [self._receive_all] * RECEIVERS
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=job, name=f"sqs-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def drain(self, until: float, leave: Callable[[], bool] = lambda: False) -> int:
        """After ``stopping``: wait for invocations until the monotonic instant; how many messages are left behind.

        ``leave`` gives away what the function has yet to begin, and says whether nothing is under way. When that is so
        for SETTLED_S, this does not wait for what sleeps. Messages left behind are made visible for the next process.
        """
        if self._waiting is not None:
            self._waiting.break_off()
        idle_since: float | None = None
        while (self._receiving() or self._in_flight()) and time.monotonic() < until:
            if leave() and not self._receiving():
                idle_since = idle_since or time.monotonic()
                if time.monotonic() - idle_since >= SETTLED_S:
                    break
            else:
                idle_since = None
            time.sleep(0.02)
        with self._lock:
            left = [message for invocation in self._running for message in invocation.messages]
        self._make_visible(left)
        return len(left)

    def _receiving(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _make_visible(self, messages: Sequence[Message]) -> None:
        for chunk in _tens(messages):
            self._change_visibility(chunk, 0)

    def _in_flight(self) -> int:
        with self._lock:
            return len(self._running)

    def _receive_all(self) -> None:
        backoff = Backoff("receiving from the queue", _log, self._stopping)
        while not self._stopping.is_set():
            if not self._slots.acquire(timeout=0.5):
                continue
            try:
                invocation = self._gather()
            except Exception as problem:  # the endpoint is away, or throttles: there is nothing to give up for
                self._slots.release()
                if not (self._stopping.is_set() and self._waiting):  # else it was broken off
                    backoff.failed(problem)
                continue
            backoff.succeeded()
            if invocation is None:
                self._slots.release()
                continue
            if self._stopping.is_set():  # the next process has it at once
                self._slots.release()
                self._make_visible(invocation.messages)
                continue
            if not self._begin(invocation):
                self._slots.release()
                continue
            threading.Thread(target=self._run, args=(invocation,), name="invocation", daemon=True).start()

    def _begin(self, invocation: Invocation) -> bool:
        """Enter an invocation, without the messages that another one has in work; whether any is left."""
        now_s = time.monotonic()
        invocation.over_s = now_s + self._timeout_s
        with self._lock:
            received, invocation.messages = invocation.messages, []
            for message in received:
                held, holder = self._in_work.get(message["MessageId"], (message, invocation))
                if holder is invocation or holder.over_s <= now_s:
                    self._in_work[message["MessageId"]] = message, invocation
                    invocation.messages.append(message)
                else:
                    held["ReceiptHandle"] = message["ReceiptHandle"]  # the one before is void
            if invocation.messages:
                self._running.add(invocation)
        return bool(invocation.messages)

    def _end(self, invocation: Invocation) -> None:
        with self._lock:
            self._running.discard(invocation)
            for message in invocation.messages:
                _, holder = self._in_work.get(message["MessageId"], (message, None))
                if holder is invocation:
                    del self._in_work[message["MessageId"]]
        self._slots.release()

    def _gather(self) -> Invocation | None:
        """A batch: what one long poll brings, and what follows on its heels or within the window."""
        with self._first:  # one call that waits costs the queue's server a fraction of four
            received = [] if self._stopping.is_set() else self._receive(self._poll_s)
        if not received:
            return None
        messages = list(received)
        now = time.monotonic()
        window_ends = now + self._window_s()
        while len(messages) + self.call_max <= BATCH_MAX:
            if len(received) < self.call_max:
                if time.monotonic() + WINDOW_WORTH_S > window_ends:
                    break
                time.sleep(WINDOW_WORTH_S)
            received = self._receive(0)
            messages += received
        return Invocation(messages)

    def _window_s(self) -> float:
        return min(WINDOW_MAX_S, self._in_flight() * WINDOW_PER_INVOCATION_S)

    def _receive(self, wait_s: int) -> list[Message]:
        client = self._sqs if self._waiting is None or not wait_s else self._waiting.client
        answer = client.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=CALL_MAX,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=self._visibility_s,
            MessageSystemAttributeNames=["All"],
        )
        found: list[Message] = answer.get("Messages", [])
        return found

    def _run(self, invocation: Invocation) -> None:
        try:
            answer = self._handler(
                {"Records": [self._record(message) for message in invocation.messages]},
                LocalContext(self._name, self._timeout_s),
            )
            failed = {failure["itemIdentifier"] for failure in (answer or {}).get("batchItemFailures", [])}
            self._delete([message for message in invocation.messages if message["MessageId"] not in failed])
        except Exception:
            _log.exception("an invocation failed; its %d messages will come again", len(invocation.messages))
        finally:
            self._end(invocation)

    def _record(self, message: Message) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {**message.get("Attributes", {}), "VisibilityTimeout": str(self._visibility_s)},
            "messageAttributes": message.get("MessageAttributes", {}),
            "md5OfBody": message.get("MD5OfBody", ""),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue_arn,
            "awsRegion": self._region,
        }

    def _delete(self, messages: Sequence[Message]) -> None:
        for chunk in _tens(messages):
            for attempt in range(DELETE_TRIES):
                try:
                    self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=_entries(chunk))
                    break
                except Exception as problem:  # a message that stays is harmless: it will be seen to be done
                    _log.debug("deleting %d messages failed: %s", len(chunk), problem)
                    time.sleep(0.1 * 2**attempt)

    def _change_visibility(self, messages: Sequence[Message], visibility_s: int) -> bool:
        entries = [{**entry, "VisibilityTimeout": visibility_s} for entry in _entries(messages)]
        try:
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as problem:
            _log.debug("changing the visibility of %d messages failed: %s", len(messages), problem)
            return False
        return True


def _entries(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]} for number, each in enumerate(messages)]


def _tens(messages: Sequence[Message]) -> Iterable[Sequence[Message]]:
    for start in range(0, len(messages), CALL_MAX):
        yield messages[start : start + CALL_MAX]
