"""``feed``: fed by the stream of the executions table. It does what policies want to follow from what was written. It
also counts: for ``/metrics``, or on Lambda in its log, out of which CloudWatch takes it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from chalice.app import Blueprint, DynamoDBEvent

from chalicelib import bootstrap
from chalicelib.adapters.aws import emf, telemetry
from chalicelib.adapters.dynamodb.documents import decode_execution, execution_key
from chalicelib.core.executions.execution import Execution
from chalicelib.ports.services import Services
from chalicelib.workers import feed, feed_counts
from chalicelib.workers.feed import Written
from chalicelib.workers.feed_counts import Placed

log = logging.getLogger(__name__)

BATCH_SIZE = 100
POSITION_DIGITS = 40  # as long as DynamoDB's sequence numbers get

blueprint = Blueprint(__name__)


class _Streamed(NamedTuple):
    """A write, the shard of the stream that it came by, and when it was made, if that is known."""

    source: str
    placed: Placed
    written_ms: int | None


# The real stream comes from infra/cloudformation.py; its ARN is not known before the table exists.
@blueprint.on_dynamodb_record(
    stream_arn="arn:aws:dynamodb:::table/chronowatch-executions/stream/0", batch_size=BATCH_SIZE, name="feed"
)
def handle(event: DynamoDBEvent) -> None:
    """Do what follows, then count what changed: a batch that could not be done comes again whole."""
    s, batch = bootstrap.services(), list(_streamed(event.to_dict()["Records"]))
    feed.run(s, [each.placed.written for each in batch])
    if batch:
        _count(s, batch)
    bootstrap.flush()


def _count(s: Services, batch: Sequence[_Streamed]) -> None:
    if not s.config.counts_kept:
        feed_counts.count_into(s, s.process.meter, (each.placed.written for each in batch))
        lags = [s.clock.now_ms() - each.written_ms for each in batch if each.written_ms is not None]
        telemetry.emit(emf.feed_lag(lags), s.clock.now_ms())
        return
    for source in dict.fromkeys(each.source for each in batch):
        same = [each for each in batch if each.source == source]
        feed_counts.count(s, source, [each.placed for each in same], same[-1].written_ms)


def _streamed(records: Iterable[Mapping[str, Any]]) -> Iterator[_Streamed]:
    for record in records:
        change = record["dynamodb"]
        after = _execution(change.get("NewImage"))
        if after is not None:
            written = Written(_execution(change.get("OldImage")), after)
            position = str(change.get("SequenceNumber", "")).rjust(POSITION_DIGITS, "0")
            yield _Streamed(_source(record), Placed(position, written), _written_ms(change))


def _source(record: Mapping[str, Any]) -> str:
    """The shard of the stream, where the reader of the stream names it."""
    return f"{str(record.get('eventSourceARN', '')).rpartition('/')[2]}/{record.get('shardId', '')}"


def _written_ms(change: Mapping[str, Any]) -> int | None:
    """When a change was made, to the second."""
    at = change.get("ApproximateCreationDateTime")
    if at is None:
        return None
    return int((at.timestamp() if isinstance(at, datetime) else float(at)) * 1000)


def _execution(image: Mapping[str, Any] | None) -> Execution | None:
    """The record of an image. An unreadable one must not hold up the stream for a day."""
    if image is None or "doc" not in image:
        return None
    try:
        return decode_execution(execution_key(image["pk"]["S"], image["sk"]["S"]), image["doc"]["S"])
    except (ValueError, msgspec.MsgspecError):
        log.exception("skipped a record of the stream that cannot be read")
        return None
