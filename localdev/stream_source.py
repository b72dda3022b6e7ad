"""A DynamoDB stream event source mapping: reads the shards of one stream and calls the function with what changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from localdev.backoff import Backoff
from localdev.invocations import Handler, LocalContext

POLL_S = 2.0
BATCH_MAX = 100
TIMEOUT_S = 60.0
SHARDS_EVERY_S = 60.0  # shards come and go rarely

_log = logging.getLogger(__name__)


class StreamSource:
    """Feeds one stream, from the present on, to one function."""

    def __init__(
        self, streams: Any, find_stream: Callable[[], str], handler: Handler, stopping: threading.Event
    ) -> None:
        """``find_stream`` answers the stream's ARN; it is asked again after a failure, since a table that was made anew
        has another."""
        self._streams = streams
        self._find_stream = find_stream
        self._stream_arn = ""
        self._handler = handler
        self._stopping = stopping
        self._positions: dict[str, str | None] = {}  # shard -> iterator; None: read to its end

    def start(self) -> None:
        """Begin reading."""
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def _run(self) -> None:
        backoff = Backoff("reading the change stream", _log, self._stopping)
        look_again = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= look_again:
                    self._find_shards(first=not self._positions)
                    look_again = time.monotonic() + SHARDS_EVERY_S
                for shard in list(self._positions):
                    self._read(shard)
            except Exception as problem:  # the endpoint is away, or an iterator is too old: begin anew
                self._positions.clear()
                look_again = 0.0
                backoff.failed(problem)
                continue
            backoff.succeeded()
            self._stopping.wait(POLL_S)

    def _find_shards(self, first: bool) -> None:
        if first:
            self._stream_arn = self._find_stream()
        described = self._streams.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
        for shard in described.get("Shards", []):
            name = shard["ShardId"]
            if name not in self._positions:
                where = "LATEST" if first else "TRIM_HORIZON"  # a shard that appeared since is new from its beginning
                answer = self._streams.get_shard_iterator(
                    StreamArn=self._stream_arn, ShardId=name, ShardIteratorType=where
                )
                self._positions[name] = answer["ShardIterator"]

    def _read(self, shard: str) -> None:
        position = self._positions[shard]
        while position is not None and not self._stopping.is_set():
            answer = self._streams.get_records(ShardIterator=position, Limit=BATCH_MAX)
            records = answer.get("Records", [])
            if records:
                self._call(records)
            position = self._positions[shard] = answer.get("NextShardIterator")
            if not records:
                return

    def _call(self, records: list[dict[str, Any]]) -> None:
        event = {"Records": [{**record, "eventSourceARN": self._stream_arn} for record in records]}
        try:
            self._handler(event, LocalContext("feed", TIMEOUT_S))
        except Exception:
            _log.exception("the feed failed on %d records; they are skipped", len(records))
