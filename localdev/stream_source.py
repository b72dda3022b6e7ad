"""A DynamoDB stream event source mapping: reads the shards of one stream and calls the function with what changed.

Our emulator lets a read wait for what it reads (``ministack_streams``). Then the end of a wait is what wakes this
reader, whichever process wrote, and at rest it makes three calls a minute. An endpoint that does not know of that
answers at once, and is asked again and again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from localdev.backoff import Backoff
from localdev.invocations import Handler, LocalContext

POLL_BUSY_S = 0.05  # while records come, and for BUSY_S after the last one
POLL_IDLE_S = 1.0  # each call costs a process at rest a thousandth of a core
BUSY_S = 12.0
HOLD_S = 20.0  # what a read is asked to wait at the most: the emulator keeps records for six times as long
HELD_S = 0.2  # a read that brings nothing and takes so long has waited
REPLAY_S = 120.0  # what was written while no process read is read, as far back as this
BATCH_MAX = 100
TIMEOUT_S = 60.0
SHARDS_EVERY_S = 60.0  # shards come and go rarely

_log = logging.getLogger(__name__)


class StreamSource:
    """Feeds one stream to one function: all of it, from a little before the start on, and at least once."""

    def __init__(
        self,
        streams: Any,
        find_stream: Callable[[], str],
        handler: Handler,
        stopping: threading.Event,
        is_news: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        give_way: Callable[[], object] = lambda: None,
    ) -> None:
        """``find_stream`` answers the stream's ARN; it is asked again after a failure, since a table that was made anew
        has another. Records that are not ``is_news`` are left out, as the filters of a mapping on AWS leave them.
        ``give_way`` is called before a read and lets firings go first: here both share a process."""
        self._streams = streams
        self._find_stream = find_stream
        self._stream_arn = ""
        self._handler = handler
        self._is_news = is_news
        self._give_way = give_way
        self._stopping = stopping
        self._handling = Backoff("handling what changed", _log, stopping)
        self._positions: dict[str, str | None] = {}  # shard -> iterator; None: read to its end
        self.records_read = 0
        self._awake = threading.Event()
        self._handled_s = time.time() - REPLAY_S  # of what was written before this, everything has been handled

    def wake(self) -> None:
        """Something was just written that the stream will bring, or is about to be: read it soon, and often."""
        self._awake.set()

    def start(self) -> None:
        """Begin reading."""
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def _run(self) -> None:
        backoff = Backoff("reading the change stream", _log, self._stopping)
        look_again = busy_until = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= look_again:
                    self._find_shards()
                    look_again = time.monotonic() + SHARDS_EVERY_S
                before, begun = self.records_read, time.monotonic()
                drained = [self._read(shard) for shard in list(self._positions)]
                waited = time.monotonic() - begun >= HELD_S
                if self.records_read != before:
                    busy_until = time.monotonic() + BUSY_S
                if all(drained):
                    self._handled_s = max(self._handled_s, time.time() - REPLAY_S)
            except Exception as problem:  # the endpoint is away, or an iterator is too old: begin anew
                self._positions.clear()
                look_again = 0.0
                backoff.failed(problem)
                continue
            backoff.succeeded()
            if waited and self.records_read == before:
                continue
            if self._awake.wait(POLL_BUSY_S if waited or time.monotonic() < busy_until else POLL_IDLE_S):
                self._awake.clear()
                busy_until = time.monotonic() + BUSY_S

    def _find_shards(self) -> None:
        if not self._positions:
            self._stream_arn = self._find_stream()
        described = self._streams.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
        for shard in described.get("Shards", []):
            name = shard["ShardId"]
            if name not in self._positions:
                answer = self._streams.get_shard_iterator(
                    StreamArn=self._stream_arn, ShardId=name, ShardIteratorType="TRIM_HORIZON"
                )
                self._positions[name] = answer["ShardIterator"]

    def _read(self, shard: str) -> bool:
        """Whether everything that a shard holds has been handled."""
        position = self._positions[shard]
        while position is not None and not self._stopping.is_set():
            self._give_way()
            asked = time.monotonic()
            answer = self._streams.get_records(ShardIterator=position, Limit=BATCH_MAX)
            if time.monotonic() - asked >= HELD_S:
                self._give_way()  # what woke this reader may be one of many firings
            found = answer.get("Records", [])
            news = [r for r in found if self._is_news(r)]
            self.records_read += len(news)
            records = [r for r in news if _written_s(r) >= self._handled_s]
            if records and not self._call(shard, records):
                return False  # from the same position: these records come again
            position = self._positions[shard] = answer.get("NextShardIterator")
            if len(found) < BATCH_MAX:
                break  # what follows comes with the next read, and in larger pieces
            if not news:  # what gathered while this reader waited must not hold up firings page after page
                self._stopping.wait(POLL_BUSY_S)
        return True

    def _call(self, shard: str, records: list[dict[str, Any]]) -> bool:
        """Whether the function has done its work; when not, waits a little."""
        event = {
            "Records": [{**record, "eventSourceARN": self._stream_arn} for record in records],
            "shardId": shard,  # as an event source with a window says it
        }
        try:
            self._handler(event, LocalContext("feed", TIMEOUT_S))
        except Exception as problem:
            _log.debug("the feed failed", exc_info=True)
            self._handling.failed(problem)
            return False
        self._handling.succeeded()
        return True


def hold_reads(streams: Any, endings: Mapping[str, str], hold_s: float = HOLD_S) -> None:
    """Let the reads of a client wait in the emulator. ``endings``: of the tables whose names end so, what the key of a
    record ends with that is worth an answer."""
    header = ";".join([f"{hold_s:g}", *(f"{table}={ending}" for table, ending in endings.items())])

    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"]["x-chronowatch-hold"] = header

    streams.meta.events.register("before-call.dynamodb-streams.GetRecords", add)


def _written_s(record: Mapping[str, Any]) -> float:
    """When a record was written, in unix seconds; what does not say so counts as new."""
    at = record.get("dynamodb", {}).get("ApproximateCreationDateTime", math.inf)
    return float(at.timestamp() if isinstance(at, datetime) else at)
