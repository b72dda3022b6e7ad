"""The worker of ``scripts/dev``: a node with shards of its own, and the event sources that AWS would run."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from localdev.invocations import Handler
from localdev.processes import OWN_EMULATOR, run_child

if TYPE_CHECKING:
    from chalicelib.settings import Settings

VISIBILITY_AFTER_LEAD_S = 4  # a message comes up to a second before its lead, and again after a lease of its firing
STEP_VISIBILITY_S = 60  # a hint that comes again finds its step claimed, and does nothing
# A thread that has a firing to send waits at most so long for each that is busy with a batch: a fifth of Python's own.
SWITCH_S = 0.001
QUIET_MS = 150  # a full collection of garbage comes when nothing is due for so long
DRAIN_S = 8.5  # how long a stop waits for deliveries under way, unless the variable of this name says otherwise

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Feeds a queue to a function."""

    def start(self) -> None: ...

    def drain(self, until: float, leave: Callable[[], bool] = ...) -> int: ...


class Stream(Protocol):
    """Feeds what was written to a function."""

    def start(self) -> None: ...

    def wake(self) -> None: ...


class Handlers(NamedTuple):
    """The functions that are fed."""

    deliver: Handler
    workflow: Handler
    feed: Handler


class Sources(NamedTuple):
    """What feeds them: the streams, the queue of firings, that of steps, and what else is done each minute."""

    streams: list[Stream]
    firings: Source
    steps: Source
    keep_house: Callable[[], None] = lambda: None


def prepare(on_terminal: bool = True) -> Callable[[threading.Event], None]:
    """Load the functions; what is returned feeds them."""
    from chalicelib import bootstrap
    from chalicelib.adapters.aws import telemetry
    from chalicelib.core import queue_messages
    from chalicelib.engine import pipeline
    from chalicelib.engine.shards import SWEEP
    from chalicelib.functions import deliver, feed, workflow
    from chalicelib.functions.reconcile import audit_minute, workflow_minute
    from chalicelib.ports.services import Services
    from chalicelib.workers import reconcile, sweep
    from localdev import garbage, listen, publisher, tables
    from localdev.server import warn_on_terminal
    from localdev.shard_rules import ShardRules

    chosen = bootstrap.settings()
    telemetry.configure_logging(chosen.log_level)
    if on_terminal:
        warn_on_terminal()
    sources_of = aws_sources if chosen.db_dsn is None else postgres_sources

    def run(stopping: threading.Event) -> None:
        works = {SWEEP: sweep.run_shards, reconcile.WORK: reconcile.run_shards}

        def each_minute(s: Services) -> None:
            if rules.owns(SWEEP, 0):
                sources.keep_house()
            sweep.prepare(s)
            audit_minute(s)
            workflow_minute(s)

        def deliver_and_wake(event: dict[str, Any], context: Any) -> Any:
            if all(queue_messages.is_of_ticks(record["body"]) for record in event["Records"]):
                return deliver.handle(event, context)  # nothing comes of them that a stream would bring
            for stream in sources.streams:
                stream.wake()  # what fires in some seconds is written then, long before the last of the batch
            try:
                return deliver.handle(event, context)
            finally:
                for stream in sources.streams:
                    stream.wake()

        def feed_and_look(event: dict[str, Any], context: Any) -> Any:
            listener.look()
            return feed.handle(event, context)

        tables.bring_up_to_date(chosen)
        listener = listen.ListenerProcess()
        rules = ShardRules(bootstrap.services, works, each_minute, stopping)
        handlers = Handlers(deliver_and_wake, workflow.handle, feed_and_look)
        sources = sources_of(chosen, handlers, lambda: rules.owns(SWEEP, 0), stopping)
        rules.start()
        for stream in sources.streams:
            stream.start()
        sources.firings.start()
        sources.steps.start()
        publisher.start(bootstrap.services, stopping)
        listening = listen.start(listener, stopping) if chosen.listening.listens else None
        sys.setswitchinterval(SWITCH_S)
        room = bootstrap.services().process.waiting_room
        garbage.keep(stopping, lambda: room.is_quiet(bootstrap.clock().now_ms() + QUIET_MS))
        stopping.wait()
        rules.leave()
        drain_s = float(os.environ.get("DRAIN_S", DRAIN_S))
        until = time.monotonic() + drain_s
        left = sources.firings.drain(until, lambda: pipeline.leave(bootstrap.services()))
        left += sources.steps.drain(until)
        if listening is not None:
            listen.wait(listener, listening, until)
        publisher.publish(bootstrap.services())
        bootstrap.services().tracer.flush()
        if left:
            _log.info("stopped with %d messages under way; they will come again", left)

    return run


