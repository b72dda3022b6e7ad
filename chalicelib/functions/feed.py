"""``feed``: fed by the stream of the executions table. It does what policies want to follow from what was written. It
also writes metrics, which CloudWatch takes out of the log."""

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
from chalicelib.core.executions.execution import Execution
from chalicelib.workers import feed
from chalicelib.workers.feed import Tally, Written

log = logging.getLogger(__name__)

BATCH_SIZE = 100

blueprint = Blueprint(__name__)


# The real stream comes from infra/cloudformation.py; its ARN is not known before the table exists.
@blueprint.on_dynamodb_record(
    stream_arn="arn:aws:dynamodb:::table/chronowatch-executions/stream/0", batch_size=BATCH_SIZE, name="feed"
)
def handle(event: DynamoDBEvent) -> None:
    """Do what follows, then count what ended: a batch that could not be done comes again whole."""
    batch = list(_written(event.to_dict()["Records"]))
    feed.run(bootstrap.services(), batch)
    telemetry.emit(metrics(feed.tally(w.after for w in batch)), bootstrap.clock().now_ms())


def _written(records: Iterable[Mapping[str, Any]]) -> Iterator[Written]:
    for record in records:
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
