"""The worker of ``scripts/dev``: a node with shards of its own, and the event sources that AWS would run."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from localdev.processes import run_child

VISIBILITY_AFTER_LEAD_S = 4  # a message comes up to a second before its lead, and again after a lease of its firing
STEP_VISIBILITY_S = 60  # a hint that comes again finds its step claimed, and does nothing
DRAIN_S = 8.5  # how long a stop waits for deliveries under way, unless the variable of this name says otherwise

_log = logging.getLogger(__name__)


def prepare(on_terminal: bool = True) -> Callable[[threading.Event], None]:
    """Load the functions; what is returned feeds them."""
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.adapters.aws.clients import Clients
    from chalicelib.adapters.dynamodb import stream_records
    from chalicelib.core import queue_messages
    from chalicelib.engine import pipeline
    from chalicelib.engine.dispatch import admission
    from chalicelib.engine.shards import SWEEP
    from chalicelib.functions import deliver, feed, workflow
    from chalicelib.functions.reconcile import audit_minute, workflow_minute
    from chalicelib.ports.services import Services
    from chalicelib.workers import reconcile, sweep
    from infra import state
    from localdev import publisher
    from localdev.server import warn_on_terminal
    from localdev.shard_rules import ShardRules
    from localdev.sqs_source import SqsSource
    from localdev.stream_source import StreamSource

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    if on_terminal:
        warn_on_terminal()
    resources = state.state(chosen.stage, chosen.event_bus)
    clients = Clients(chosen.region, chosen.endpoint_url)

    def find_stream(table: str) -> str:
        described = clients.get("dynamodb").describe_table(TableName=table)
        return str(described["Table"]["LatestStreamArn"])

    def run(stopping: threading.Event) -> None:
        works = {SWEEP: sweep.run_shard, reconcile.WORK: reconcile.run_shard}

        def each_minute(s: Services) -> None:
            sweep.prepare(s)
            audit_minute(s)
            workflow_minute(s)

        rules = ShardRules(bootstrap.services, works, each_minute, stopping)
        rules.start()
        streams = [
            StreamSource(
                clients.get("dynamodbstreams"),
                partial(find_stream, table.name),
                feed.handle,
                stopping,
                stream_records.is_news if table.logical == stream_records.REGISTRY else lambda _: True,
                lambda: admission.give_way(bootstrap.services()),
            )
            for table in resources.tables
            if table.stream
        ]
        for stream in streams:
            stream.start()

        def deliver_and_wake(event: dict[str, Any], context: Any) -> Any:
            if all(queue_messages.is_of_ticks(record["body"]) for record in event["Records"]):
                return deliver.handle(event, context)  # nothing comes of them that a stream would bring
            for stream in streams:
                stream.wake()  # what fires in some seconds is written then, long before the last of the batch
            try:
                return deliver.handle(event, context)
            finally:
                for stream in streams:
                    stream.wake()

        sqs = clients.get("sqs")
        queue = resources.queue("work")
        source = SqsSource(
            sqs,
            sqs.get_queue_url(QueueName=queue.name)["QueueUrl"],
            f"arn:aws:sqs:{chosen.region}:000000000000:{queue.name}",
            deliver_and_wake,
            timeout_s=state.DELIVER_TIMEOUT_S,
            visibility_s=VISIBILITY_AFTER_LEAD_S - (-chosen.deliver_lead_ms // 1000),
            region=chosen.region,
            stopping=stopping,
        )
        source.start()
        steps = resources.queue("steps")
        step_source = SqsSource(
            sqs,
            sqs.get_queue_url(QueueName=steps.name)["QueueUrl"],
            f"arn:aws:sqs:{chosen.region}:000000000000:{steps.name}",
            workflow.handle,
            timeout_s=state.WORKFLOW_TIMEOUT_S,
            visibility_s=STEP_VISIBILITY_S,
            region=chosen.region,
            stopping=stopping,
            name="workflow",
        )
        step_source.start()
        publisher.start(bootstrap.services, stopping)
        stopping.wait()
        rules.leave()
        drain_s = float(os.environ.get("DRAIN_S", DRAIN_S))
        until = time.monotonic() + drain_s
        left = source.drain(until, lambda: pipeline.leave(bootstrap.services())) + step_source.drain(until)
        publisher.publish(bootstrap.services())
        bootstrap.services().tracer.flush()
        if left:
            _log.info("stopped with %d messages under way; they will come again", left)

    return run


if __name__ == "__main__":
    run_child(prepare)
