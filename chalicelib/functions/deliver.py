"""``deliver``: fed by the queue of firings."""

from __future__ import annotations

from chalice.app import Blueprint, SQSEvent

from chalicelib import bootstrap
from chalicelib.adapters.aws.work_queue import parse_event
from chalicelib.workers import deliver

BATCH_SIZE = 10  # without a batching window, which would eat the run-up that a firing has before its instant

blueprint = Blueprint(__name__)


# The real queue and ReportBatchItemFailures, which Chalice has no words for, come from infra/cloudformation.py.
@blueprint.on_sqs_message(queue="chronowatch-firings", batch_size=BATCH_SIZE, name="deliver")
def handle(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """Deliver a batch; answers with the messages that the queue must deliver again."""
    again = deliver.run(bootstrap.services(), parse_event(event.to_dict()))
    bootstrap.flush()
    return {"batchItemFailures": [{"itemIdentifier": receipt} for receipt in again]}
