"""``workflow``: fed by the queue of hints for runs of workflows."""

from __future__ import annotations

from chalice.app import Blueprint, SQSEvent

from chalicelib import bootstrap
from chalicelib.adapters.aws.work_queue import parse_event
from chalicelib.workers import workflow

BATCH_SIZE = 10

blueprint = Blueprint(__name__)


# The real queue and ReportBatchItemFailures come from infra/cloudformation.py.
@blueprint.on_sqs_message(queue="chronowatch-steps", batch_size=BATCH_SIZE, name="workflow")
def handle(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """Take steps; answers with the messages that the queue must deliver again."""
    again = workflow.run(bootstrap.services(), parse_event(event.to_dict()))
    bootstrap.flush()
    return {"batchItemFailures": [{"itemIdentifier": receipt} for receipt in again]}
