"""Plays one seed in a world of ticks: producers that number and publish them, and those who read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.usecases import ticks
from chalicelib.workers import sweep
from tests.simulation import checkers, tick_plan
from tests.simulation.actors.instance import Fleet, Instance
from tests.simulation.actors.queue import Mailroom, Queue
from tests.simulation.actors.rules import MinuteRule
from tests.simulation.actors.tables import Cursors, Gate, Leases, Schedules
from tests.simulation.actors.tick_clients import (
    Admin,
    Archivist,
    Bus,
    Follower,
    PastReader,
    TickRecord,
    Truth,
    WatchedTicks,
)
from tests.simulation.faults import Fault, Faults
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import Acts, MailedPlay

SECOND = 1000
LIVE_MS = 150 * SECOND  # streams go on for so long after everything went wrong that will, and must be on time again
REST_MOST_MS = 3_600 * SECOND  # by then everything must have come to rest
PAGE_ITEMS = 500


class TickPlay(MailedPlay):
    """One world. ``left_out`` names the operations and faults that the shrinker takes away."""

    CHECKERS = checkers.TICKS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = tick_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, plan.start_ms, tell)
        self.ticks = TickRecord()
        self.closing_ms = plan.end_ms + LIVE_MS
        self.has_ended = False
        gate = Gate(world)
        self.inner = open_stores()
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        world.faults = self.faults = Faults(world, kept, self._acts())
        self.bus = Bus(gate, self.ticks)
        stores = replace(
            self.inner,
            schedules=Schedules(gate, self.inner.schedules),
            cursors=Cursors(gate, self.inner.cursors),
            leases=Leases(gate, self.inner.leases),
            ticks=WatchedTicks(gate, self.inner.ticks, self.ticks),
        )
        services: dict[str, Any] = {"stores": stores, "targets": {"eventbridge": self.bus}}
        self.fleet = TickFleet(self, services)
        self.mailroom = Mailroom(world, self.fleet, plan.visibility_ms)
        services["queue"] = Queue(gate, self.mailroom)
        self.fleet.begin()
        self.rule = MinuteRule(world, self.fleet, self._minute, {"sweep": sweep.run})
        self.admin = Admin(world, self.fleet, [op for op in plan.ops if f"op {op.number}" not in left_out])
        self.readers = [
            PastReader(world, self.fleet, self.ticks, plan.stream),
            Follower(world, self.fleet, self.ticks, plan.stream, plan.slow_follower),
        ]
        store = self.inner.ticks
        self.archivist = Archivist(world, self.fleet, self.ticks, plan.stream, lambda: store.load().book)
        world.call_at(plan.end_ms, self._rest)

    # -- faults of the world

    def _acts(self) -> Acts:
        return {
            **self.mail_acts(),
            "clock_forward": self._clock,
            "clock_backward": self._clock,
            "bus_away": self._bus_away,
            "bus_unsure": self._bus_unsure,
        }

    def _clock(self, fault: Fault) -> None:
        """One clock is stepped, or all of them."""
        several = self.fleet.slots if fault.slot >= 4 else [self._slot(fault)]
        for instance in several:
            if instance.alive:
                self._step_clock(instance, fault)

    def _bus_away(self, fault: Fault) -> None:
        self.bus.away_until_ms = self.world.now + fault.amount_ms

    def _bus_unsure(self, fault: Fault) -> None:
        self.bus.unsure_until_ms = self.world.now + fault.amount_ms

    # -- coming to rest

    def _rest(self) -> None:
        """From here on nothing goes wrong; streams go on for a while, and are stopped."""
        self._end_faults()
        self.bus.away_until_ms = self.bus.unsure_until_ms = 0

    def _minute(self) -> None:
        """Called once a minute: at the end stop the streams, and when the last tick has passed, read everything."""
        self.archivist.visit()
        if self.world.now < self.closing_ms:
            return
        book = self.inner.ticks.load().book
        running = [f for f in FREQUENCIES if self.runs(f, book.stream(f).enabled)]
        for frequency in running:
            self.admin.stop(frequency)
        last_ms = max((s.cursor.boundary_nanos for s in book.streams.values() if s.runs), default=0) // 1_000_000
        if not running and not self.mailroom.letters and self.world.now > last_ms + 5 * SECOND and not self.has_ended:
            self.has_ended = True
            self.world.spawn(self.fleet.any_alive(), self._read_all)

    def _read_all(self) -> None:
        s = self.world.current.instance.services
        for frequency in FREQUENCIES:
            found, gaps = self.ticks.past.setdefault(frequency, ([], []))
            while True:
                page = ticks.history(s, ANONYMOUS_ADMIN, frequency, found[-1].sequence if found else 0, PAGE_ITEMS)
                found += page.ticks
                gaps += [gap for gap in page.gaps if gap not in gaps]
                if not page.more:
                    break
        self.world.over = True

    def runs(self, frequency: Frequency, enabled: bool | None) -> bool:
        """Whether a stream runs that is switched so."""
        return frequency in self.plan.streams if enabled is None else enabled

    # -- the whole

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MOST_MS)

    def _others(self) -> Iterable[Any]:
        return [reader.process for reader in self.readers]

    def _line(self) -> str:
        plan = self.plan
        return (
            f"seed {plan.seed}: ticks, {plan.active_ms // 1000} s from {to_rfc3339(plan.start_ms)} ({plan.start_ms}), "
            f"{plan.zone}, streams {' '.join(plan.streams) or 'none'}, catches up {plan.catch_up}, "
            f"{plan.instances} instances, visibility {plan.visibility_ms // 1000} s, {plan.mood}"
            f"{', true time is known' if plan.proven else ''}"
        )

    def _all_parts(self) -> dict[str, str]:
        return {
            str(what).partition(":")[0]: f"at {clock(what.at_ms - self.plan.start_ms)} {what}"
            for what in (*self.plan.ops, *self.plan.faults)
        }


class TickFleet(Fleet):
    """In some worlds each life hears what time it is."""

    def __init__(self, play: TickPlay, services: dict[str, Any]) -> None:
        plan = play.plan
        config = {
            "shards": 1, "max_drift_ms": 20, "default_timezone": plan.zone, "ticks": plan.streams,
            "tick_catch_up": plan.catch_up,
        }  # fmt: skip
        super().__init__(play.world, plan.instances, services, config)
        self._proven = plan.proven

    def _start(self, slot: int) -> Instance:
        instance = super()._start(slot)
        if self._proven:
            instance.services = replace(instance.services, time_sources=Truth(instance.world))
        return instance


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return TickPlay(seed, left_out, tell).run()