def aws_sources(
    chosen: Settings, handlers: Handlers, _is_ours: Callable[[], bool], stopping: threading.Event
) -> Sources:
    """Streams of DynamoDB and queues of SQS, on AWS or an emulator of it."""
    from chalicelib import bootstrap
    from chalicelib.adapters.aws.clients import READ_TIMEOUT_S, Clients, allow_break_off
    from chalicelib.adapters.dynamodb import stream_records
    from chalicelib.engine.dispatch import admission
    from infra import state
    from localdev.sqs_source import HELD_POLL_S, SqsSource, WaitingCalls
    from localdev.stream_source import HOLD_S, StreamSource, hold_reads

    resources = state.state(chosen.stage, chosen.event_bus)
    clients = Clients(chosen.region, chosen.endpoint_url)
    reading = clients.get("dynamodbstreams", HOLD_S + READ_TIMEOUT_S)
    if chosen.endpoint_url is not None:
        hold_reads(reading, {f"-{stream_records.REGISTRY}": stream_records.LEASES_SUFFIX})

    def find_stream(table: str) -> str:
        described = clients.get("dynamodb").describe_table(TableName=table)
        return str(described["Table"]["LatestStreamArn"])

    streams: list[Stream] = [
        StreamSource(
            reading,
            partial(find_stream, table.name),
            handlers.feed,
            stopping,
            stream_records.is_news if table.logical == stream_records.REGISTRY else lambda _: True,
            lambda: admission.give_way(bootstrap.services()),
        )
        for table in resources.tables
        if table.stream
    ]
    sqs, waiting = clients.get("sqs"), None
    if os.environ.get(OWN_EMULATOR):
        held = clients.get("sqs", HELD_POLL_S + READ_TIMEOUT_S)
        waiting = WaitingCalls(held, allow_break_off(held))

    def source(logical: str, name: str, handler: Handler, timeout_s: float, hidden_s: int) -> SqsSource:
        queue = resources.queue(logical)
        return SqsSource(
            sqs,
            sqs.get_queue_url(QueueName=queue.name)["QueueUrl"],
            f"arn:aws:sqs:{chosen.region}:000000000000:{queue.name}",
            handler,
            timeout_s=timeout_s,
            visibility_s=hidden_s,
            region=chosen.region,
            stopping=stopping,
            name=name,
            waiting=waiting,
        )

    firings = source("work", "deliver", handlers.deliver, state.DELIVER_TIMEOUT_S, visibility_s(chosen))
    steps = source("steps", "workflow", handlers.workflow, state.WORKFLOW_TIMEOUT_S, STEP_VISIBILITY_S)
    return Sources(streams, firings, steps)


def postgres_sources(
    chosen: Settings, handlers: Handlers, is_ours: Callable[[], bool], stopping: threading.Event
) -> Sources:
    """What PostgreSQL has in their place. ``is_ours``: whether this process feeds what was written."""
    from chalicelib import bootstrap
    from chalicelib.adapters.postgres import housekeeping, work_queue
    from chalicelib.adapters.postgres.database import Place, PostgresDatabase
    from chalicelib.engine.dispatch import admission
    from infra import state
    from localdev.postgres_source import PostgresSource, Wakes, WrittenSource

    place = Place.of_stage(chosen.db_dsn or "", chosen.stage)
    database = PostgresDatabase(place)
    wakes = Wakes(place, stopping)

    def source(queue: str, name: str, handler: Handler, timeout_s: float, hidden_s: int) -> PostgresSource:
        return PostgresSource(
            work_queue.PostgresQueue(database, queue),
            wakes.event(queue),
            handler,
            timeout_s=timeout_s,
            visibility_s=hidden_s,
            stopping=stopping,
            name=name,
        )

    def keep_house() -> None:
        housekeeping.keep_house(database, time.time_ns() // 1_000_000, chosen.retention_ms // 1000)

    firings = source(work_queue.WORK, "deliver", handlers.deliver, state.DELIVER_TIMEOUT_S, visibility_s(chosen))
    steps = source(work_queue.STEPS, "workflow", handlers.workflow, state.WORKFLOW_TIMEOUT_S, STEP_VISIBILITY_S)
    written = WrittenSource(
        database,
        wakes.event("written"),
        handlers.feed,
        is_ours,
        stopping,
        lambda: admission.give_way(bootstrap.services()),
    )
    wakes.start()
    return Sources([written], firings, steps, keep_house)


def visibility_s(chosen: Settings) -> int:
    """How long a firing's message is hidden from others: a process that died gives it back after that."""
    return VISIBILITY_AFTER_LEAD_S - (-chosen.deliver_lead_ms // 1000)


if __name__ == "__main__":
    run_child(prepare)
