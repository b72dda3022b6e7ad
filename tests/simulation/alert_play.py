"""Plays one seed in a world of alerts: monitors, notification rules, their channels, and what goes wrong."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.alerts import MemoryAlertStore
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.engine import restored_alerts
from chalicelib.engine.restored_alerts import RestoredAlerts
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.workers import alerts, workflow
from tests.simulation import alert_plan, checkers
from tests.simulation.actors.alert_clients import LIMIT_MS, AlertClients
from tests.simulation.actors.alert_parts import AlertBus, AlertTables, Channels
from tests.simulation.actors.instance import Fleet, Instance
from tests.simulation.actors.queue import Mailroom, Queue
from tests.simulation.actors.rules import MinuteRule
from tests.simulation.actors.tables import Gate
from tests.simulation.alert_plan import START_MS
from tests.simulation.faults import Fault, Faults
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import MailedPlay

MARGIN_MS = 20
VISIBILITY_MS = 300_000  # as infra/state.py has it, and the function's time limit
REST_MOST_MS = 30 * 60_000  # by then everything must have been sent, or been given up
LOOK_MS = 2_000
SETTLE_MS = 3_000
FAR_MS = 1 << 60


class AlertPlay(MailedPlay):
    """One world. ``left_out`` names the faults and calls that the shrinker takes away."""

    CHECKERS = checkers.ALERTS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.plan = plan = alert_plan.draw(seed)
        self.left_out = left_out
        self.world = world = World(seed, START_MS, tell)
        kept = [f for f in plan.faults if f"fault {f.number}" not in left_out]
        world.faults = self.faults = Faults(world, kept, self.mail_acts())
        gate = Gate(world)
        inner = open_stores()
        self.tables = AlertTables(gate, inner.alerts)
        self.tempers: dict[str, tuple[str, ...]] = {}
        self.channels = Channels(gate, self.tables, self.tempers)
        self.bus = AlertBus(gate, plan.mood == "calm")
        tables: Any = self.tables
        services: dict[str, Any] = {
            "stores": replace(inner, alerts=tables),
            "targets": {"webhook": self.channels, "eventbridge": self.bus},
        }
        self.fleet = _AlertFleet(world, plan.instances, services, {"max_drift_ms": MARGIN_MS})
        self.mailroom = Mailroom(world, self.fleet, VISIBILITY_MS, workflow.run, VISIBILITY_MS)
        unused: Any = None
        self.fleet.parts = WorkflowParts(Queue(gate, self.mailroom), unused, unused, unused)
        self.fleet.begin()
        self.clients = AlertClients(self)
        self.rested = self.is_restored = False
        self.restored_ms: int | None = None
        self._backup: dict[Any, Any] = {}
        world.invoke(self.fleet.slots[0], lambda: self.clients.create(self.fleet.slots[0].services), LIMIT_MS)
        world.call_at(START_MS + 1_000, self._begin)

    def _begin(self) -> None:
        world, plan = self.world, self.plan
        if len(self.clients.rules) < len(plan.rules):  # a fault came before anything was there to judge
            world.over = self.rested = True
            return
        MinuteRule(world, self.fleet, lambda: None, {"reconcile": alerts.reconcile})
        self.clients.begin()
        world.call_at(plan.end_ms, self._rest)
        if plan.backup_ms is not None and plan.restore_ms is not None:
            world.call_at(max(plan.backup_ms, world.now), self._back_up)
            world.call_at(plan.restore_ms, self._lose)

    # -- a loss, and what is restored

    def _outage(self, fault: Fault) -> None:
        if self.fleet.closed_until_ms < FAR_MS:  # else none runs until what was lost is settled
            super()._outage(fault)

    def _back_up(self) -> None:
        self._backup = dict(self.tables.inner._records)

    def _lose(self) -> None:
        """All processes die and the tables are lost. Those of the backup are settled before anything runs."""
        world = self.world
        self.is_restored = True
        for instance in self.fleet.slots:
            world.crash(instance)
        self.fleet.closed_until_ms = FAR_MS
        self.mailroom.empty()
        world.call_at(world.now + SETTLE_MS, self._settle)

    def _settle(self) -> None:
        world = self.world
        world.hit("restored")
        world.tell("world", "a backup is restored")
        fresh = MemoryAlertStore()
        fresh._records.update(self._backup)
        self.tables.inner = fresh
        tenant = ANONYMOUS_ADMIN.tenant
        found = RestoredAlerts(*([(tenant, r.id) for r in self._of(kind)] for kind in ("monitor", "rule")))
        self._settling(found)

    def _settling(self, found: RestoredAlerts) -> None:
        """The operator runs it until it came to its end, and then lets workers start."""
        world = self.world
        settler, done = self.fleet.settler(), list[bool]()

        def work() -> None:
            restored_alerts.settle(settler.services, found)
            done.append(True)

        def look() -> None:
            if done:
                self.restored_ms = world.now
                self.fleet.reopen()
            else:
                world.crash(settler)
                self._settling(found)

        world.spawn(settler, work)
        world.call_at(world.now + SETTLE_MS, look)

    def _of(self, kind: str) -> list[Any]:
        return [record for (_, known, _), record in self._backup.items() if known == kind]

    # -- the course of it

    def _rest(self) -> None:
        """From here on nothing goes wrong. It is over when every monitor is down and nothing is to be sent."""
        world = self.world
        if not world.resting:
            self._end_faults()
            if self.is_restored and self.restored_ms is None:
                self.fleet.closed_until_ms = FAR_MS
        is_back = not self.is_restored or self.restored_ms is not None
        if is_back and self.clients.is_done and not self.mailroom.letters and not self.tables.inner.woken(FAR_MS, 1):
            world.over = self.rested = True
        else:
            world.call_at(world.now + LOOK_MS, self._rest)

    def _play(self) -> None:
        self.world.run(self.plan.end_ms + REST_MOST_MS)

    def _line(self) -> str:
        plan = self.plan
        monitors = "; ".join(
            f"every {m.period_ms} ms, grace {m.grace_ms} ms, {m.manner}{', tagged' if m.tagged else ''}"
            for m in plan.monitors
        )
        rules = "; ".join(
            f"{'+'.join(rule.when)}{' of tagged' if rule.tagged else ''}, group {rule.group_ms} ms, quiet {rule.quiet},"
            f" channels {', '.join(rule.tempers)}"
            for rule in plan.rules
        )
        return f"seed {plan.seed}: alerts, {plan.instances} instances, {plan.mood}; monitors {monitors}; rules {rules}"

    def _all_parts(self) -> dict[str, str]:
        parts = {f"call {c.number}": f"at {clock(c.at_ms - START_MS)} {c}" for c in self.plan.acts}
        return parts | {f"fault {f.number}": f"at {clock(f.at_ms - START_MS)} {f}" for f in self.plan.faults}


class _AlertFleet(Fleet):
    """Each life can take hints."""

    parts: WorkflowParts

    def _start(self, slot: int) -> Instance:
        instance = super()._start(slot)
        instance.services = replace(instance.services, workflows=self.parts)
        return instance

    def settler(self) -> Instance:
        """The operator's process."""
        instance = self._start(0)
        instance.restarts = False
        self.all.append(instance)
        return instance


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return AlertPlay(seed, left_out, tell).run()
