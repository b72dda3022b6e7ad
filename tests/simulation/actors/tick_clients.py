"""Around the tick streams: the bus that takes them, an admin who switches them, readers of the past and a follower of
the present. What they see goes into a record of its own, which ``checkers.ticks`` judges."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from chalicelib.core.clock.clock_bound import Interval, Observation
from chalicelib.core.errors import ChronoError
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.ticks import tick_event
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.ticks.tick_book import Book, Page, Skipped
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.usecases import ticks
from chalicelib.usecases.tick_feed import Dropped
from tests.kit import followers
from tests.simulation.actors.lease_clients import ClientProcess
from tests.simulation.actors.tables import Gate, Ticks
from tests.simulation.clock import NANOS_PER_MS
from tests.simulation.tick_plan import TickOp
from tests.simulation.world import Job, World

CALLER = ANONYMOUS_ADMIN
LIMIT_MS = 29_000
PAGE_ITEMS = (7, 40, 500)
FAR_BACK = 1_300  # ticks: more than the book holds
LONG_TAIL = 1_000  # ticks in the book: soon the older ones move to a page


class TickWrite(NamedTuple):
    """The book as stored from ``at_ms`` on. ``look_ms`` and ``clock_ms``: what the writer's clock said as it read the
    book and as it wrote it; ``stepped``: it was stepped in between."""

    at_ms: int
    before: Book
    after: Book
    pages: Sequence[Page]
    instance: str
    look_ms: int
    clock_ms: int
    stepped: bool


class Published(NamedTuple):
    """A tick as the bus took it; ``clock_ms`` by the sender's clock."""

    at_ms: int
    clock_ms: int
    id: str
    event: dict[str, Any]


@dataclass(slots=True)
class TickRecord:
    """What the world saw of ticks."""

    writes: list[TickWrite] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # ids of ticks of which the bus said once that it did not take them
    read: list[list[Tick]] = field(default_factory=list)  # what each reader of the past has got, in order
    # What each subscription, or reading far back, began after (None: with the newest), and what it has got.
    followed: list[tuple[int | None, list[Tick | Dropped]]] = field(default_factory=list)
    past: dict[Frequency, tuple[list[Tick], list[Skipped]]] = field(default_factory=dict)  # at the end, in whole


class WatchedTicks(Ticks):
    """The gated store; what it confirmed is put into the record."""

    def __init__(self, gate: Gate, inner: Any, record: TickRecord) -> None:
        super().__init__(gate, inner)
        self._world = gate.world
        self._record = record
        self._looks: dict[Job, tuple[int, int]] = {}  # of each line of work: its clock at its last look, how wrong

    def load(self) -> Any:
        fault = self._gate.enter("ticks_load")
        found = self._inner.load()
        self._gate.leave(fault)
        job = self._world.current
        self._looks[job] = (job.instance.clock.now_ms(), job.instance.clock.wrong_ms)
        return found

    def save(self, book: Book, pages: Sequence[Page], expected_rev: int) -> bool:
        job, world = self._world.current, self._world
        clock = job.instance.clock
        # Who opens ticks may try the book that its process wrote last, and looks at no other.
        look_ms, wrong_ms = self._looks.get(job, (clock.now_ms(), clock.wrong_ms))
        fault = self._gate.enter("ticks_save")
        before = self._inner.load().book
        won = self._inner.save(book, pages, expected_rev)
        if won:
            self._record.writes.append(
                TickWrite(
                    world.now, before, book, pages, job.instance.name, look_ms, clock.now_ms(),
                    wrong_ms != clock.wrong_ms,
                )
            )  # fmt: skip
            if pages:
                world.hit("tick: page")
            if world.told is not None:
                world.tell(job.instance.name, f"stored {_told(book)}")
        else:
            world.hit("race: ticks_save lost")
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]


def _told(book: Book) -> str:
    return ", ".join(
        f"{name} {'as configured' if s.enabled is None else 'on' if s.enabled else 'off'}: "
        f"numbered {s.cursor.sequence} "
        f"up to {s.cursor.boundary_nanos // NANOS_PER_MS}, queued {s.queued_sequence}, gaps {len(s.gaps)}"
        for name, s in book.streams.items()
    )


