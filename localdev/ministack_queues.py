"""What the emulator does to queues by walks through all their messages: to receive, hide and delete some, and to wait.

Thousands are held back where much fires. Each call walked through them, some once for each message that it named.

Runs in the emulator's own environment, beside ``ministack_extended``, which loads it by path.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from heapq import heappop, heappush
from itertools import count, islice
from threading import RLock
from types import SimpleNamespace
from typing import Any

LOOK_S = 0.1  # how often the emulator's own loop looks for messages
WAIT_S = 0.5  # how often ours does, for messages that come by another way than a call
EXPIRE_S = 1.0  # how often messages that were kept for too long are looked for
# After how many seconds a message comes that these calls sent or hid.
COMES_AFTER = {
    "SendMessage": "DelaySeconds",
    "SendMessageBatch": "DelaySeconds",
    "ChangeMessageVisibility": "VisibilityTimeout",
    "ChangeMessageVisibilityBatch": "VisibilityTimeout",
}
BY_RECEIPT = ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage", "DeleteMessageBatch")

Message = dict[str, Any]
Queue = dict[str, Any]

_lock = RLock()  # what calls functions for messages runs on threads of its own


class Messages(list[Message]):
    """The messages of one queue, in any order. Those that are visible, and that of a receipt, are found without a walk.

    ``complete`` gives a message the fields that it must have. Others append and remove as well. Where they put
    a plain list in its place, the next use makes it one of these.
    """

    def __init__(self, messages: Iterable[Message], complete: Callable[[Message], None]) -> None:
        super().__init__(messages)
        self._complete = complete
        self._new = deque(self)  # not entered yet in what follows
        self._place_of = {id(message): place for place, message in enumerate(self)}
        self._receipts: dict[str, Message] = {}
        self._receipt_of: dict[int, str | None] = {}  # of each message that is entered, by its id()
        self._hidden: list[tuple[float, int, Message]] = []  # by when they come; some stand here in vain
        self._shown: dict[int, Message] = {}
        self._turn = count()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # a copy is a plain list: what finds them here is by their identity

    def append(self, message: Message) -> None:
        """Add one; its fields may still be missing."""
        with _lock:
            self._place_of[id(message)] = len(self)
            super().append(message)
            self._new.append(message)

    def remove(self, message: Message) -> None:
        """Take one away."""
        self.drop([message])

    def clear(self) -> None:
        """Take all away."""
        self.drop(list(self))

    def drop(self, gone: Iterable[Message]) -> None:
        """Take some away."""
        with _lock:
            self._enter()
            for one in {id(message) for message in gone}:
                self._shown.pop(one, None)
                self._receipts.pop(self._receipt_of.pop(one, None) or "", None)
                if (place := self._place_of.pop(one, None)) is not None:
                    self._fill(place)

    def _fill(self, place: int) -> None:
        """Let the last stand in a place that is free."""
        last = self.pop()
        if place < len(self):
            self[place] = last
            self._place_of[id(last)] = place

    def place(self, message: Message) -> None:
        """Enter a message anew whose receipt or time is another one now."""
        receipt = message["receipt_handle"]
        self._receipts.pop(self._receipt_of.get(id(message)) or "", None)
        self._receipt_of[id(message)] = receipt
        if receipt is not None:
            self._receipts[receipt] = message
        self._shown.pop(id(message), None)
        heappush(self._hidden, (message["visible_at"], next(self._turn), message))

    def visible(self, most: int) -> list[Message]:
        """At most so many that may be received now, those first that came first."""
        self._show(time.time())
        return list(islice(self._shown.values(), most))

    def next_s(self, now_s: float) -> float:
        """When the next message comes that is hidden yet, as ``time.time()`` counts; infinite: none is."""
        self._show(now_s)
        while self._hidden and not self._is_hidden_until(self._hidden[0][0], self._hidden[0][2]):
            heappop(self._hidden)
        return self._hidden[0][0] if self._hidden else float("inf")

    def of_receipts(self, receipts: Iterable[object]) -> list[Message]:
        """The messages of these receipts; others than these are none's."""
        self._enter()
        return [
            self._receipts[one] for one in dict.fromkeys(receipts) if isinstance(one, str) and one in self._receipts
        ]

    def _show(self, now_s: float) -> None:
        self._enter()
        while self._hidden and self._hidden[0][0] <= now_s:
            at_s, _, message = heappop(self._hidden)
            if self._is_hidden_until(at_s, message):
                self._shown[id(message)] = message

    def _is_hidden_until(self, at_s: float, message: Message) -> bool:
        return id(message) in self._receipt_of and bool(message["visible_at"] == at_s)

    def _enter(self) -> None:
        while self._new:
            message = self._new.popleft()
            self._complete(message)
            self.place(message)


