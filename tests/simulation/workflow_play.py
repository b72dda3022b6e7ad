"""Plays one seed in a world of workflows: runs on the real engine, callers, an outside, and what goes wrong."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.workers import workflow
from tests.simulation import checkers, workflow_plan
from tests.simulation.actors.instance import Fleet, Instance
from tests.simulation.actors.queue import Mailroom, Queue
from tests.simulation.actors.rules import MinuteRule
from tests.simulation.actors.run_clients import RunClients
from tests.simulation.actors.run_parts import Echo, Outside, Paths, RunBus
from tests.simulation.actors.run_tables import RunRecord, WatchedRuns, WatchedWorkflows
from tests.simulation.actors.tables import Gate
from tests.simulation.actors.value_tables import WatchedValues
from tests.simulation.faults import Fault, Faults
from tests.simulation.played import Played, clock
from tests.simulation.workflow_plan import PEOPLE, START_MS
from tests.simulation.world import World
from tests.simulation.world_play import MailedPlay

MARGIN_MS = 20
VISIBILITY_MS = 300_000  # as infra/state.py has it, and the function's time limit
REST_MOST_MS = 40 * 60_000  # by then every run must have ended
LOOK_MS = 2_000


class WorkflowPlay(MailedPlay):
    """One world. ``left_out`` names the faults and calls that the shrinker takes away."""

    CHECKERS = checkers.WORKFLOWS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = workflow_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, START_MS, tell)
        self.runs = RunRecord()
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        self.kinds = frozenset(fault.kind for fault in kept)
        acts = {
            **self.mail_acts(),
            "clock_forward": self._clock,
            "clock_backward": self._clock,
            "index_lag": self._index_lag,
        }
        world.faults = self.faults = Faults(world, kept, acts)
        gate = Gate(world)
        self.inner = open_stores()
        self.values = WatchedValues(gate, self.inner.large_values)
        stores = replace(
            self.inner,
            runs=WatchedRuns(gate, self.inner.runs, self.runs),
            large_values=self.values,
            workflows=WatchedWorkflows(gate, self.inner.workflows, self.runs),
        )
        self.bus = RunBus(gate)
        outside = Outside(gate, self.runs, plan.tempers, plan.large)
        services: dict[str, Any] = {"stores": stores, "targets": {"webhook": outside, "eventbridge": self.bus}}
        self.fleet = _WorkflowFleet(world, plan.instances, services, {"max_drift_ms": MARGIN_MS})
        self.mailroom = Mailroom(world, self.fleet, VISIBILITY_MS, workflow.run, VISIBILITY_MS)
        self.fleet.parts = WorkflowParts(Queue(gate, self.mailroom), Paths(), outside, Echo(gate))
        self.fleet.begin()
        self.rule = MinuteRule(world, self.fleet, lambda: None, {"reconcile": workflow.reconcile})
        self.clients = RunClients(world, self.fleet, self.runs, plan, left_out)
        self.rested = False
        world.call_at(plan.end_ms, self._rest)

    # -- faults of the world

    def _clock(self, fault: Fault) -> None:
        instance = self._slot(fault)
        if not instance.alive:
            return
        self._step_clock(instance, fault)
        self.faults.wrong_most_ms = max(self.faults.wrong_most_ms, abs(instance.clock.wrong_ms))
        if fault.slot % 2:
            self.world.call_at(self.world.now + 30_000, instance.clock.mend)

    def _index_lag(self, fault: Fault) -> None:
        self.faults.lag_ms = fault.amount_ms
        self.faults.lag_until_ms = self.world.now + 150_000

    # -- the course of it

    def _rest(self) -> None:
        """From here on nothing goes wrong, and whoever is waited for comes. It is over when every run has ended."""
        world = self.world
        if not world.resting:
            self._end_faults()
        for run, node in self.clients.waiting("gate"):
            for who in PEOPLE[:2]:
                self.clients.decide(run, node, who, approve=True)
        for run, node in self.clients.waiting("job"):
            self.clients.report(run, node, completes=True)
        busy = any(not state.is_ended for state in self.runs.states.values())
        if busy or self.mailroom.letters or self.inner.runs.woken(1 << 60, 1):
            world.call_at(world.now + LOOK_MS, self._rest)
        else:
            self.rested = True
            world.over = True

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MOST_MS)

    def _line(self) -> str:
        plan = self.plan
        graphs = "; ".join(
            f"{d['name']}: {' '.join(_shown(n, plan.tempers) for n in d['nodes'])} "
            + " ".join(f"{e['from']}>{e['to']}{_label(e)}" for e in d["edges"])
            for d in plan.documents
        )
        return f"seed {plan.seed}: workflows, {plan.instances} instances, {'calm' if plan.calm else 'rough'}; {graphs}"

    def _all_parts(self) -> dict[str, str]:
        parts = {f"call {c.number}": f"at {clock(c.at_ms - START_MS)} {c}" for c in self.plan.calls}
        return parts | {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}


class _WorkflowFleet(Fleet):
    """Each life can take steps."""

    parts: WorkflowParts

    def _start(self, slot: int) -> Instance:
        instance = super()._start(slot)
        instance.services = replace(instance.services, workflows=self.parts)
        return instance


def _shown(node: dict[str, Any], tempers: dict[str, str]) -> str:
    said = [node["type"], tempers.get(node["id"], ""), node.get("mode", ""), node.get("others", "")]
    return f"{node['id']}({' '.join(word for word in said if word)})"


def _label(edge: dict[str, str]) -> str:
    said = edge.get("case") or edge.get("on")
    return f"[{said}]" if said else ""


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return WorkflowPlay(seed, left_out, tell).run()