class Truth:
    """``ports.clock.TimeSources``: somebody who knows true time to ten milliseconds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def observations(self) -> tuple[Observation, ...]:
        bound = 10 * NANOS_PER_MS
        return (Observation("oracle", Interval(-bound, bound), self._world.now * NANOS_PER_MS),)


class Bus:
    """The bus: takes ticks, now and then does not, or does and says otherwise."""

    max_batch = 10

    def __init__(self, gate: Gate, record: TickRecord) -> None:
        self._gate = gate
        self._record = record
        self.away_until_ms = 0
        self.unsure_until_ms = 0

    def prepare(self, delivery: Delivery) -> None:
        self._gate.enter("prepare")

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        world = self._gate.world
        clock_ms = world.current.instance.clock.now_ms()
        fault = self._gate.enter("dispatch")
        outcomes = [self._take(d, clock_ms) for d in deliveries]
        self._gate.leave(fault)
        return outcomes

    def _take(self, delivery: Delivery, clock_ms: int) -> Outcome:
        world = self._gate.world
        if delivery.event_type == tick_event.CLOCK_TYPE:
            return Outcome("completed")
        if world.now < self.away_until_ms:
            world.hit("fault:bus_away")
            self._record.refused.add(delivery.execution_id)
            return Outcome("failed", error_type="connection_error", error="away")
        event = json.loads(delivery.event)
        self._record.published.append(Published(world.now, clock_ms, delivery.execution_id, event))
        world.tell(world.current.instance.name, f"PUBLISHED {delivery.execution_id}")
        draw = crc32(f"bus/{world.seed}/{delivery.execution_id}/{world.now}".encode()) % 5
        if world.now < self.unsure_until_ms and not draw:
            world.hit("fault:bus_unsure")
            self._record.refused.add(delivery.execution_id)
            return Outcome("failed", error_type="timeout", error="no answer")
        return Outcome("completed")


class Admin:
    """Switches streams: as planned, and all of them off once the world is to come to its end."""

    def __init__(self, world: World, fleet: Any, ops: Sequence[TickOp]) -> None:
        self._world = world
        self._fleet = fleet
        for op in ops:
            world.call_at(op.at_ms, lambda op=op: self._switch(op.frequency, op.enabled))  # type: ignore[misc]

    def stop(self, frequency: Frequency) -> None:
        """Ask for a stream to be stopped; it may not come to that."""
        self._switch(frequency, False)

    def _switch(self, frequency: Frequency, enabled: bool) -> None:
        world, instance = self._world, self._fleet.any_alive()
        if instance is None:
            return
        world.tell("admin", f"{'enables' if enabled else 'disables'} {frequency}")
        change: Callable[..., Any] = ticks.enable if enabled else ticks.disable
        world.invoke(instance, lambda: change(instance.services, CALLER, frequency), LIMIT_MS)


class PastReader:
    """Reads what has passed, page by page, each from where the last one ended."""

    def __init__(self, world: World, fleet: Any, record: TickRecord, frequency: Frequency) -> None:
        self.process = ClientProcess(world, "reader")
        self._world = world
        self._fleet = fleet
        self._frequency = frequency
        self._got: list[Tick] = []
        record.read.append(self._got)
        world.spawn(self.process, self._live)

    def _live(self) -> None:
        world = self._world
        while True:
            world.pause(3_000 + int(world.random.random() ** 2 * 90_000))
            instance = self._fleet.any_alive()
            if instance is not None:
                self._read(instance, PAGE_ITEMS[int(world.random.random() * len(PAGE_ITEMS))])

    def _read(self, instance: Any, limit: int) -> None:
        found: list[Any] = []
        after = self._got[-1].sequence if self._got else 0
        s = instance.services
        job = self._world.spawn(instance, lambda: found.append(ticks.history(s, CALLER, self._frequency, after, limit)))
        try:
            job.wait(self._world.now + LIMIT_MS)
        except ChronoError:
            return
        if found:
            self._got += found[0].ticks
            self._world.hit("tick: history")


class Archivist:
    """Reads far back while sweeps are at work, one of which may be moving the past to a page."""

    def __init__(
        self, world: World, fleet: Any, record: TickRecord, frequency: Frequency, book: Callable[[], Book]
    ) -> None:
        self._world = world
        self._fleet = fleet
        self._record = record
        self._frequency = frequency
        self._book = book

    def visit(self) -> None:
        """Begin some readings, each a moment from now, when the book is long."""
        stream = self._book().stream(self._frequency)
        if not stream.runs or stream.cursor.sequence - stream.runs[0].first_sequence < LONG_TAIL:
            return
        for _ in range(4):
            instance = self._fleet.any_alive()
            if instance is not None:
                delay_ms = int(self._world.random.random() * 320)
                self._world.invoke(instance, lambda s=instance.services: self._read(s), LIMIT_MS, delay_ms)

    def _read(self, s: Services) -> None:
        reserved = ticks.view(s, CALLER, self._frequency).reserved_sequence
        after = max(0, reserved - FAR_BACK)
        found = ticks.history(s, CALLER, self._frequency, after, FAR_BACK)
        self._record.followed.append((after, list(found.ticks)))


class Follower:
    """Follows a stream as it passes, for half a minute at a time; a slow one stands still in between."""

    def __init__(self, world: World, fleet: Any, record: TickRecord, frequency: Frequency, slow: bool) -> None:
        self.process = ClientProcess(world, "follower")
        self._world = world
        self._fleet = fleet
        self._frequency = frequency
        self._slow = slow
        self._record = record
        self._last: int | None = None
        world.spawn(self.process, self._live)

    def _live(self) -> None:
        world = self._world
        while True:
            world.pause(1_000 + int(world.random.random() * 30_000))
            instance = self._fleet.any_alive()
            if instance is None:
                continue
            job = world.spawn(instance, lambda s=instance.services: self._follow(s))
            try:
                job.wait(world.now + 300_000)
            except ChronoError:
                continue

    def _follow(self, s: Services) -> None:
        until_ms = s.clock.now_ms() + (150_000 if self._slow else 30_000)
        got: list[Tick | Dropped] = []
        self._record.followed.append((self._last, got))
        for item in followers.follow(s, CALLER, self._frequency, self._last, until_ms, lambda: False):
            if isinstance(item, Tick | Dropped):
                got.append(item)
                self._last = item.sequence if isinstance(item, Tick) else item.until_sequence
                if isinstance(item, Dropped):
                    self._world.hit("tick: dropped by a follower")
            if self._slow and self._world.random.random() < 0.02:
                self._world.pause(80_000)
