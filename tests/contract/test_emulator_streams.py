"""Reads of streams that wait in the emulator as we start it. Its own tests know nothing of this."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chalicelib.adapters.aws.clients import Clients
from localdev.stream_source import hold_reads

pytestmark = pytest.mark.emulator
LONG_S = 30.0  # longer than any of these takes, also on a machine with other work


class Stream(NamedTuple):
    """A table, and the client that reads its stream."""

    dynamodb: Any
    reading: Any
    table: str

    def begin(self) -> str:
        """The iterator of its beginning."""
        arn = self.dynamodb.describe_table(TableName=self.table)["Table"]["LatestStreamArn"]
        shard = self.reading.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        found = self.reading.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return str(found["ShardIterator"])

    def put(self, pk: str) -> None:
        self.dynamodb.put_item(TableName=self.table, Item={"pk": {"S": pk}})

    def read(self, at: str) -> tuple[list[str], float]:
        """The keys of the records that come, and the seconds that it took."""
        begun = time.monotonic()
        records = self.reading.get_records(ShardIterator=at)["Records"]
        return [r["dynamodb"]["Keys"]["pk"]["S"] for r in records], time.monotonic() - begun


def made(url: str, hold: str) -> Iterator[Stream]:
    clients = Clients("us-east-1", url)
    reading = clients.get("dynamodbstreams", LONG_S)
    if hold:
        hold_reads(reading, {"-registry": "#lease"}, float(hold))
    stream = Stream(clients.get("dynamodb"), reading, f"held-{uuid.uuid4().hex[:8]}-registry")
    stream.dynamodb.create_table(
        TableName=stream.table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    yield stream
    stream.dynamodb.delete_table(TableName=stream.table)


@pytest.fixture
def stream(endpoint: str, request: pytest.FixtureRequest) -> Iterator[Stream]:
    yield from made(endpoint, getattr(request, "param", "20"))


def test_a_read_waits_for_what_is_worth_it_and_brings_all_that_came_before(stream: Stream) -> None:
    at, found = stream.begin(), list[tuple[list[str], float]]()
    reader = threading.Thread(target=lambda: found.append(stream.read(at)))
    reader.start()
    # The first two are no news. Each is written when the read has begun, or before: then it is brought at once.
    time.sleep(0.3)
    written = ["%23nodes#lease", "tenant#idempotency", "tenant#lease"]
    for pk in written:
        stream.put(pk)
    reader.join(LONG_S)
    [(keys, took_s)] = found
    assert keys
    assert keys == written[: len(keys)]
    assert took_s < 19, "a write ends the wait"


def test_what_is_there_is_brought_at_once(stream: Stream) -> None:
    stream.put("%23nodes#lease")
    keys, took_s = stream.read(stream.begin())
    assert keys == ["%23nodes#lease"]
    assert took_s < 15


@pytest.mark.parametrize("stream", ["0.5"], indirect=True)
def test_a_wait_has_an_end(stream: Stream) -> None:
    keys, took_s = stream.read(stream.begin())
    assert keys == []
    assert took_s >= 0.5


@pytest.mark.parametrize("stream", [""], indirect=True)
def test_who_does_not_ask_to_wait_does_not(stream: Stream) -> None:
    keys, took_s = stream.read(stream.begin())
    assert keys == []
    assert took_s < 15
