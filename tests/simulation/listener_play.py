"""Plays one seed in a world of listeners: sources of triggers that give messages at least once, and those who read."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.schedules.schedule import Definition, Schedule, State, VersionRef
from chalicelib.core.triggers import listening
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.workers.listen import Listeners
from tests.simulation import checkers, listener_plan
from tests.simulation.actors.event_brokers import Broker, HeardWords, LogBroker, QueueBroker, Sources
from tests.simulation.actors.event_senders import Journal, ReadSchedules, TriggerTables, Work
from tests.simulation.actors.instance import Fleet
from tests.simulation.actors.tables import Gate
from tests.simulation.faults import Fault, Faults
from tests.simulation.listener_plan import START_MS, ListenerPlan
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import WorldPlay

REST_MS = 240_000
LOOK_MS = 1_000
STOP_LOOK_MS = 500
KINDS = {"0" * 25 + "1": "sqs", "0" * 25 + "2": "kafka"}


class ListenerPlay(WorldPlay):
    """One world. ``left_out`` names the faults that the shrinker takes away."""

    CHECKERS = checkers.LISTENERS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan: ListenerPlan = listener_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, START_MS, tell)
        kept = [f for f in self.plan.faults if f"fault {f.number}" not in left_out]
        more = {"source_away": self._source_away, "pause": self._pause, "stop": self._stop}
        world.faults = self.faults = Faults(world, kept, {**self.process_acts(), **more})
        self.gate, self.inner = Gate(world), open_stores()
        self.paused: dict[str, int] = {}  # by trigger, until when
        self.brokers: dict[str, Broker] = {}
        for trigger_id, kind in KINDS.items():
            self.inner.schedules.create(_carrier(trigger_id))
            self.inner.triggers.save(_trigger(trigger_id, kind), 0)
            self.brokers[trigger_id] = (LogBroker if kind == "kafka" else QueueBroker)(self, trigger_id, kind)
        self.journal, self.dead = Journal(self.gate, self.inner.executions), DeadLetters(self.gate)
        tables: Any = TriggerTables(self.gate, self.inner.triggers)
        schedules: Any = PausableSchedules(self, self.inner.schedules)
        journal: Any = self.journal
        stores = replace(self.inner, triggers=tables, executions=journal, schedules=schedules)
        services = {"stores": stores, "queue": self.dead}
        self.fleet = ListenerFleet(self, services)
        self.fleet.begin()
        world.call_at(self.plan.end_ms, self._rest)

    def has_fired(self, digest: str) -> bool:
        return any(one.event == digest for one in self.journal.inserted)

    def is_dead(self, trigger_id: str, digest: str) -> bool:
        return f"{trigger_id}-{digest}" in self.dead.reasons

    def state_of(self, trigger_id: str) -> str:
        """Whether its source is heard, as a caller sees it."""
        trigger = self.inner.triggers.load("default", trigger_id)
        known = self.inner.triggers.listenings("default", [trigger_id]).get(trigger_id)
        assert trigger is not None
        return listening.shown(known, trigger, True, self.world.now).state

    # -- what goes wrong

    def _source_away(self, fault: Fault) -> None:
        self.world.hit("fault:source_away")
        broker = list(self.brokers.values())[fault.slot % len(self.brokers)]
        broker.away_until_ms = self.world.now + fault.amount_ms

    def _pause(self, fault: Fault) -> None:
        self.world.hit("fault:pause")
        self.paused[list(self.brokers)[fault.slot % len(self.brokers)]] = self.world.now + fault.amount_ms

    def _stop(self, fault: Fault) -> None:
        """As SIGTERM: it reads no more, and ends when what it has in hand is settled."""
        instance = self._slot(fault)
        if instance.alive and instance.leaves_ms is None:
            self.world.hit("fault:stop")
            instance.leaves_ms = self.world.now

    # -- the course of it

    def _rest(self) -> None:
        """From here on nothing goes wrong, until every message is settled and every source is heard."""
        world = self.world
        if not world.resting:
            self._end_faults()
            self.paused.clear()
            for broker in self.brokers.values():
                broker.away_until_ms = 0
        if all(one.is_done and self.state_of(one.trigger_id) == "listening" for one in self.brokers.values()):
            world.over = True
        else:
            world.call_at(world.now + LOOK_MS, self._rest)

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MS)

    def _line(self) -> str:
        plan, messages = self.plan, sum(len(one.messages) for one in self.brokers.values())
        return f"seed {plan.seed}: sources, {plan.instances} instances, {messages} messages, {plan.mood}"

    def _all_parts(self) -> dict[str, str]:
        return {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}


class DeadLetters(Work):
    """The queue of firings, which nothing takes here, and its dead letters by execution."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self.reasons: dict[str, str] = {}

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        super().send_dead(execution_id, event, reason)
        self.reasons[execution_id] = reason


class PausableSchedules(ReadSchedules):
    """The schedules of triggers, some of them paused."""

    def __init__(self, play: ListenerPlay, inner: Any) -> None:
        super().__init__(play.gate, inner)
        self._play = play

    def get(self, keys: Any) -> Any:
        found = super().get(keys)
        now_ms = self._play.world.now
        for key, schedule in found.items():
            if self._play.paused.get(key.id, 0) > now_ms:
                self._play.world.hit("listen: paused")
                found[key] = replace(schedule, definition=replace(schedule.definition, active=False))
        return found


class ListenerFleet(Fleet):
    """Instances that listen from their birth."""

    def __init__(self, play: ListenerPlay, services: Any) -> None:
        super().__init__(play.world, play.plan.instances, services, {"max_drift_ms": 20})
        self._play = play

    def _start(self, slot: int) -> Any:
        instance: Any = super()._start(slot)
        unused: Any = None
        parts = WorkflowParts(unused, HeardWords(), unused, unused)
        sources: Any = Sources(self._play, instance)
        instance.services = replace(instance.services, workflows=parts, event_sources=sources)
        self._play.world.spawn(instance, lambda: self._listen(instance))
        return instance

    def _listen(self, instance: Any) -> None:
        told: Any = ToldToStop(self._play.world, instance)
        Listeners(instance.services).run(told)
        instance.stopped = True
        self._play.world.crash(instance)


class ToldToStop:
    """``threading.Event`` of one instance, in the world's time."""

    def __init__(self, world: World, instance: Any) -> None:
        self._world = world
        self._instance = instance

    def is_set(self) -> bool:
        return self._instance.leaves_ms is not None

    def wait(self, s: float) -> None:
        until_ms = self._world.now + round(s * 1000)
        while not self.is_set() and self._world.now < until_ms:
            self._world.pause(STOP_LOOK_MS)


def _trigger(trigger_id: str, kind: str) -> Trigger:
    rules = TriggerRules(source={"type": kind}, filter="wanted")
    return Trigger(tenant="default", id=trigger_id, name=kind, rules=rules)


def _carrier(trigger_id: str) -> Schedule:
    definition = Definition(
        tenant="default", id=trigger_id, version="v1", since_ms=START_MS, type="AT", expr="at:1970-01-01T00:00:00Z",
        created_at_ms=START_MS, updated_at_ms=START_MS, by_events=True,
    )  # fmt: skip
    ref = VersionRef("v1", START_MS, True)
    return Schedule(definition, State(tenant="default", id=trigger_id, shard=0, versions=(ref,)))


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return ListenerPlay(seed, left_out, tell).run()
