"""``feed``: fed by the streams of the tables. It appends what changed to the change feed, and does what policies want
to follow from what was written to executions. It also counts: for ``/metrics``, or on Lambda in its log, out of which
CloudWatch takes it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from chalice.app import Blueprint, DynamoDBEvent

from chalicelib import bootstrap
from chalicelib.adapters.aws import emf, telemetry
from chalicelib.adapters.dynamodb.documents import RESTORED, decode_execution, execution_key
from chalicelib.core.errors import SettingsError
from chalicelib.core.executions.execution import Execution
from chalicelib.ports.services import Services
from chalicelib.workers import feed, feed_counts
from chalicelib.workers.feed import Written
from chalicelib.workers.feed_counts import CountedWrite

log = logging.getLogger(__name__)

BATCH_SIZE = 100
POSITION_DIGITS = 40  # as long as DynamoDB's sequence numbers get
ONLY_SHARD = "only"

blueprint = Blueprint(__name__)


class _Streamed(NamedTuple):
    """A write, the shard of the stream that it came by, and when it was made, if that is known."""

    source: str
    placed: CountedWrite
    written_ms: int | None


# The real stream comes from infra/cloudformation.py; its ARN is not known before the table exists.
@blueprint.on_dynamodb_record(
    stream_arn="arn:aws:dynamodb:::table/chronowatch-executions/stream/0", batch_size=BATCH_SIZE, name="feed"
)
def handle(event: DynamoDBEvent) -> dict[str, Any]:
    """Append to the change feed, do what follows, then count what ended. A batch that could not be done comes again
    whole. The answer is the state of a window that means nothing here: see ``infra.cloudformation``."""
    given = event.to_dict()
    given = {**given, "Records": [record for record in given["Records"] if not _is_restored(record)]}
    _record_changes(given)
    batch = list(_streamed(given["Records"], str(given.get("shardId", ""))))
    if batch:
        s = bootstrap.services()
        feed.run(s, [each.placed.written for each in batch])
        _count(s, batch)
    bootstrap.flush()
    return {"state": {}}


def _is_restored(record: Mapping[str, Any]) -> bool:
    """Whether a write only brought back what subscribers heard of before the backup."""
    change = record["dynamodb"]
    return "OldImage" not in change and RESTORED in (change.get("NewImage") or {})


def _record_changes(given: Mapping[str, Any]) -> None:
    # What fires shares this module's application, and need not load what changes are.
    from chalicelib.adapters.dynamodb import stream_records
    from chalicelib.workers import changes

    records = given["Records"]
    if not records:
        return
    s = bootstrap.services()
    schedules = stream_records.ScheduleReader(s.stores.schedules.states, s.stores.schedules.definitions)
    arrived = stream_records.arrived(records, s.sealing, schedules)
    if arrived:
        changes.record(s, stream_records.shard_name(records[0]["eventSourceARN"], _shard_of(given)), arrived)


def _shard_of(given: Mapping[str, Any]) -> str:
    """The shard that a batch comes from. An emulator's streams have one shard, and it does not name it. Raises
    SettingsError on AWS, where an event source without a window does not either."""
    named = given.get("shardId")
    if named:
        return str(named)
    if bootstrap.settings().endpoint_url is None:
        raise SettingsError(
            "TumblingWindowInSeconds", "is not set on the event source: batches do not name their shard"
        )
    return ONLY_SHARD


def _count(s: Services, batch: Sequence[_Streamed]) -> None:
    if not s.config.counts_kept:
        feed_counts.count_into(s, s.process.meter, (each.placed.written for each in batch))
        lags = [s.clock.now_ms() - each.written_ms for each in batch if each.written_ms is not None]
        telemetry.emit(emf.feed_lag(lags), s.clock.now_ms())
        return
    for source in dict.fromkeys(each.source for each in batch):
        same = [each for each in batch if each.source == source]
        feed_counts.count(s, source, [each.placed for each in same], same[-1].written_ms)


def _streamed(records: Iterable[Mapping[str, Any]], shard: str = "") -> Iterator[_Streamed]:
    for record in records:
        if not str(record.get("eventSourceARN", "")).rpartition("/stream/")[0].endswith("-executions"):
            continue
        change = record["dynamodb"]
        after = _execution(change.get("NewImage"))
        if after is not None:
            written = Written(_execution(change.get("OldImage")), after)
            position = str(change.get("SequenceNumber", "")).rjust(POSITION_DIGITS, "0")
            yield _Streamed(_source(record, shard), CountedWrite(position, written), _written_ms(change))


def _source(record: Mapping[str, Any], shard: str) -> str:
    """The shard of the stream, where the reader of the stream names it."""
    return f"{str(record.get('eventSourceARN', '')).rpartition('/')[2]}/{shard}"


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
