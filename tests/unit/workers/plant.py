"""A whole deployment in virtual time: minute rule, queue and workers over the memory adapter.

Everything runs beside everything else as greenlets of one thread, in order of virtual time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from greenlet import getcurrent, greenlet
from msgspec.structs import replace

from chalicelib.adapters.machine.signals import ThreadSignals
from chalicelib.adapters.memory.machine import CountingIds, ManualClock, MemoryQueue
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.targets import cloudevent
from chalicelib.ports.services import Config, Machine, assemble
from chalicelib.ports.stores.executions import ExecutionStore
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.work_queue import Incoming
from chalicelib.usecases import executions, schedules
from chalicelib.usecases.executions import ExecutionFilter
from chalicelib.workers import deliver, feed, reconcile, sweep
from chalicelib.workers.feed import Written

CALLER = ANONYMOUS_ADMIN
MINUTE_MS = 60_000
STEP_MS = 100  # how often the queue is looked at for what was queued meanwhile


class VirtualTime(ManualClock):
    """A clock that moves to the next thing that is due, and the tasks that wait for it."""

    def __init__(self, now_ms: int) -> None:
        super().__init__(now_ms)
        self._hub = getcurrent()
        self._due: list[tuple[int, int, greenlet]] = []
        self._number = itertools.count()

    def sleep_until(self, unix_ms: int) -> None:
        if getcurrent() is self._hub:
            self._run_hub(unix_ms)
        elif unix_ms > self._now_ms:
            self._put(unix_ms, getcurrent())
            self._hub.switch()

    def let_others_run(self) -> None:
        """Go on after all that is due at this very millisecond."""
        if getcurrent() is not self._hub:
            self._put(self._now_ms, getcurrent())
            self._hub.switch()

    def _put(self, due_ms: int, sleeper: greenlet) -> None:
        heapq.heappush(self._due, (due_ms, next(self._number), sleeper))

    def _run_hub(self, until_ms: int) -> None:
        while self._due and self._due[0][0] <= until_ms:
            due_ms, _, sleeper = heapq.heappop(self._due)
            self._now_ms = max(self._now_ms, due_ms)
            sleeper.switch()
        self._now_ms = max(self._now_ms, until_ms)

    def at(self, unix_ms: int, job: Callable[[], object]) -> Job:
        started = Job(self)
        self._put(max(unix_ms, self._now_ms), greenlet(lambda: started.run(job), parent=self._hub))
        return started

    def start(self, job: Callable[[], object]) -> Job:
        return self.at(self._now_ms, job)

    def hold(self, job: Callable[[], object]) -> HeldJob:
        return HeldJob(self, job)


class Job:
    """The handle of a task."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._done = False
        self._error: Exception | None = None

    def run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            self._error = error
        self._done = True

    def wait(self, until_ms: int | None = None) -> bool:
        self._time.let_others_run()
        while not self._done and (until_ms is None or self._time.now_ms() < until_ms):
            self._time.sleep_until(self._time.now_ms() + 1)
        if self._error is not None:
            raise self._error
        return self._done


class HeldJob(Job):
    """The handle of a task that has yet to begin."""

    def __init__(self, time: VirtualTime, job: Callable[[], object]) -> None:
        super().__init__(time)
        self._job = job

    def go(self) -> None:
        self._time.start(lambda: self.run(self._job))


COMPLETED = Outcome("completed", http_status=200)


class Recorder:
    """A target that remembers what it was sent, and answers as it is told."""

    def __init__(self, clock: VirtualTime, max_batch: int = 10) -> None:
        self.max_batch = max_batch
        self.sent: list[tuple[int, Delivery]] = []
        self.answer: Callable[[Delivery], Outcome] = lambda _: Outcome("completed")
        self.cancelled: list[str] = []
        self._clock = clock

    def prepare(self, delivery: Delivery) -> None:
        """Nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        self.sent += [(self._clock.now_ms(), d) for d in deliveries]
        for d in deliveries:
            d.sent()
        return [self.answer(d) for d in deliveries]

    def cancel(self, execution_id: str) -> bool:
        self.cancelled.append(execution_id)
        return True

    def slowly(self, ms: int, outcome: Outcome = COMPLETED) -> Callable[[Delivery], Outcome]:
        """An answer that takes ``ms``, unless the delivery is broken off before."""

        def answer(delivery: Delivery) -> Outcome:
            until_ms = self._clock.now_ms() + ms
            while self._clock.now_ms() < until_ms:
                if delivery.execution_id in self.cancelled:
                    return Outcome("failed", error_type="connection_error", permanent=True, closed=True)
                self._clock.sleep_until(min(until_ms, self._clock.now_ms() + 20))
            return outcome

        return answer

    def instants(self, schedule_id: str) -> list[int]:
        return [d.firing_unix_ms for _, d in self.firings(schedule_id)]

    def firings(self, schedule_id: str) -> list[tuple[int, Delivery]]:
        """What was sent of one schedule, without what policies tell of it."""
        return [(at, d) for at, d in self.sent if d.schedule_id == schedule_id and d.event_type == cloudevent.TYPE]


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
        self.written += [Written(before[e.key], e) for (e, _), won in zip(writes, answers, strict=True) if won]
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
        clock = self.clock
        machine = Machine(clock, CountingIds(clock), tasks=clock, signals=ThreadSignals(clock.now_ms))
        self.services = assemble(
            Config(shards=2, webhook_allow=("127.0.0.1",), **config),
            machine,
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
            self.clock.sleep_until(min(self._next_event(), self.clock.now_ms() + STEP_MS, until_ms))
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
        visible_ms = self.queue.next_visible_ms()
        return self._minute_ms if visible_ms is None else min(self._minute_ms, visible_ms)
