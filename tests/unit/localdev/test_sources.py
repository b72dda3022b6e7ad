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


class Holding(FakeStreams):
    """One shard of an emulator that lets a read wait. Each of its reads brings what was written until its end."""

    def __init__(self, waits_s: float) -> None:
        super().__init__()
        self._waits_s = waits_s
        self._written = threading.Semaphore(0)

    def write(self) -> None:
        self._written.release()

    def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
        self.reads.append(ShardIterator)
        records = [{"eventID": "new"}] if self._written.acquire(timeout=self._waits_s) else []
        return {"Records": records, "NextShardIterator": ShardIterator}


def test_where_reads_wait_none_is_made_in_between_and_the_next_follows_at_once() -> None:
    stopping, seen = threading.Event(), threading.Semaphore(0)
    streams = Holding(waits_s=0.3)
    StreamSource(streams, streams.find, lambda _event, _context: seen.release(), stopping).start()
    begun = time.monotonic()
    for _ in range(3):
        time.sleep(0.5)
        streams.write()
        assert seen.acquire(timeout=10)
    took_s = time.monotonic() - begun
    stopping.set()
    assert len(streams.reads) <= 2 + took_s / 0.3 + 3, "one for each wait, and one for each record"


def test_of_a_herd_more_comes_with_each_read() -> None:
    stopping = threading.Event()
    got: list[int] = []
    done = threading.Event()

    class Herd(FakeStreams):
        left = 40

        def get_records(self, *, ShardIterator: str, **_: object) -> dict[str, Any]:
            self.reads.append(ShardIterator)
            brought, self.left = min(self.left, 20), max(0, self.left - 20)
            if not brought:
                done.set()
            return {"Records": [{"eventID": "new"}] * brought, "NextShardIterator": ShardIterator}

    streams = Herd()
    StreamSource(streams, streams.find, lambda event, _: got.append(len(event["Records"])), stopping).start()
    assert done.wait(10)
    stopping.set()
    assert got == [20, 20]
