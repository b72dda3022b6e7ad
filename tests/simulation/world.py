"""One simulated world: true time, the scheduler of its greenlets, and the record that the checkers judge.

Every port call of every instance is a point at which somebody else may run: the caller sleeps for a drawn latency, and
the heap of events tells who is next. All choices come from the seed, so a seed is a story that can be told again.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from greenlet import GreenletExit, getcurrent, greenlet

from chalicelib.core.errors import ChronoError
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.workers.feed import Written
from tests.simulation import claims

STEPS_MAX = 1_000_000  # far beyond what the busiest world takes: this one would not end

# Milliseconds that a port call takes on each of its two ways; mostly short, now and then not.
LATENCIES_MS = (0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 8, 12)


class Simulated(Exception):
    """Raised when the simulator itself is used wrongly; never a fault of the product."""


class Job:
    """A greenlet of an instance, and the handle that others wait on (``ports.clock.Handle``)."""

    __slots__ = (
        *(
            "call",
            "done",
            "error",
            "greenlet",
            "instance",
            "journal_ms",
            "look_ms",
            "op",
            "rechecks",
            "ruled_ms",
            "ticket",
            "waiters",
            "work",
        ),
        "world",
    )

    def __init__(
        self, world: World, instance: Any, work: Callable[[], Any], look_ms: int, op: Any, call: dict[Job, None]
    ) -> None:
        self.world = world
        self.instance = instance
        self.work = work
        self.look_ms = look_ms  # when this line of work last read a schedule's state or epoch
        self.ruled_ms = 0  # when it last read which policies there are
        self.rechecks = 0  # how often it has rechecked
        self.journal_ms = 0  # when it last began to read the executions of a schedule
        self.op = op  # the client operation it belongs to
        self.call = call  # all jobs of the invocation it belongs to
        self.ticket = 0
        self.done = False
        self.error: Exception | None = None
        self.waiters: list[Job] = []
        self.greenlet: greenlet | None = None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.error = error
            self.world.raised(self, error)
        self.done = True
        self.instance.jobs.pop(self, None)
        self.call.pop(self, None)
        for waiter in self.waiters:
            self.world.wake(waiter, 0)

    def go(self) -> None:
        """Begin what was held (``ports.clock.Held``), unless it was ended by force before."""
        if not self.done:
            self.world.begin(self)

    def wait(self, until_ms: int | None = None) -> bool:
        """True when the job has ended, False when the clock says ``until_ms`` first; re-raises its error."""
        if not self.done:
            world = self.world
            me = world.current
            if until_ms is not None:
                left = until_ms - me.instance.clock.now_ms()
                if left <= 0:
                    return False
                world.wake(me, left)
            self.waiters.append(me)
            world.park()
            if not self.done:
                self.waiters.remove(me)
                return False
        if self.error is not None:
            raise self.error
        return True


class StateWrite(NamedTuple):
    """A schedule's state as stored from ``at_ms`` on; ``definition`` only with a create or change."""

    at_ms: int
    state: State
    kind: str  # create, change, delete, state
    definition: Definition | None
    instance: Any
    op: Any


class ExecutionWrite(NamedTuple):
    """An execution as stored from ``at_ms`` on, and what the writer's clock said."""

    at_ms: int
    record: Execution
    instance: Any
    clock_ms: int
    op: Any
    call: Any = None  # the invocation in whose course it was made


class DeadLetter(NamedTuple):
    """An event that went to the dead-letter queue, and who sent it."""

    at_ms: int
    id: str
    instance: Any


@dataclass(slots=True)
class Receipt:
    """A message that a worker was given, and when that worker first said until when it is hidden."""

    at_ms: int
    body: str
    instance: Any
    hidden_ms: int | None = None


class Told(NamedTuple):
    """An event about a schedule, as the bus took it."""

    at_ms: int
    id: str
    type: str
    schedule_id: str


