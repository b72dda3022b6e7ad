"""The local event source against a queue in memory that keeps SQS's rules about visibility."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.adapters.aws.work_queue import parse_event
from localdev.sqs_source import BATCH_MAX, CALL_MAX, HELD_POLL_S, SqsSource, WaitingCalls


class FakeSqs:
    """A queue: received messages are hidden until their time is up or they are deleted."""

    def __init__(self, bodies: list[str]) -> None:
        self._lock = threading.Condition()
        self._visible_at = dict.fromkeys(bodies, 0.0)
        self._receives = dict.fromkeys(bodies, 0)
        self.fail_next = 0
        self.extended = 0

    def put(self, body: str) -> None:
        with self._lock:
            self._visible_at[body] = 0.0
            self._receives[body] = 0
            self._lock.notify_all()

    def left(self) -> set[str]:
        with self._lock:
            return set(self._visible_at)

    def receives(self, body: str) -> int:
        with self._lock:
            return self._receives[body]

    def visible(self) -> set[str]:
        with self._lock:
            return {body for body, at in self._visible_at.items() if at <= time.monotonic()}

    def receive_message(
        self, *, MaxNumberOfMessages: int, WaitTimeSeconds: float, VisibilityTimeout: float, **_: object
    ) -> dict[str, Any]:
        assert MaxNumberOfMessages <= CALL_MAX
        with self._lock:
            if self.fail_next:
                self.fail_next -= 1
                raise ConnectionError("away")
            until = time.monotonic() + min(WaitTimeSeconds, 0.2)
            while not (found := self._take(MaxNumberOfMessages, VisibilityTimeout)) and time.monotonic() < until:
                self._lock.wait(0.01)
            return {"Messages": found} if found else {}

    def _take(self, most: int, visibility_s: float) -> list[dict[str, Any]]:
        now = time.monotonic()
        bodies = [body for body, at in self._visible_at.items() if at <= now][:most]
        for body in bodies:
            self._visible_at[body] = now + visibility_s
            self._receives[body] += 1
        return [
            {
                "MessageId": f"id-{body}",
                "ReceiptHandle": f"{body}#{self._receives[body]}",
                "Body": body,
                "Attributes": {"ApproximateReceiveCount": str(self._receives[body])},
            }
            for body in bodies
        ]

    def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: object) -> dict[str, Any]:
        assert len(Entries) <= CALL_MAX
        with self._lock:
            for entry in Entries:
                if (body := self._named(entry)) is not None:
                    del self._visible_at[body]
        return {}

    def change_message_visibility_batch(self, *, Entries: list[dict[str, Any]], **_: object) -> dict[str, Any]:
        with self._lock:
            for entry in Entries:
                if (body := self._named(entry)) is not None:
                    self._visible_at[body] = time.monotonic() + entry["VisibilityTimeout"]
            self.extended += 1
        return {}

    def _named(self, entry: dict[str, Any]) -> str | None:
        """The message of a receipt; only that of the last time counts."""
        body, _, receives = entry["ReceiptHandle"].rpartition("#")
        return body if body in self._visible_at and str(self._receives[body]) == receives else None


@contextmanager
def running(
    sqs: FakeSqs, handler: Callable[[dict[str, Any], Any], Any], visibility_s: float = 30, timeout_s: float = 60
) -> Iterator[SqsSource]:
    stopping = threading.Event()
    source = SqsSource(
        sqs,
        "url",
        "arn:aws:sqs:here:0:work",
        handler,
        timeout_s=timeout_s,
        visibility_s=visibility_s,  # type: ignore[arg-type]
        region="here",
        stopping=stopping,
    )
    source.start()
    try:
        yield source
    finally:
        stopping.set()
        source.drain(time.monotonic() + 5)


def until(look: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not look():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_messages_arrive_as_lambda_would_hand_them_over_and_are_deleted() -> None:
    sqs = FakeSqs(["a"])
    events: list[dict[str, Any]] = []
    with running(sqs, lambda event, context: events.append((event, context))):  # type: ignore[arg-type]
        until(lambda: not sqs.left())
    (record,) = events[0][0]["Records"]  # type: ignore[index]
    assert (record["messageId"], record["body"], record["eventSource"]) == ("id-a", "a", "aws:sqs")
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert events[0][1].get_remaining_time_in_millis() <= 60_000  # type: ignore[index]


def test_only_the_reported_failures_stay() -> None:
    sqs = FakeSqs(["good", "bad"])
    done = threading.Event()

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        if {record["body"] for record in event["Records"]} >= {"bad"}:
            done.set()
        return {"batchItemFailures": [{"itemIdentifier": "id-bad"}]}

    with running(sqs, handler):
        assert done.wait(30)
        until(lambda: sqs.left() == {"bad"})
    assert sqs.visible() == set()  # it comes again when its time is up, not at once


def test_when_the_function_raises_all_messages_come_again() -> None:
    sqs = FakeSqs(["a", "b"])
    calls: Counter[str] = Counter()

    def handler(event: dict[str, Any], _context: object) -> None:
        bodies = [record["body"] for record in event["Records"]]
        calls.update(bodies)
        if any(calls[body] == 1 for body in bodies):
            raise RuntimeError("broken")

    with running(sqs, handler, visibility_s=0.3):
        until(lambda: not sqs.left())
    assert min(calls["a"], calls["b"]) >= 2, "more often where it was hidden for too short a time"


def until_finished(calls: list[str], finish: threading.Event) -> Callable[[dict[str, Any], object], None]:
    """A function that notes what it is called with, and takes its time."""

    def handler(event: dict[str, Any], _context: object) -> None:
        calls.extend(record["body"] for record in event["Records"])
        finish.wait(10)

    return handler


def test_what_comes_again_while_it_is_in_work_is_not_begun_again() -> None:
    """As when a process has so much to do that it hides a message too late."""
    sqs, finish = FakeSqs(["a"]), threading.Event()
    calls: list[str] = []
    with running(sqs, until_finished(calls, finish), visibility_s=0.05):
        until(lambda: sqs.receives("a") >= 4)
        sqs.put("b")  # others are received meanwhile
        until(lambda: "b" in calls)
        assert calls == ["a", "b"]
        finish.set()
        until(lambda: not sqs.left())


def test_what_takes_longer_than_lambda_would_let_it_is_begun_again() -> None:
    sqs, finish = FakeSqs(["a"]), threading.Event()
    calls: list[str] = []
    with running(sqs, until_finished(calls, finish), visibility_s=0.05, timeout_s=0.2):
        until(lambda: len(calls) >= 3)
        finish.set()
        until(lambda: not sqs.left())


def test_a_herd_is_received_in_full_batches() -> None:
    bodies = [str(number) for number in range(1000)]
    sqs = FakeSqs(bodies)
    sizes: list[int] = []
    hold = threading.Event()

    def handler(event: dict[str, Any], _context: object) -> None:
        sizes.append(len(event["Records"]))
        hold.wait(30)

    began = time.monotonic()
    with running(sqs, handler):
        until(lambda: sum(sizes) == 1000)
        took_s = time.monotonic() - began
        hold.set()
        until(lambda: not sqs.left())
    assert max(sizes) == BATCH_MAX
    assert len(sizes) < 50
    assert took_s < 20


def test_an_invocation_is_told_how_long_its_messages_are_hidden() -> None:
    sqs = FakeSqs(["one"])
    events: list[dict[str, Any]] = []
    with running(sqs, lambda event, _: events.append(event), visibility_s=7):
        until(lambda: not sqs.left())
    [message] = parse_event(events[0])
    assert (message.hidden_s, message.handle) == (7, events[0]["Records"][0]["receiptHandle"])


def test_what_a_stop_leaves_behind_is_visible_again_at_once() -> None:
    sqs = FakeSqs(["asleep"])
    called, finish = threading.Event(), threading.Event()

    def handler(_event: object, _context: object) -> None:
        called.set()
        finish.wait(30)

    stopping = threading.Event()
    source = SqsSource(sqs, "url", "arn", handler, timeout_s=60, visibility_s=30, region="here", stopping=stopping)
    source.start()
    assert called.wait(30)
    stopping.set()
    until(lambda: not source._receiving())  # one that still receives would have it again
    assert source.drain(time.monotonic() + 0.5) == 1
    assert sqs.visible() == {"asleep"}
    finish.set()


def test_an_endpoint_that_was_away_is_used_again() -> None:
    sqs = FakeSqs([])
    sqs.fail_next = 4
    got: list[str] = []
    with running(sqs, lambda event, _: got.extend(record["body"] for record in event["Records"])):
        until(lambda: sqs.fail_next == 0)
        sqs.put("late")
        until(lambda: got == ["late"])


def test_a_stop_breaks_off_the_call_that_waits_where_that_loses_nothing() -> None:
    sqs, broken, stopping = FakeSqs([]), threading.Event(), threading.Event()
    waited: list[float] = []

    class Waiting:
        def receive_message(self, *, WaitTimeSeconds: float, **_: object) -> dict[str, Any]:
            waited.append(WaitTimeSeconds)
            assert broken.wait(10)
            raise ConnectionError("broken off")

    source = SqsSource(
        sqs,
        "url",
        "arn:aws:sqs:here:0:work",
        lambda *_: None,
        timeout_s=60,
        visibility_s=30,
        region="here",
        stopping=stopping,
        waiting=WaitingCalls(Waiting(), broken.set),
    )
    source.start()
    until(lambda: waited == [HELD_POLL_S])
    stopping.set()
    assert source.drain(time.monotonic() + 5) == 0
    assert broken.is_set()
    assert waited == [HELD_POLL_S], "none was made after it"
