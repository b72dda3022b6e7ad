"""The stream source, with a handler that says when it was called."""

from __future__ import annotations

import threading
from typing import Any

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
        assert ShardIteratorType == "LATEST"
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