def find_messages(sqs: Any) -> None:
    """Receive, hide and delete messages without a walk through all. Raises AttributeError and KeyError when the
    emulator is another."""
    collect, sweep, expire, find = sqs._collect_msgs, sqs._dlq_sweep, sqs._expire_retained, sqs._get_q
    expired_s: dict[int, float] = {}
    chosen = ContextVar[Queue | None]("chosen", default=None)  # the queue with those of its messages that a call names

    def messages_of(queue: Queue) -> Messages:
        if not isinstance(queue["messages"], Messages):
            queue["messages"] = Messages(queue["messages"], sqs._ensure_msg_fields)
        found: Messages = queue["messages"]
        return found

    def expire_seldom(queue: Queue) -> None:
        now_s = time.monotonic()
        if now_s - expired_s.get(id(queue), -EXPIRE_S) >= EXPIRE_S:
            expired_s[id(queue)] = now_s
            expire(queue)

    def collect_visible(queue: Queue, most: int, hidden_s: int) -> Any:
        if queue["is_fifo"]:
            sweep(queue)
            return collect(queue, most, hidden_s)
        with _lock:
            messages = messages_of(queue)
            while (received := messages.visible(most)) and any(message["receive_count"] for message in received):
                part = {**queue, "messages": received}
                sweep(part)  # what was received too often goes
                if len(part["messages"]) == len(received):
                    break
                left = {id(message) for message in part["messages"]}
                messages.drop([message for message in received if id(message) not in left])
            received = collect({**queue, "messages": received}, most, hidden_s)
            for message in received:
                messages.place(message)
        return received

    def among_those(handler: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
        def handle(data: dict[str, Any], url: str) -> Any:
            queue = find(data.get("QueueUrl", url))
            if queue["is_fifo"]:
                return handler(data, url)
            with _lock:
                messages = messages_of(queue)
                named = messages.of_receipts(each.get("ReceiptHandle") for each in data.get("Entries") or (data,))
                part = {**queue, "messages": list(named)}
                token = chosen.set(part)
                try:
                    return handler(data, url)
                finally:
                    chosen.reset(token)
                    left = {id(message) for message in part["messages"]}
                    messages.drop([message for message in named if id(message) not in left])
                    for message in part["messages"]:
                        messages.place(message)

        return handle

    def find_chosen(*which: Any) -> Any:
        found = find(*which)
        return found if (part := chosen.get()) is None else part

    def delete(url: str, receipts: Iterable[str]) -> None:
        with _lock:
            messages = messages_of(find(url))
            messages.drop(messages.of_receipts(receipts))

    sqs._delete_messages_for_esm = delete
    for action in BY_RECEIPT:
        sqs._HANDLERS[action] = among_those(sqs._HANDLERS[action])
    sqs._get_q = find_chosen
    sqs._collect_msgs, sqs._dlq_sweep, sqs._expire_retained = collect_visible, lambda queue: None, expire_seldom


def wake_when_sent(sqs: Any) -> None:
    """Let a call that waits for messages sleep until one comes, and not look ten times a second. Each of its wakings
    costs a third of a millisecond. Raises AttributeError when the emulator is another."""
    dispatch, waiting = sqs._dispatch, dict[asyncio.Future[None], asyncio.TimerHandle]()

    async def sleep(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        soonest_s = _next_visible_s(sqs) if seconds >= LOOK_S else seconds
        waiter = loop.create_future()
        waiting[waiter] = loop.call_later(soonest_s, _wake, waiter)
        try:
            await waiter
        finally:
            waiting.pop(waiter).cancel()

    async def dispatch_and_wake(action: str, data: dict[str, Any], *more: Any) -> Any:
        answer = await dispatch(action, data, *more)
        if (named := COMES_AFTER.get(action)) is not None:
            loop = asyncio.get_running_loop()
            at_s = loop.time() + min(int(each.get(named) or 0) for each in data.get("Entries") or (data,))
            for waiter, timer in waiting.items():
                if at_s < timer.when():
                    timer.cancel()
                    waiting[waiter] = loop.call_at(at_s, _wake, waiter)
        return answer

    sqs.asyncio = SimpleNamespace(**{**vars(sqs.asyncio), "sleep": sleep})
    sqs._dispatch = dispatch_and_wake


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _next_visible_s(sqs: Any) -> float:
    """In how many seconds a message that is hidden now may be received; WAIT_S when that is further away."""
    now_s = time.time()
    with _lock:
        soonest_s = min((_next_s(queue["messages"], now_s) for queue in sqs._queues.values()), default=now_s + WAIT_S)
    return max(0.0, min(WAIT_S, soonest_s - now_s))


def _next_s(messages: list[Message], now_s: float) -> float:
    if isinstance(messages, Messages):
        return messages.next_s(now_s)
    hidden = (float(message.get("visible_at", 0.0)) for message in messages)  # of a FIFO queue
    return min((at_s for at_s in hidden if at_s > now_s), default=float("inf"))
