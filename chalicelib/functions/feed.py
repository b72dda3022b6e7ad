"""``feed``: fed by the stream of the executions table; writes metrics, which CloudWatch takes out of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chalice.app import Blueprint, DynamoDBEvent

from chalicelib import bootstrap
from chalicelib.adapters import telemetry
from chalicelib.adapters.dynamodb_documents import decode_execution, execution_key
from chalicelib.adapters.telemetry import Metric
from chalicelib.core.execution import Execution
from chalicelib.workers.feed import Tally, tally

BATCH_SIZE = 100

blueprint = Blueprint(__name__)


# The real stream comes from infra/cloudformation.py; its ARN is not known before the table exists.
@blueprint.on_dynamodb_record(
    stream_arn="arn:aws:dynamodb:::table/chronowatch-executions/stream/0", batch_size=BATCH_SIZE, name="feed"
)
def handle(event: DynamoDBEvent) -> None:
    """Count what ended."""
    found = metrics(tally(_executions(event.to_dict()["Records"])))
    telemetry.emit(found, bootstrap.clock().now_ms())


def _executions(records: Iterable[Mapping[str, Any]]) -> Iterator[Execution]:
    for record in records:
        image = record["dynamodb"].get("NewImage")
        if image is not None and "doc" in image:
            yield decode_execution(execution_key(image["pk"]["S"], image["sk"]["S"]), image["doc"]["S"])


def metrics(counted: Tally) -> list[Metric]:
    """The metrics of the contract, section 11, as far as ends of executions tell them; nothing for nothing."""
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
