"""The emulator's queues, as we start it: the same messages as by a walk through all of them."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from localdev.ministack_queues import Message, Messages, find_messages, wake_when_sent

URL = "http://127.0.0.1:4566/000000000000/q"
RECEIVED_MOST = 3


class Emulator:
    """The parts of the emulator that are replaced, written as it has them: each walks through all messages."""

    def __init__(self, *, fifo: bool = False) -> None:
        self.queue: dict[str, Any] = {"is_fifo": fifo, "messages": []}
        self.dead: list[Message] = []
        self.receipts = 0
        self.asyncio = asyncio
        self._queues = {URL: self.queue}
        self._HANDLERS = {"ChangeMessageVisibilityBatch": self._hide, "DeleteMessageBatch": self._delete}
        self._HANDLERS |= {"ChangeMessageVisibility": self._hide, "DeleteMessage": self._delete}
        self._delete_messages_for_esm: Any = None

    def _get_q(self, url: str, action: str | None = None) -> dict[str, Any]:
        return self._queues[url]

    def _ensure_msg_fields(self, message: Message) -> None:
        message.setdefault("receive_count", 0)
        message.setdefault("receipt_handle", None)
        message.setdefault("visible_at", 0.0)

    def _expire_retained(self, queue: dict[str, Any]) -> None:
        queue["messages"] = [message for message in queue["messages"] if not message.get("old")]

    def _dlq_sweep(self, queue: dict[str, Any]) -> None:
        now_s, walked = time.time(), queue["messages"]
        gone = [one for one in walked if one["receive_count"] >= RECEIVED_MOST and one["visible_at"] <= now_s]
        self.dead += gone
        queue["messages"] = [one for one in walked if one not in gone]

    def _collect_msgs(self, queue: dict[str, Any], most: int, hidden_s: float) -> list[Message]:
        now_s = time.time()
        for message in queue["messages"]:
            self._ensure_msg_fields(message)
        received: list[Message] = [one for one in queue["messages"] if one["visible_at"] <= now_s][:most]
        for message in received:
            self.receipts += 1
            message["receipt_handle"] = f"r{self.receipts}"
            message["visible_at"] = now_s + hidden_s
            message["receive_count"] += 1
        return received

    def _hide(self, data: dict[str, Any], url: str) -> list[str]:
        return self._each(data, url, lambda queue, one, seconds: one.update(visible_at=time.time() + seconds))

    def _delete(self, data: dict[str, Any], url: str) -> list[str]:
        def delete(queue: dict[str, Any], message: Message, _seconds: float) -> None:
            queue["messages"] = [one for one in queue["messages"] if one is not message]

        return self._each(data, url, delete)

    def _each(self, data: dict[str, Any], url: str, act: Any) -> list[str]:
        queue = self._get_q(data.get("QueueUrl", url), "sqs:Some")
        done = []
        for entry in data.get("Entries", [data]):
            for message in list(queue["messages"]):
                if message["receipt_handle"] is not None and message["receipt_handle"] == entry["ReceiptHandle"]:
                    act(queue, message, entry.get("VisibilityTimeout", 0))
                    done.append(entry["ReceiptHandle"])
        return done

    async def _dispatch(self, action: str, data: dict[str, Any], url: str) -> Any:
        return self._HANDLERS[action](data, url)

    # -- what tests do

    def send(self, name: str, delay_s: float = 0.0) -> None:
        sent: Message = {"id": name, "visible_at": time.time() + delay_s}
        self._ensure_msg_fields(sent)
        self.queue["messages"].append(sent)

    def receive(self, most: int = 10, hidden_s: float = 60.0) -> dict[str, str]:
        self._expire_retained(self.queue)
        self._dlq_sweep(self.queue)
        return {each["id"]: each["receipt_handle"] for each in self._collect_msgs(self.queue, most, hidden_s)}

    def call(self, action: str, *receipts: str, seconds: float = 0) -> list[str]:
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": seconds} for receipt in receipts]
        data: dict[str, Any] = {"Entries": entries} if action.endswith("Batch") else entries[0]
        return self._HANDLERS[action](data, URL)

    def names(self) -> set[str]:
        return {message["id"] for message in self.queue["messages"]}


class NotingLoop(asyncio.SelectorEventLoop):
    """Notes after how many seconds it was asked to call, and when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, float]] = []

    def call_later(self, delay: float, *call: Any, **more: Any) -> asyncio.TimerHandle:
        self.asked.append((delay, time.time()))
        return super().call_later(delay, *call, **more)


