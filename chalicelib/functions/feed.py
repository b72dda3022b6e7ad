"""``feed``: fed by the streams of the tables. It appends what changed to the change feed, and does what policies want
to follow from what was written to executions. It also writes metrics, which CloudWatch takes out of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from chalice.app import Blueprint, DynamoDBEvent

from chalicelib import bootstrap
from chalicelib.adapters.aws import telemetry
from chalicelib.adapters.aws.telemetry import Metric
from chalicelib.adapters.dynamodb.documents import decode_execution, execution_key
from chalicelib.core.errors import SettingsError
from chalicelib.core.executions.execution import Execution
from chalicelib.workers import feed
from chalicelib.workers.feed import Tally, Written

log = logging.getLogger(__name__)

BATCH_SIZE = 100
ONLY_SHARD = "only"

blueprint = Blueprint(__name__)


# The real stream comes from infra/cloudformation.py; its ARN is not known before the table exists.
@blueprint.on_dynamodb_record(
    stream_arn="arn:aws:dynamodb:::table/chronowatch-executions/stream/0", batch_size=BATCH_SIZE, name="feed"
)
def handle(event: DynamoDBEvent) -> dict[str, Any]:
    """Append to the change feed, do what follows, then count what ended. A batch that could not be done comes again
    whole. The answer is the state of a window that means nothing here: see ``infra.cloudformation``."""
    given = event.to_dict()
    _record_changes(given)
    batch = list(_written(given["Records"]))
    if batch:
        feed.run(bootstrap.services(), batch)
        telemetry.emit(metrics(feed.tally(w.after for w in batch)), bootstrap.clock().now_ms())
    return {"state": {}}


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


def _written(records: Iterable[Mapping[str, Any]]) -> Iterator[Written]:
    for record in records:
        if not str(record.get("eventSourceARN", "")).rpartition("/stream/")[0].endswith("-executions"):
            continue
        after = _execution(record["dynamodb"].get("NewImage"))
        if after is not None:
            yield Written(_execution(record["dynamodb"].get("OldImage")), after)


def _execution(image: Mapping[str, Any] | None) -> Execution | None:
    """The record of an image. An unreadable one must not hold up the stream for a day."""
    if image is None or "doc" not in image:
        return None
    try:
        return decode_execution(execution_key(image["pk"]["S"], image["sk"]["S"]), image["doc"]["S"])
    except (ValueError, msgspec.MsgspecError):
        log.exception("skipped a record of the stream that cannot be read")
        return None


def metrics(counted: Tally) -> list[Metric]:
    """The metrics that follow from the ends of executions: docs/running.md. One without a value is left out."""
    found = [
        Metric("chronowatch_executions_total", "Count", [number], {"state": state})
        for state, number in counted.ended.items()
    ]
    if counted.lateness_ms:
        found.append(Metric("chronowatch_firing_lateness_ms", "Milliseconds", counted.lateness_ms))
    if counted.late:
        found.append(Metric("chronowatch_firings_late_total", "Count", [counted.late]))
    if counted.dead_letters:
        found.append(Metric("chronowatch_dead_letter_total", "Count", [counted.dead_letters]))
    return found
