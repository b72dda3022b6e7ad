"""A deployment in virtual time, over the emulator and a proxy that counts: an hourly schedule's day takes seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.counting_proxy import CountingProxy
from bench.firing import now_ms
from bench.product import free_ports
from chalicelib.adapters.memory.machine import ManualClock, ManualTasks, MemoryQueue
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Outgoing, WorkQueue

MINUTE_MS = 60_000
BATCH_MAX = 10  # messages of one receive, one invocation and one delete


class CountedQueue(MemoryQueue):
    """Delivers in virtual time, and passes sends on to the real queue, whose calls are counted."""

    def __init__(self, real: WorkQueue, clock: ManualClock) -> None:
        super().__init__(clock.now_ms)
        self._real = real

    def send(self, messages: Sequence[Outgoing]) -> None:
        """As the port says."""
        self._real.send(messages)
        super().send(messages)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """As the port says."""
        self._real.send_dead(execution_id, event, reason)


@dataclass(slots=True)
class World:
    """One deployment in virtual time."""

    services: Services
    clock: ManualClock
    queue: CountedQueue
    proxy: CountingProxy
    forget: Callable[[], None]  # drop the executions so far, which would only make the counting slow
    direct: Services  # past the proxy, which reads a table after every write: for what is timed
    endpoint: str  # of the emulator

    def run_until(self, end_ms: int) -> None:
        """Let the minute rule and the queue call the workers until then."""
        from chalicelib.workers import reconcile, sweep

        next_minute_ms = next_minute(self.clock.now_ms())
        while True:
            visible_ms = self.queue.next_visible_ms()
            if visible_ms is not None and visible_ms <= min(next_minute_ms, end_ms):
                self.clock.sleep_until(visible_ms)
                self._deliver()
            elif next_minute_ms <= end_ms:
                self.clock.sleep_until(next_minute_ms)
                self._work("sweep", sweep.run)
                self._work("reconcile", reconcile.run)
                next_minute_ms += MINUTE_MS
            else:
                self.clock.sleep_until(end_ms)
                return

    def _work(self, phase: str, run: Callable[[Services], None]) -> None:
        self.proxy.phase = phase
        run(self.services)

    def _deliver(self) -> None:
        from chalicelib.workers import deliver

        batch = self.queue.receive(BATCH_MAX)
        self.proxy.phase = "deliver"
        self.proxy.count("ReceiveMessage", "by Lambda")
        begun_ms = self.clock.now_ms()
        again = set(deliver.run(self.services, batch))
        self.proxy.waited(self.clock.now_ms() - begun_ms)
        for incoming in batch:
            if incoming.receipt not in again:
                self.queue.delete(incoming.receipt)
        if len(again) < len(batch):
            self.proxy.count("DeleteMessageBatch", "by Lambda")

    def create(self, fields: Mapping[str, Any]) -> str:
        """Make a schedule; its id."""
        from chalicelib.usecases import schedules

        self.proxy.phase = "create"
        schedule_id = self.services.ids.ulid(self.clock.now_ms())
        wanted = ScheduleRequest(**{"payload": '{"hello":"world"}', **fields})
        schedules.create(self.services, ANONYMOUS_ADMIN, wanted, schedule_id)
        return schedule_id

    def delete(self, schedule_id: str) -> None:
        """Take it away again, so that the next kind is alone."""
        from chalicelib.usecases import schedules

        self.proxy.phase = "delete"
        schedules.delete(self.services, ANONYMOUS_ADMIN, schedule_id, None)


def next_minute(unix_ms: int) -> int:
    """The first full minute after an instant."""
    return unix_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS


@contextmanager
def deployment() -> Iterator[World]:
    """An emulator of its own, the proxy before it, and the product's services over both."""
    import boto3

    from chalicelib import bootstrap, settings
    from infra import create, state
    from localdev.emulator import Emulator

    with tempfile.TemporaryDirectory(prefix="chronowatch-bench-") as directory:
        data = Path(directory)
        for name in ("run", "log"):
            (data / name).mkdir()
        port = free_ports(1)[0]
        emulator = Emulator(data, port)
        emulator.start(_environment())
        try:
            emulator.wait_ready()
            # No streams of ticks: what they cost is theirs, whatever fires beside them.
            chosen = settings.load({"CHRONO_WEBHOOK_ALLOW": "127.0.0.1", "LOG_LEVEL": "WARNING", "CHRONO_TICKS": ""})
            resources = state.state(chosen.stage, chosen.event_bus)
            keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": chosen.region}
            dynamodb, sqs, events = (
                boto3.client(name, endpoint_url=emulator.endpoint, **keys) for name in ("dynamodb", "sqs", "events")
            )
            create.create_all(dynamodb, sqs, events, resources)
            with CountingProxy(port, resources, _scanner(dynamodb)) as proxy:
                services = bootstrap.build(chosen._replace(endpoint_url=proxy.endpoint))
                clock = ManualClock(now_ms())
                queue = CountedQueue(services.queue, clock)
                # On Lambda, where calls and units are paid for, no limit of capacity is set by default.
                config = replace(services.config, job_limit=None, memory_limit_bytes=None)
                virtual = replace(services, config=config, clock=clock, tasks=ManualTasks(clock), queue=queue)
                executions = resources.table("executions")

                def forget() -> None:
                    proxy.forget(executions, lambda key: dynamodb.delete_item(TableName=executions.name, Key=key))

                direct = bootstrap.build(chosen._replace(endpoint_url=emulator.endpoint))
                yield World(virtual, clock, queue, proxy, forget, direct, emulator.endpoint)
        finally:
            emulator.stop()


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def _scanner(client: Any) -> Callable[[Any], dict[tuple[str, str], Any]]:
    def scan(table: Any) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {}
        for page in client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True):
            found |= {(item["pk"]["S"], item["sk"]["S"]): item for item in page["Items"]}
        return found

    return scan