@pytest.fixture
def emulator() -> Emulator:
    made = Emulator()
    find_messages(made)
    return made


def test_what_is_received_is_hidden_until_its_time(emulator: Emulator) -> None:
    emulator.send("a")
    emulator.send("later", delay_s=60)
    began_s = time.time()
    assert emulator.receive(hidden_s=0.2).keys() == {"a"}
    while not (received := emulator.receive()):
        assert time.time() - began_s < 30
        time.sleep(0.01)
    assert received.keys() == {"a"}
    assert time.time() - began_s >= 0.2
    assert emulator.names() == {"a", "later"}


@pytest.mark.parametrize("action", ["DeleteMessage", "DeleteMessageBatch"])
def test_a_message_goes_by_its_last_receipt_only(emulator: Emulator, action: str) -> None:
    emulator.send("a")
    first = emulator.receive(hidden_s=0)["a"]
    second = emulator.receive(hidden_s=0)["a"]
    assert emulator.call(action, first) == []
    assert emulator.call(action, "nobody's") == []
    assert emulator.names() == {"a"}
    assert emulator.call(action, second) == [second]
    assert emulator.names() == set()
    assert emulator.receive() == {}


@pytest.mark.parametrize("action", ["ChangeMessageVisibility", "ChangeMessageVisibilityBatch"])
def test_a_message_is_shown_and_hidden_by_its_receipt(emulator: Emulator, action: str) -> None:
    emulator.send("a")
    receipt = emulator.receive()["a"]
    assert emulator.call(action, receipt, seconds=0) == [receipt]
    receipt = emulator.receive(hidden_s=0)["a"]
    assert emulator.call(action, receipt, seconds=60) == [receipt]
    assert emulator.receive() == {}


def test_what_was_received_too_often_makes_room_for_others(emulator: Emulator) -> None:
    for number in range(20):
        emulator.send(f"bad {number}")
    for _ in range(RECEIVED_MOST * 2):
        emulator.receive(hidden_s=0)
    emulator.send("good")
    while (found := emulator.receive(hidden_s=0)) and "good" not in found:
        pass
    assert "good" in found
    assert {message["id"] for message in emulator.dead} == {f"bad {number}" for number in range(20)} - found.keys()


def test_messages_that_others_add_and_take_are_seen(emulator: Emulator) -> None:
    emulator.send("a")
    emulator.receive(hidden_s=0)
    emulator.queue["messages"].append({"id": "bare"})  # as an event's, whose fields come later
    assert emulator.receive(hidden_s=0).keys() == {"a", "bare"}
    emulator.queue["messages"].remove(emulator.queue["messages"][0])
    assert emulator.receive(hidden_s=0).keys() == {"bare"}
    emulator.queue["messages"] = [{"id": "new"}]
    receipt = emulator.receive(hidden_s=0)["new"]
    emulator._delete_messages_for_esm(URL, {receipt, "other"})
    assert emulator.receive() == {}
    emulator.send("b")
    emulator.queue["messages"].clear()
    assert emulator.receive() == {}


def test_what_was_kept_for_too_long_goes(emulator: Emulator) -> None:
    emulator.queue["messages"] = [{"id": "old", "old": True}, {"id": "young"}]
    assert emulator.receive().keys() == {"young"}


def test_a_copy_is_a_plain_list(emulator: Emulator) -> None:
    emulator.send("a")
    emulator.receive()
    copied = copy.deepcopy(emulator.queue["messages"])
    assert type(copied) is list
    assert copied == emulator.queue["messages"]


def test_queues_in_order_stay_as_they_are() -> None:
    emulator = Emulator(fifo=True)
    find_messages(emulator)
    emulator.send("a")
    receipt = emulator.receive(hidden_s=0)["a"]
    assert type(emulator.queue["messages"]) is list
    assert emulator.call("DeleteMessageBatch", receipt) == [receipt]
    assert emulator.names() == set()


