"""What the tables of a deployment were told, write by write, in the form that the simulation's checkers judge.

The writes are read from the tables' streams, in which the product has no say. The emulator's sequence numbers begin
with the millisecond of the write and go on with a number that counts over all tables, so they tell both when and in
which order. All processes are on one machine, so there is one clock.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from chalicelib.adapters.aws.clients import Clients, resource_name
from chalicelib.adapters.dynamodb.documents import (
    STATE_SK,
    decode_definition,
    decode_execution,
    decode_state,
    execution_key,
    key_of_partition,
)
from chalicelib.core.executions.execution import Execution, parse_id
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.settings import LOCAL_STAGE
from tests.e2e.busy import StallMeter
from tests.simulation import claims
from tests.simulation.world import Dispatch, ExecutionWrite, Record, StateWrite, Takeover, Told

MILLISECONDS_DIGITS = 20  # of a sequence number
POLL_S = 0.3
# Between a worker's look at a schedule and the arrival of what it sends on that: on a busy machine, at most, and
# longer by what the machine stalled in it.
LOOK_MOST_MS = 5_000

SOMEBODY = SimpleNamespace(name="somebody")  # no table says who wrote
OwnerAlive = Callable[[str, int], bool]  # whether the process of an instance certainly lived at a millisecond


class Sent(NamedTuple):
    """A CloudEvent of a firing as its target got it."""

    at_ms: int
    event: Mapping[str, Any]
    place: str


class Written(NamedTuple):
    """One record of a stream."""

    number: str
    item: Mapping[str, Any]

    @property
    def at_ms(self) -> int:
        return int(self.number[:MILLISECONDS_DIGITS])


class Journal:
    """Reads along from its making on, on a thread of its own."""

    def __init__(self, endpoint: str, stalls: StallMeter) -> None:
        self._stalls = stalls
        clients = Clients("us-east-1", endpoint)
        self._dynamodb, self._streams, self._sqs = (clients.get(s) for s in ("dynamodb", "dynamodbstreams", "sqs"))
        self._lock = threading.Lock()
        self._written: dict[str, list[Written]] = {}
        self._dead: set[str] = set()
        self._rounds = 0
        self._stopping = threading.Event()
        self._iterators = {name: self._begin(resource_name(LOCAL_STAGE, name)) for name in ("schedules", "executions")}
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        self._thread.start()

    def _begin(self, table: str) -> str:
        """The start of a table's stream, which is switched on where the product has no use for one."""
        if "LatestStreamArn" not in self._dynamodb.describe_table(TableName=table)["Table"]:
            view = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            self._dynamodb.update_table(TableName=table, StreamSpecification=view)
        stream = self._dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        (shard,) = self._streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
        answer = self._streams.get_shard_iterator(
            StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        return str(answer["ShardIterator"])

    def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._thread.join(10)

    def caught_up(self) -> None:
        """Wait until everything that was written before this call has been read."""
        wanted = self._rounds + 2  # the round under way may have passed what was written last
        until = time.monotonic() + 30
        while self._rounds < wanted:
            assert self._thread.is_alive(), "the streams cannot be read"
            assert time.monotonic() < until, "the streams are read no more"
            time.sleep(0.05)

    def _read_on(self) -> None:
        while not self._stopping.is_set():
            for name in self._iterators:
                while self._read(name):
                    pass
            self._read_dead_letters()
            self._rounds += 1
            self._stopping.wait(POLL_S)

    def _read(self, name: str) -> int:
        answer = self._streams.get_records(ShardIterator=self._iterators[name], Limit=1000)
        self._iterators[name] = answer["NextShardIterator"]
        changes = [record["dynamodb"] for record in answer["Records"]]
        found = [Written(c["SequenceNumber"], c["NewImage"]) for c in changes if "NewImage" in c]
        with self._lock:
            self._written.setdefault(name, []).extend(found)
        return len(changes)

    def _read_dead_letters(self) -> None:
        url = self._sqs.get_queue_url(QueueName=resource_name(LOCAL_STAGE, "dead"))["QueueUrl"]
        while found := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            with self._lock:
                self._dead |= {str(json.loads(message["Body"])["id"]) for message in found}
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(found)]
            self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    def record(self, sent: Iterable[Sent], told: Iterable[Told], is_alive: OwnerAlive) -> Record:
        """Everything so far, with what targets and the bus got."""
        with self._lock:
            schedules, executions = (list(self._written.get(n, [])) for n in ("schedules", "executions"))
            made = Record(dead=set(self._dead), told=list(told))
        _schedules(made, schedules)
        _executions(made, executions, is_alive)
        for each in sent:
            _dispatch(made, each, self._stalls)
        return made


