"""Plays one seed in a world of triggers: events that come at least once, and instances that take them and die."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.schedules.schedule import Definition, Schedule, State, VersionRef
from chalicelib.core.triggers.trigger import AbsenceRule, DedupeRule, ThrottleRule, Trigger, TriggerRules
from chalicelib.ports.workflow_steps import WorkflowParts
from tests.simulation import checkers, trigger_plan
from tests.simulation.actors.event_senders import (
    EventSender,
    EventWords,
    Hints,
    Journal,
    ReadSchedules,
    TriggerTables,
    Work,
)
from tests.simulation.actors.instance import Fleet
from tests.simulation.actors.tables import Gate
from tests.simulation.faults import Faults
from tests.simulation.played import Played, clock
from tests.simulation.trigger_plan import START_MS, TriggerPlan
from tests.simulation.world import World
from tests.simulation.world_play import WorldPlay

REST_MS = 240_000
LOOK_MS = 1_000
TRIGGER_ID = "0" * 26


class TriggerPlay(WorldPlay):
    """One world. ``left_out`` names the faults that the shrinker takes away."""

    CHECKERS = checkers.TRIGGERS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = trigger_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, START_MS, tell)
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        world.faults = self.faults = Faults(world, kept, self.process_acts())
        gate, inner = Gate(world), open_stores()
        inner.schedules.create(_carrier())
        self.trigger = Trigger(tenant="default", id=TRIGGER_ID, name="t", rules=_rules(plan))
        self.tables, self.journal = TriggerTables(gate, inner.triggers), Journal(gate, inner.executions)
        schedules: Any = ReadSchedules(gate, inner.schedules)
        self.work = Work(gate)
        stores = replace(inner, triggers=self.tables, executions=self.journal, schedules=schedules)
        unused: Any = None
        hints: Any = Hints(gate, self)
        parts = WorkflowParts(hints, EventWords(), unused, unused)
        self.fleet = TriggerFleet(
            world, plan.instances, {"stores": stores, "queue": self.work, "workflows": parts}, {"max_drift_ms": 20}
        )
        self.fleet.begin()
        self.sender = EventSender(self)
        world.call_at(plan.end_ms, self._rest)

    def _rest(self) -> None:
        """From here on nothing goes wrong, until every event is taken and nothing is waited for."""
        world = self.world
        if not world.resting:
            self._end_faults()
        if self.sender.is_done and self.tables.is_idle:
            world.over = True
        else:
            world.call_at(world.now + LOOK_MS, self._rest)

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MS)

    def _line(self) -> str:
        plan = self.plan
        return (
            f"seed {plan.seed}: a trigger, {plan.rule} of {plan.wait_ms} ms, {plan.keys} keys, limit {plan.limit}, "
            f"{plan.instances} instances, {len(self.sender.sent)} events, {plan.mood}"
        )

    def _all_parts(self) -> dict[str, str]:
        return {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}


class TriggerFleet(Fleet):
    """Instances that evaluate expressions and send hints."""

    def _start(self, slot: int) -> Any:
        instance = super()._start(slot)
        instance.services = replace(instance.services, workflows=self._services["workflows"])
        return instance


def _carrier() -> Schedule:
    definition = Definition(
        tenant="default", id=TRIGGER_ID, version="v1", since_ms=START_MS, type="AT", expr="at:1970-01-01T00:00:00Z",
        created_at_ms=START_MS, updated_at_ms=START_MS, by_events=True,
    )  # fmt: skip
    ref = VersionRef("v1", START_MS, True)
    return Schedule(definition, State(tenant="default", id=TRIGGER_ID, shard=0, versions=(ref,)))


def _rules(plan: TriggerPlan) -> TriggerRules:
    source = {"type": "webhook"}
    match plan.rule:
        case "dedupe":
            return TriggerRules(source=source, dedupe=DedupeRule("key", plan.wait_ms))
        case "throttle":
            return TriggerRules(source=source, throttle=ThrottleRule(plan.limit, plan.wait_ms))
        case "debounce":
            return TriggerRules(source=source, debounce_ms=plan.wait_ms)
        case "absence":
            rule = AbsenceRule("after", plan.wait_ms)
            return TriggerRules(source=source, filter="awaited", absence=rule, dedupe=DedupeRule("key", 1))
        case _:
            return TriggerRules(source=source)


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return TriggerPlay(seed, left_out, tell).run()