@pytest.mark.parametrize("seed", range(20))
def test_it_keeps_what_a_walk_keeps(seed: int) -> None:
    """Both are given the same calls; which of the visible are received first is left open."""
    chance = random.Random(seed)
    walked, found = Emulator(), Emulator()
    find_messages(found)
    receipts: dict[str, tuple[str, str]] = {}
    for number in range(400):
        what = chance.random()
        if what < 0.4 or not receipts:
            delay_s = chance.choice([0.0, 0.0, 900.0])
            for each in (walked, found):
                each.send(str(number), delay_s)
        elif what < 0.6:
            hidden_s = chance.choice([0.0, 900.0])
            one, other = (each.receive(1000, hidden_s) for each in (walked, found))
            assert one.keys() == other.keys()
            receipts |= {name: (one[name], other[name]) for name in one}
        else:
            action = chance.choice(list(walked._HANDLERS))
            names = chance.sample(sorted(receipts), min(len(receipts), 5 if action.endswith("Batch") else 1))
            seconds = chance.choice([0, 900])
            for side, each in enumerate((walked, found)):
                each.call(action, *(receipts[name][side] for name in names), seconds=seconds)
        assert walked.names() == found.names()
        assert {each["id"] for each in walked.dead} == {each["id"] for each in found.dead}


def test_finding_costs_no_walk(emulator: Emulator) -> None:
    for number in range(5_000):
        emulator.send(str(number), delay_s=900)
    emulator.receive()
    emulator.send("a")
    completed: list[str] = []
    emulator.queue["messages"]._complete = lambda message: completed.append(message["id"])
    emulator.send("b")
    for message in emulator.queue["messages"][:5_000]:
        message["visible_at"] = "nobody compares this"
    received = emulator.receive()
    assert received.keys() == {"a", "b"}
    assert emulator.call("ChangeMessageVisibilityBatch", *received.values(), seconds=5) == list(received.values())
    assert completed == ["a", "b"]


def test_a_call_that_waits_wakes_when_a_message_comes() -> None:
    delay_s = 0.3

    async def play(loop: NotingLoop) -> None:
        emulator = Emulator()
        find_messages(emulator)
        wake_when_sent(emulator)
        for number in count():
            emulator.send(str(number), delay_s)
            comes_s = emulator.queue["messages"][-1]["visible_at"]
            early = emulator.receive()
            await emulator.asyncio.sleep(0.1)
            asked_s, asked_at_s = loop.asked[-1]
            if asked_at_s < comes_s:
                break  # else the machine stood still, and the message had come before anybody waited
        assert str(number) not in early
        assert asked_s <= delay_s
        assert emulator.receive().keys() == {str(number)}

    with asyncio.Runner(loop_factory=NotingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, NotingLoop)
        runner.run(play(loop))


def test_a_message_that_nobody_receives_wakes_nobody() -> None:
    """As in a queue of dead letters: a call that waited for another queue came back at once, again and again."""

    async def play() -> float:
        emulator = Emulator()
        find_messages(emulator)
        wake_when_sent(emulator)
        emulator.send("a")
        assert emulator.receive(hidden_s=0).keys() == {"a"}
        began_s = time.monotonic()
        await emulator.asyncio.sleep(0.1)
        return time.monotonic() - began_s

    assert asyncio.run(play()) >= 0.4


def test_no_queue_at_all_is_waited_for_by_looks() -> None:
    async def play() -> float:
        emulator = SimpleNamespace(asyncio=asyncio, _queues={}, _dispatch=None)
        wake_when_sent(emulator)
        began_s = time.monotonic()
        await emulator.asyncio.sleep(0.1)
        return time.monotonic() - began_s

    assert asyncio.run(play()) >= 0.4


def test_messages_begin_with_what_there_is() -> None:
    messages = Messages([{"id": "a", "visible_at": 0.0, "receipt_handle": "r"}], lambda message: None)
    assert [message["id"] for message in messages.visible(5)] == ["a"]
    assert [message["id"] for message in messages.of_receipts(["r", "r", None, 5])] == ["a"]
    assert messages.next_s(time.time()) == float("inf")
