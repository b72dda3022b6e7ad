"""The stream source, with a handler that says when it was called."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from chalicelib.adapters.dynamodb import stream_records
from localdev.stream_source import StreamSource


class FakeStreams:
    """One shard; the table is made anew once, and its first stream then is gone."""

    def __init__(self) -> None:
        self.made_anew = False
        self.reads: list[str] = []

    def find(self) -> str:
        return "second" if self.made_anew else "first"

    def describe_stream(self, *, StreamArn: str) -> dict[str, Any]:
        return {"StreamDescription": {"Shards": [{"ShardId": f"shard of {StreamArn}"}]}}

    def get_shard_iterator(self, *, StreamArn: str, ShardIteratorType: str, **_: object) -> dict[str, str]:
        assert ShardIteratorType == "TRIM_HORIZON"
        return {"ShardIterator": StreamArn}

    def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
        self.reads.append(ShardIterator)
        if ShardIterator == "first" and self.made_anew:
            raise LookupError("no such stream")
        again = self.reads.count(ShardIterator) > 1
        self.made_anew = True
        records = [] if again else [{"dynamodb": {"NewImage": {}}, "eventID": ShardIterator}]
        return {"Records": records, "NextShardIterator": ShardIterator}


def test_a_stream_is_followed_also_when_its_table_is_made_anew() -> None:
    stopping, both = threading.Event(), threading.Event()
    seen: list[tuple[str, str]] = []

    def handler(event: dict[str, Any], _context: object) -> None:
        seen.extend((record["eventID"], record["eventSourceARN"]) for record in event["Records"])
        if len(seen) == 2:
            both.set()

    streams = FakeStreams()
    StreamSource(streams, streams.find, handler, stopping).start()
    assert both.wait(10)
    stopping.set()
    assert seen == [("first", "first"), ("second", "second")]


class OneBatch(FakeStreams):
    """One shard that answers with what lies behind the iterator it is asked with."""

    def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
        self.reads.append(ShardIterator)
        if ShardIterator == "first":
            return {"Records": [{"eventID": "only"}], "NextShardIterator": "after"}
        return {"Records": [], "NextShardIterator": ShardIterator}


def test_what_the_function_could_not_do_comes_again() -> None:
    stopping, done = threading.Event(), threading.Event()
    calls: list[str] = []

    def handler(event: dict[str, Any], _context: object) -> None:
        calls.extend(record["eventID"] for record in event["Records"])
        if len(calls) == 1:
            raise RuntimeError("the bus is away")
        done.set()

    streams = OneBatch()
    StreamSource(streams, streams.find, handler, stopping).start()
    assert done.wait(10)
    stopping.set()
    assert calls == ["only", "only"]


class Old(OneBatch):
    """A shard that still holds what was written long ago."""

    def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
        if ShardIterator != "first":
            return {"Records": [], "NextShardIterator": ShardIterator}
        now_s = time.time()
        written = [("long ago", now_s - 600), ("just before the start", datetime.fromtimestamp(now_s - 5, UTC))]
        records = [{"eventID": name, "dynamodb": {"ApproximateCreationDateTime": at}} for name, at in written]
        return {"Records": records, "NextShardIterator": "after"}


def test_what_was_written_just_before_the_start_is_read_too() -> None:
    stopping, done = threading.Event(), threading.Event()
    calls: list[str] = []

    def handler(event: dict[str, Any], _context: object) -> None:
        calls.extend(record["eventID"] for record in event["Records"])
        done.set()

    streams = Old()
    StreamSource(streams, streams.find, handler, stopping).start()
    assert done.wait(10)
    stopping.set()
    assert calls == ["just before the start"]


class Mixed(OneBatch):
    """A shard with the heartbeats of a node and one lease of a tenant."""

    def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
        self.reads.append(ShardIterator)
        if ShardIterator != "first":
            return {"Records": [], "NextShardIterator": ShardIterator}
        partitions = ("%23nodes#lease", "default#lease", "#ticks", "default")
        records = [{"eventID": pk, "dynamodb": {"Keys": {"pk": {"S": pk}}}} for pk in partitions]
        return {"Records": records, "NextShardIterator": "after"}


def test_what_nodes_write_every_second_is_not_handed_on_and_keeps_no_reader_busy() -> None:
    stopping, done = threading.Event(), threading.Event()
    calls: list[str] = []

    def handler(event: dict[str, Any], _context: object) -> None:
        calls.extend(record["eventID"] for record in event["Records"])
        done.set()

    streams = Mixed()
    source = StreamSource(streams, streams.find, handler, stopping, stream_records.is_news)
    source.start()
    assert done.wait(10)
    stopping.set()
    assert (calls, source.records_read) == (["default#lease"], 1)


def test_firings_go_first_before_a_stream_is_read() -> None:
    stopping, done = threading.Event(), threading.Event()
    streams = OneBatch()
    read_before: list[int] = []

    def handler(_event: dict[str, Any], _context: object) -> None:
        done.set()

    def give_way() -> None:
        read_before.append(len(streams.reads))

    StreamSource(streams, streams.find, handler, stopping, give_way=give_way).start()
    assert done.wait(10)
    stopping.set()
    assert read_before[:1] == [0]