def _schedules(made: Record, written: Sequence[Written]) -> None:
    definitions: dict[tuple[Key, str], Definition] = {}
    states: list[tuple[int, State]] = []
    for each in sorted(written, key=lambda w: w.number):
        item = each.item
        sk = item["sk"]["S"]
        if "doc" not in item:
            continue
        if sk == STATE_SK:
            states.append((each.at_ms, decode_state(key_of_partition(item["pk"]["S"]), item["doc"]["S"])))
        elif "payload" in item:
            definition = decode_definition(key_of_partition(item["pk"]["S"]), item["doc"]["S"], item["payload"]["S"])
            definitions.setdefault((definition.key, definition.version), definition)
    for at_ms, state in states:
        writes = made.schedules.setdefault(state.key, [])
        kind = _kind(writes[-1].state if writes else None, state)
        is_new = kind in ("create", "change")
        definition = definitions[state.key, state.current.id] if is_new else None
        writes.append(StateWrite(at_ms, state, kind, definition, SOMEBODY, None))


def _kind(before: State | None, after: State) -> str:
    if before is None:
        return "create"
    if after.status == "deleted" and before.status != "deleted":
        return "delete"
    return "state" if after.current == before.current else "change"


def _executions(made: Record, written: Sequence[Written], is_alive: OwnerAlive) -> None:
    for each in sorted(written, key=lambda w: w.number):
        item = each.item
        if "doc" not in item:
            continue
        record = decode_execution(execution_key(item["pk"]["S"], item["sk"]["S"]), item["doc"]["S"])
        writes = made.executions.setdefault(record.key, [])
        before = writes[-1].record if writes else claims.as_record(made, record.key)
        if before is not None:
            _note_takeover(made, before, record, each.at_ms, is_alive)
        clock_ms = record.created_ms if record.finished_ms is None else record.finished_ms
        writes.append(ExecutionWrite(each.at_ms, record, SOMEBODY, clock_ms, None))


def _note_takeover(made: Record, before: Execution, after: Execution, at_ms: int, is_alive: OwnerAlive) -> None:
    if after.attempt <= before.attempt or before.lease_until_ms is None:
        return
    owner = before.claimed_by or ""
    believes = not before.asynchronous and is_alive(owner, at_ms)
    made.takeovers.append(
        Takeover(
            after.key,
            after.attempt,
            after.claimed_by or "",
            owner,
            before.lease_until_ms,
            at_ms if believes else None,
            0,
        )
    )


def _dispatch(made: Record, sent: Sent, stalls: StallMeter) -> None:
    event = sent.event
    key = parse_id("default", event["id"])
    assert key is not None, event
    at_ms, attempt, token = sent.at_ms, event["attempt"], event["fencingtoken"]
    as_claimed = claims.as_record(made, key)
    known = [*([] if as_claimed is None else [as_claimed]), *(w.record for w in made.executions.get(key, ()))]
    # The event does not say who sent it: whoever was given this token.
    claimed_by = next((c.claimed_by for c in known if (c.attempt, c.fencing_token) == (attempt, token)), "nobody")
    by = SimpleNamespace(name=claimed_by)
    changes = [w.at_ms + 1 for w in made.schedules.get(Key(key.tenant, key.schedule_id), ()) if w.kind != "state"]
    looked_ms = at_ms - LOOK_MOST_MS - round(stalls.stalled_ms(at_ms - LOOK_MOST_MS, at_ms))
    earliest_ms = max(looked_ms, *changes[:1], 0)
    looks = (earliest_ms, *(c for c in changes if earliest_ms < c <= at_ms))
    made.dispatches.append(Dispatch(key, attempt, token, at_ms, at_ms, earliest_ms, by, "", sent.place, looks_ms=looks))