class WatchWrite(NamedTuple):
    """A watch as stored at ``at_ms`` over ``before``, what the writer's clock said, and when the writer had last read
    a schedule and begun to read a journal."""

    at_ms: int
    before: MonitorState | None
    watch: MonitorState
    clock_ms: int
    look_ms: int
    journal_ms: int


class PolicyWrite(NamedTuple):
    """From ``at_ms`` on the policy denies every firing that it matches, or is gone."""

    at_ms: int
    denies: bool


class Takeover(NamedTuple):
    """An attempt that followed another whose lease was still written down. ``owner_clock_ms``: the time by the clock of
    the earlier attempt's owner, None when that one is dead or the attempt was its target's to end."""

    key: ExecutionKey
    attempt: int
    by: str
    owner: str
    lease_until_ms: int
    owner_clock_ms: int | None
    wrong_ms: int


@dataclass(slots=True)
class Dispatch:
    """One attempt as its target saw it. ``look_ms`` is when its worker last looked at the schedule. Who cannot tell
    says when that was at the earliest, and in ``looks_ms`` all moments at which it may have seen something else."""

    key: ExecutionKey
    attempt: int
    token: int
    started_ms: int
    clock_ms: int
    look_ms: int
    instance: Any
    kind: str
    target: str = ""  # its destination
    ended_ms: int | None = None
    looks_ms: tuple[int, ...] = ()
    ruled_ms: int = 0  # when its worker last read which policies there are
    rechecks: int = 0  # how often it was rechecked


@dataclass(slots=True)
class Record:
    """What the world saw, independent of what the product says of itself."""

    schedules: dict[Key, list[StateWrite]] = field(default_factory=dict)
    executions: dict[ExecutionKey, list[ExecutionWrite]] = field(default_factory=dict)
    dispatches: list[Dispatch] = field(default_factory=list)
    policies: list[PolicyWrite] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    watches: dict[Key, list[WatchWrite]] = field(default_factory=dict)
    stream: list[Written] = field(default_factory=list)
    operations: list[Any] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    letters: list[DeadLetter] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    stamps_backward: list[str] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    stalled: list[str] = field(default_factory=list)


