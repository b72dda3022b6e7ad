"""Every sentence of ``WorkQueue``, in memory, on SQS and in PostgreSQL."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from chalicelib.adapters.aws.work_queue import SqsQueue, parse_event
from chalicelib.adapters.memory.machine import ManualClock, MemoryQueue
from chalicelib.adapters.postgres.database import PostgresDatabase, connect
from chalicelib.adapters.postgres.work_queue import MAX_RECEIVES, PostgresQueue
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.queue_messages import Firing, Firings, Message, Run, decode
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.work_queue import Incoming, Outgoing, WorkQueue
from tests.kit.records import START_MS
from tests.kit.threads import run_together

WAIT_S = 30


class Bench(NamedTuple):
    """A queue, and the far side of it. ``drain`` receives (and deletes) until ``count`` messages came; ``now_ms`` is
    the time that delays are counted in."""

    queue: WorkQueue
    drain: Callable[[int], list[tuple[int, Message]]]
    dead: Callable[[], tuple[str, str, str]]
    now_ms: Callable[[], int]


@pytest.fixture(params=["memory", pytest.param("emulator", marks=pytest.mark.emulator), "postgres"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return memory_bench()
    if request.param == "postgres":
        return postgres_bench(request.getfixturevalue("postgres"))
    return sqs_bench(request.getfixturevalue("clients"), *request.getfixturevalue("resources"))


def memory_bench() -> Bench:
    clock = ManualClock(START_MS)
    queue = MemoryQueue(clock.now_ms)

    def drain(count: int) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        while len(found) < count:
            visible_ms = queue.next_visible_ms()
            assert visible_ms is not None, "nothing more will come"
            clock.sleep_until(visible_ms)
            for incoming in queue.receive():
                found.append((clock.now_ms(), decode(incoming.body)))
                queue.delete(incoming.receipt)
        assert queue.receive() == []
        return found

    return Bench(queue, drain, lambda: queue.dead[-1], clock.now_ms)


def sqs_bench(clients: Any, state: Any, urls: dict[str, str]) -> Bench:
    sqs = clients.get("sqs")
    queue = SqsQueue.of_stage(clients.factory("sqs"), state.stage)

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    def receive(logical: str) -> list[dict[str, Any]]:
        answer = sqs.receive_message(
            QueueUrl=urls[logical], MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=urls[logical], ReceiptHandle=message["ReceiptHandle"])
        return messages

    def drain(count: int) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        until = time.monotonic() + WAIT_S
        while len(found) < count and time.monotonic() < until:
            found += [(now_ms(), decode(m["Body"])) for m in receive("work")]
        return found

    def dead() -> tuple[str, str, str]:
        message = receive("dead")[-1]
        attributes = {name: a["StringValue"] for name, a in message["MessageAttributes"].items()}
        return attributes["execution_id"], message["Body"], attributes["reason"]

    return Bench(queue, drain, dead, now_ms)


def postgres_bench(database: PostgresDatabase) -> Bench:
    queue = PostgresQueue(database)

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    def drain(count: int) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        until = time.monotonic() + WAIT_S
        while len(found) < count and time.monotonic() < until:
            received = queue.receive(10, 60)
            found += [(now_ms(), decode(row[-1])) for row in received]
            queue.delete([row[0] for row in received])
            time.sleep(0.01)
        return found

    def dead() -> tuple[str, str, str]:
        sql = "SELECT execution_id, body, reason FROM messages WHERE queue = 'dead' ORDER BY id DESC LIMIT 1"
        row = database.read(sql)[0]
        return row[0], row[1], row[2]

    return Bench(queue, drain, dead, now_ms)


def run(number: int) -> Run:
    return Run(ExecutionKey("t", "I" * 26, number, True), 1, number)


def test_delivers_every_message_of_a_batch_once_it_is_durable(bench: Bench) -> None:
    sent = [run(n) for n in range(10)]
    bench.queue.send([Outgoing(m, 0) for m in sent])
    assert Counter(m for _, m in bench.drain(10)) == Counter(sent)


def test_messages_arrive_as_they_were(bench: Bench) -> None:
    firings = Firings(
        (
            Firing(Key("t", "A" * 26), "v1", START_MS),
            Firing(Key("t", "A" * 26), "v1", START_MS + 1000, 250),
            Firing(Key("ü", "B" * 26), "v2", START_MS + 2000),
        )
    )
    bench.queue.send([Outgoing(firings, 0)])
    assert [m for _, m in bench.drain(1)] == [firings]


def test_holds_messages_back_for_their_delays(bench: Bench) -> None:
    begun_ms = bench.now_ms()
    bench.queue.send([Outgoing(run(1), 6), Outgoing(run(2), 0), Outgoing(run(3), 5)])
    delays = {m: at_ms - begun_ms for at_ms, m in bench.drain(3)}
    # SQS counts the delay from when it took the message, and may be up to a moment early against our clock.
    assert delays[run(1)] >= 5990
    assert delays[run(3)] >= 4990
    assert delays[run(2)] < 4900  # however slow the machine: it waited for no other


def test_takes_any_number(bench: Bench) -> None:
    bench.queue.send([Outgoing(run(n), 0) for n in range(23)])
    assert {m for _, m in bench.drain(23)} == {run(n) for n in range(23)}


def test_nothing_to_send(bench: Bench) -> None:
    bench.queue.send([])


@pytest.mark.emulator
def test_sqs_hears_whose_a_message_is(clients: Any, resources: Any) -> None:
    state, urls = resources
    SqsQueue.of_stage(clients.factory("sqs"), state.stage).send(
        [Outgoing(Run(ExecutionKey(tenant, "I" * 26, 1, True), 1, 1), 0) for tenant in ("acme", "Zoë & co")]
    )
    groups: set[str] = set()
    until = time.monotonic() + WAIT_S
    while len(groups) < 2 and time.monotonic() < until:
        answer = clients.get("sqs").receive_message(
            QueueUrl=urls["work"], WaitTimeSeconds=1, MessageSystemAttributeNames=["MessageGroupId"]
        )
        for message in answer.get("Messages", []):
            groups.add(message["Attributes"]["MessageGroupId"])
            clients.get("sqs").delete_message(QueueUrl=urls["work"], ReceiptHandle=message["ReceiptHandle"])
    assert groups == {"acme", hashlib.sha256("Zoë & co".encode()).hexdigest()}


def test_dead_letters_hold_the_event(bench: Bench) -> None:
    bench.queue.send_dead("id-1", '{"specversion":"1.0"}', "http_error: 500")
    assert bench.dead() == ("id-1", '{"specversion":"1.0"}', "http_error: 500")


def test_dead_letters_without_a_reason(bench: Bench) -> None:
    bench.queue.send_dead("id-2", "{}", "")
    assert bench.dead()[:2] == ("id-2", "{}")


def test_memory_gives_again_what_was_not_deleted_and_at_last_gives_up() -> None:
    clock = ManualClock(START_MS)
    queue = MemoryQueue(clock.now_ms, visibility_ms=1000, max_receives=2)
    queue.send([Outgoing(run(1), 0)])
    assert [i.receives for i in queue.receive()] == [1]
    assert queue.receive() == []
    clock.advance(1000)
    assert [i.receives for i in queue.receive()] == [2]
    clock.advance(1000)
    assert queue.receive() == []
    assert len(queue.poison) == 1
    assert queue.next_visible_ms() is None


def send_one(database: PostgresDatabase, number: int) -> PostgresQueue:
    queue = PostgresQueue(database, f"queue {number}")
    queue.send([Outgoing(run(number), 0)])
    return queue


def test_postgres_hides_what_was_received_until_it_is_told_otherwise(postgres: PostgresDatabase) -> None:
    queue = send_one(postgres, 1)
    (taken,) = queue.receive(10, 60)
    assert queue.receive(10, 60) == []
    assert 0 < (queue.next_in_ms() or 0) <= 60_000
    queue.hide([f"{taken[0]}/{taken[1]}"], 0)
    (again,) = queue.receive(10, 60)
    assert (again[0], again[1]) == (taken[0], 2)
    queue.hide([f"{taken[0]}/{taken[1]}"], 0)  # an older delivery of it has no say
    assert queue.receive(10, 60) == []


def test_postgres_gives_up_after_ten_receives(postgres: PostgresDatabase) -> None:
    queue = send_one(postgres, 2)
    assert [len(queue.receive(10, 0)) for _ in range(MAX_RECEIVES + 2)] == [1] * MAX_RECEIVES + [0, 0]
    assert queue.next_in_ms() is None
    assert [decode(row[0]) for row in postgres.read("SELECT body FROM messages WHERE queue = 'poison'")] == [run(2)]


def test_postgres_lets_no_two_receivers_have_one_message(postgres: PostgresDatabase) -> None:
    queue = PostgresQueue(postgres, "queue 3")
    queue.send([Outgoing(run(n), 0) for n in range(200)])
    taken: list[list[int]] = [[] for _ in range(4)]

    def receive(mine: list[int]) -> None:
        while found := queue.receive(7, 60):
            mine += [row[0] for row in found]

    run_together([partial(receive, mine) for mine in taken])
    assert sorted(message for mine in taken for message in mine) == sorted({m for mine in taken for m in mine})
    assert sum(map(len, taken)) == 200


def test_postgres_wakes_a_listener_with_the_message(postgres: PostgresDatabase) -> None:
    with connect(postgres.place) as listener:
        listener.execute(f'LISTEN "{postgres.place.schema}"')
        queue = send_one(postgres, 4)
        (notice,) = listener.notifies(timeout=WAIT_S, stop_after=1)
        assert notice.payload == "queue 4"
        assert len(queue.receive(10, 60)) == 1, "the message is there when its notification comes"


def test_events_of_lambda_are_taken_apart() -> None:
    event = {
        "Records": [
            {"messageId": "m1", "body": "{}", "attributes": {"ApproximateReceiveCount": "3"}, "receiptHandle": "r"},
            {"messageId": "m2", "body": "x"},
        ]
    }
    assert parse_event(event) == [Incoming("m1", "{}", 3, "r"), Incoming("m2", "x", 1)]
    assert parse_event({}) == []
