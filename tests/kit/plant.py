"""A whole deployment in virtual time: minute rule, queue and workers over the memory adapter.

Everything runs beside everything else as greenlets of one thread, in order of virtual time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Config, assemble
from chalicelib.ports.stores.executions import ExecutionStore
from chalicelib.ports.work_queue import Incoming
from chalicelib.usecases import executions, schedules
from chalicelib.usecases.executions import ExecutionFilter
from chalicelib.workers import deliver, feed, reconcile, sweep
from chalicelib.workers.feed import Written
from tests.kit.targets import Recorder
from tests.kit.virtual_time import VirtualTime, virtual_machine

CALLER = ANONYMOUS_ADMIN
MINUTE_MS = 60_000


class Streamed:
    """The executions, and the stream of what was written to them."""

    def __init__(self, inner: ExecutionStore) -> None:
        self._inner = inner
        self.written: list[Written] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        answers = self._inner.insert(executions)
        self.written += [Written(None, e) for e, won in zip(executions, answers, strict=True) if won]
        return answers

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        before = self._inner.get([e.key for e, _ in writes])
        answers = self._inner.update(writes)
        self.written += [Written(before.get(e.key), e) for (e, _), won in zip(writes, answers, strict=True) if won]
        return answers


class Plant:
    """``run_until`` lets time pass; ``stop``ped workers leave the minute rule and the queue alone.

    ``feed_every_ms`` is how often the stream is read, as AWS or scripts/dev would; None: never.
    """

    def __init__(self, now_ms: int, **config: Any) -> None:
        self.clock = VirtualTime(now_ms)
        self.queue = MemoryQueue(self.clock.now_ms)
        self.bus, self.hook = Recorder(self.clock), Recorder(self.clock, max_batch=1)
        stores = open_stores()
        self.stream = Streamed(stores.executions)
        self.feed_every_ms: int | None = 2_000
        self._fed_ms = now_ms
        self.services = assemble(
            Config(shards=2, webhook_allow=("127.0.0.1",), **config),
            virtual_machine(self.clock),
            replace(stores, executions=self.stream),
            self.queue,
            {"eventbridge": self.bus, "webhook": self.hook},
        )
        self._minute_ms = now_ms

    def reconfigure(self, **config: Any) -> None:
        """As if the workers and the API had been started anew with another configuration."""
        self.services = replace(self.services, config=replace(self.services.config, **config))

    def create(self, **fields: Any) -> str:
        return schedules.create(
            self.services, CALLER, ScheduleRequest(**fields), self.services.ids.ulid(self.clock.now_ms())
        ).definition.id

    def get(self, schedule_id: str) -> Schedule:
        return schedules.get(self.services, CALLER, schedule_id)

    def executions(self, schedule_id: str) -> list[Execution]:
        found, _ = executions.page(self.services, CALLER, ExecutionFilter(schedule_id=schedule_id), 1000, None)
        return found[::-1]

    def skip(self, until_ms: int) -> None:
        """Time passes while no worker runs; what one had begun goes on."""
        self.clock.sleep_until(until_ms)
        self._minute_ms = max(self._minute_ms, until_ms)

    def run_until(self, until_ms: int) -> None:
        """Time passes and the workers work."""
        while self.clock.now_ms() < until_ms:
            self.clock.sleep_until(min(self._next_event(), until_ms))
            if self.clock.now_ms() >= self._minute_ms:
                self._minute_ms += MINUTE_MS
                self.clock.start(lambda: sweep.run(self.services))
                self.clock.start(lambda: reconcile.run(self.services))
            self._receive()
            self._feed()

    def _feed(self) -> None:
        """Give the feed what was written, again and again until it could do all of it."""
        if self.feed_every_ms is None or self.clock.now_ms() < self._fed_ms + self.feed_every_ms:
            return
        self._fed_ms = self.clock.now_ms()
        batch = self.stream.written[:100]
        try:
            feed.run(self.services, batch)
        except Unavailable:
            return
        del self.stream.written[: len(batch)]

    def _receive(self) -> None:
        while batch := self.queue.receive():
            self.clock.start(lambda batch=batch: self._handle(batch))
        self.clock.sleep_until(self.clock.now_ms())

    def _handle(self, batch: Sequence[Incoming]) -> None:
        again = deliver.run(self.services, batch)
        for incoming in batch:
            if incoming.receipt not in again:
                self.queue.delete(incoming.receipt)

    def _next_event(self) -> int:
        """When something is due: the rule, a message, the stream, or somebody who sleeps and may queue one."""
        fed_ms = None if self.feed_every_ms is None else self._fed_ms + self.feed_every_ms
        known = (self._minute_ms, self.queue.next_visible_ms(), fed_ms, self.clock.next_due_ms())
        return min(at_ms for at_ms in known if at_ms is not None)