class World:
    """Greenlets, true time and the record. ``told`` collects the story when one is wanted."""

    def __init__(self, seed: int, start_ms: int, tell: bool = False) -> None:
        self.seed = seed
        self.now = start_ms
        self.start_ms = start_ms
        self.random = random.Random(f"run/{seed}")
        self._draw = self.random.random
        self._heap: list[tuple[int, float, int, Any, int]] = []
        self._count = 0
        self._hub = getcurrent()
        self._idle: list[Any] = []  # greenlets that have ended a job
        self._dying: list[Any] = []
        self.current: Job = None  # type: ignore[assignment]
        self.record = Record()
        self.hits: dict[str, int] = {}
        self.told: list[tuple[int, str, str]] | None = [] if tell else None
        self.steps = 0
        self.over = False
        self.resting = False
        self.faults: Any = None
        self.serial = 0

    # -- story and coverage

    def tell(self, who: str, text: str) -> None:
        """Add a line to the story; callers guard with ``told is not None`` where building the text costs."""
        if self.told is not None:
            self.told.append((self.now, who, text))

    def hit(self, point: str) -> None:
        """Count a coverage point."""
        self.hits[point] = self.hits.get(point, 0) + 1

    def raised(self, job: Job, error: Exception) -> None:
        """Errors of the domain are ordinary; anything else that leaves the product is a bug."""
        if not isinstance(error, ChronoError):
            import traceback

            where = traceback.extract_tb(error.__traceback__)[-1]
            self.record.unexpected.append(f"{type(error).__name__}: {error} at {where.name}:{where.lineno}")
        if self.told is not None:
            self.told.append((self.now, job.instance.name, f"raised {type(error).__name__}: {error}"))

    # -- the scheduler

    def call_at(self, at_ms: int, what: Callable[[], None]) -> None:
        """Have the world itself do something at a true time."""
        self._count += 1
        heapq.heappush(self._heap, (max(at_ms, self.now), self._draw(), self._count, what, -1))

    def spawn(self, instance: Any, work: Callable[[], Any], delay_ms: int = 0, op: Any = None) -> Job:
        """Begin a line of work on an instance; it inherits what its parent has seen."""
        job = self.hold(instance, work, op)
        self.begin(job, delay_ms)
        return job

    def hold(self, instance: Any, work: Callable[[], Any], op: Any = None) -> Job:
        """A line of work that begins later, and belongs to whoever holds it."""
        parent = self.current
        if parent is not None and parent.instance is instance:
            child = Job(self, instance, work, parent.look_ms, op or parent.op, parent.call)
            child.ruled_ms, child.rechecks = parent.ruled_ms, parent.rechecks
            return child
        return Job(self, instance, work, 0, op, {})

    def begin(self, job: Job, delay_ms: int = 0) -> None:
        """Begin what was held."""
        job.call[job] = None
        job.instance.jobs[job] = None
        self.wake(job, delay_ms)

    def wake(self, job: Job, delay_ms: int) -> None:
        """Let a parked job go on after ``delay_ms`` (unless something else wakes it first)."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay_ms, self._draw(), self._count, job, job.ticket))

    def park(self) -> None:
        """Stop the current job until it is woken."""
        self._hub.switch()

    def pause(self, ms: int) -> None:
        """Sleep for ``ms`` of true time. When nobody else has anything to do until then, time just passes."""
        until = self.now + ms
        heap = self._heap
        if heap and heap[0][0] <= until:
            self._count += 1
            me = self.current
            heapq.heappush(heap, (until, self._draw(), self._count, me, me.ticket))
            self._hub.switch()
        else:
            self.now = until

    def latency(self) -> None:
        """One way of a port call."""
        self.pause(LATENCIES_MS[int(self._draw() * 22)])

    def run(self, until_ms: int) -> None:
        """Let events happen until there are none before ``until_ms``, or the world is over."""
        heap = self._heap
        pop = heapq.heappop
        while heap and not self.over:
            if heap[0][0] > until_ms:
                break
            at_ms, _, _, what, ticket = pop(heap)
            if ticket < 0:
                self.now = at_ms
                self.current = None  # type: ignore[assignment]
                what()
            elif what.ticket == ticket and not what.done:
                self.now = at_ms
                what.ticket += 1
                self.current = what
                self.steps += 1
                if self.steps > STEPS_MAX:
                    raise RuntimeError(f"the world goes on for ever: {STEPS_MAX} steps at {at_ms - self.start_ms} ms")
                if what.greenlet is None:
                    self._start(what)
                else:
                    what.greenlet.switch()
            while self._dying:
                self._bury(self._dying.pop())
        self.current = None  # type: ignore[assignment]

    def _start(self, job: Job) -> None:
        """Run a job in a greenlet that has nothing to do. A new one costs more than most jobs do."""
        job.greenlet = self._idle.pop() if self._idle else greenlet(self._serve, self._hub)
        job.greenlet.switch(job)

    def _serve(self, job: Job) -> None:
        """What each greenlet does: one job after the other, until one of them is ended by force."""
        hub, idle = self._hub, self._idle
        while True:
            job.run()
            idle.append(job.greenlet)
            job.greenlet = None
            job = hub.switch()

    def crash(self, instance: Any) -> None:
        """The process dies: everything it was doing ends at once, and what it held in memory is gone."""
        if not instance.alive:
            return
        instance.alive = False
        instance.died_ms = self.now
        self._dying.append(instance)
        self.tell(instance.name, "CRASH")

    def invoke(self, instance: Any, work: Callable[[], Any], limit_ms: int, delay_ms: int = 0, op: Any = None) -> Job:
        """Begin an invocation of a function. When its time limit ends, all that it does is ended by force."""
        job = self.spawn(instance, work, delay_ms, op)
        self.call_at(self.now + delay_ms + limit_ms, lambda: self._end_call(job))
        return job

    def _end_call(self, first: Job) -> None:
        if not first.call or not first.instance.alive:
            return
        self.hit("fault:time_limit")
        self.tell(first.instance.name, "an invocation reached its time limit")
        for job in list(first.call):
            first.instance.jobs.pop(job, None)
            self._kill(job)
        first.call.clear()

    def _kill(self, job: Job) -> None:
        job.done = True
        job.ticket += 1
        if job.greenlet is not None and not job.greenlet.dead:
            self.current = job
            job.greenlet.throw(GreenletExit)

    def die(self) -> None:
        """End the current greenlet, whose process has died."""
        raise GreenletExit

    def _bury(self, instance: Any) -> None:
        for job in list(instance.jobs):
            self._kill(job)
        instance.jobs.clear()
        instance.buried()

    def close(self, instances: list[Any]) -> None:
        """End what still runs, so that nothing outlives the world."""
        self.over = True
        for instance in instances:
            instance.alive = False
            instance.restarts = False
            self._bury(instance)
        for one in self._idle:
            one.throw(GreenletExit)
        self._idle.clear()
        self._heap.clear()

    # -- the record

    def saw_state(self, state: State, kind: str, definition: Definition | None = None) -> None:
        """A schedule's state was stored."""
        job = self.current
        write = StateWrite(self.now, state, kind, definition, job.instance, job.op)
        self.record.schedules.setdefault(state.key, []).append(write)

    def saw_execution(self, record: Execution) -> None:
        """An execution's record was stored."""
        job = self.current
        write = ExecutionWrite(self.now, record, job.instance, job.instance.clock.now_ms(), job.op, job.call)
        stored = self.record.executions.setdefault(record.key, [])
        if stored:
            before = stored[-1].record
            if record.attempt > before.attempt and before.lease_until_ms is not None:
                owner = next(w.instance for w in stored if w.record.attempt == before.attempt)
                self._note_takeover(before, owner, record, job.instance)
        elif record.attempts and record.attempts[0].outcome == "lost":
            claim, claimed = claims.of_execution(self.record, record.key), claims.as_record(self.record, record.key)
            if claim is not None and claimed is not None:
                self._note_takeover(claimed, claim.instance, record, job.instance)
        self.record.stream.append(Written(stored[-1].record if stored else None, record))
        stored.append(write)
        if self.told is not None:
            lease = f" lease until {record.lease_until_ms - self.start_ms}" if record.lease_until_ms else ""
            self.told.append(
                (
                    self.now,
                    job.instance.name,
                    f"stored {short(record.key)} rev {record.rev} {record.state} "
                    f"attempt {record.attempt} token {record.fencing_token}{lease}",
                )
            )

    def saw_monitor(self, before: MonitorState | None, watch: MonitorState) -> None:
        """A watch was stored."""
        job = self.current
        write = WatchWrite(self.now, before, watch, job.instance.clock.now_ms(), job.look_ms, job.journal_ms)
        self.record.watches.setdefault(watch.key, []).append(write)
        self.tell(job.instance.name, f"stored the watch of {watch.id[-4:]}: {watch}")

    def _note_takeover(self, before: Execution, owner: Any, record: Execution, by: Any) -> None:
        believes = owner.alive and not before.asynchronous
        self.hit("takeover: owner alive" if believes else "takeover: owner dead")
        self.record.takeovers.append(
            Takeover(
                record.key,
                record.attempt,
                by.name,
                owner.name,
                before.lease_until_ms or 0,
                owner.clock.now_ms() if believes else None,
                abs(owner.clock.wrong_ms) + abs(by.clock.wrong_ms),
            )
        )


def short(key: ExecutionKey) -> str:
    """A name for the story."""
    return f"{key.schedule_id[-4:]}@{key.firing_ms}{'-m' if key.manual else ''}"
