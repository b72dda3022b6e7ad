"""What the plays of all kinds of worlds share: faults that befall processes, clocks and messages, and their course."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tests.simulation import checkers
from tests.simulation.faults import Fault, Faults
from tests.simulation.played import Played
from tests.simulation.world import World

Acts = Mapping[str, Callable[[Fault], None]]


class WorldPlay:
    """One world. ``left_out`` names the parts of it that the shrinker takes away."""

    CHECKERS: ClassVar[Sequence[Any]]

    world: World
    fleet: Any
    faults: Faults
    left_out: frozenset[str]

    # -- faults

    def process_acts(self) -> Acts:
        """What faults of processes and tables do when their time has come."""
        return {"crash": self._crash, "outage": self._outage, "storm": lambda fault: self.faults.storm(fault)}

    def _slot(self, fault: Fault) -> Any:
        return self.fleet.slots[fault.slot % len(self.fleet.slots)]

    def _crash(self, fault: Fault) -> None:
        instance = self._slot(fault)
        if instance.alive:
            self.world.hit("fault:crash")
            self.world.crash(instance)

    def _outage(self, fault: Fault) -> None:
        self.world.hit("fault:outage")
        self.fleet.closed_until_ms = self.world.now + fault.amount_ms
        for instance in self.fleet.slots:
            self.world.crash(instance)

    def _step_clock(self, instance: Any, fault: Fault) -> None:
        self.world.hit(f"fault:{fault.kind}")
        instance.clock.step(fault.amount_ms if fault.kind == "clock_forward" else -fault.amount_ms)

    # -- the course of it

    def _end_faults(self) -> None:
        """From here on nothing goes wrong."""
        self.world.tell("world", "everything goes well from here on")
        self.faults.end()
        self.fleet.reopen()
        self.fleet.mend_clocks()
        self.world.resting = True

    def _play(self) -> None:
        """Let the world run to its end."""
        raise NotImplementedError

    def _others(self) -> Iterable[Any]:
        """Processes beside those of the fleet."""
        return ()

    def _line(self) -> str:
        raise NotImplementedError

    def _all_parts(self) -> dict[str, str]:
        """What can be left out, each with a line for the story."""
        raise NotImplementedError

    def _parts(self) -> Mapping[str, str]:
        return {name: line for name, line in self._all_parts().items() if name not in self.left_out}

    def run(self) -> Played:
        """Play to the end and judge."""
        world = self.world
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._play()
            problems = checkers.judge(self, self.CHECKERS)
        finally:
            world.close([*self.fleet.all, *self._others()])
            if collecting:
                gc.enable()
        story = world.told or []
        return Played(world.seed, problems, world.hits, story, world.start_ms, self._line, self._parts, world.steps)


class MailedPlay(WorldPlay):
    """One in which messages and the minute rule bring work."""

    mailroom: Any

    def mail_acts(self) -> Acts:
        """What faults of processes, tables, the rule and messages do."""
        return {
            **self.process_acts(),
            "no_rule": self._no_rule,
            "message_late": self._message_late,
            "message_double": lambda fault: self.faults.double.extend([fault] * (1 + fault.slot // 2)),
            "message_returns": self._message_returns,
        }

    def _message_late(self, fault: Fault) -> None:
        self.faults.late.extend([fault] * (1 + fault.slot // 3))

    def _no_rule(self, fault: Fault) -> None:
        self.faults.silent_until_ms = self.world.now + fault.amount_ms

    def _message_returns(self, fault: Fault) -> None:
        letters = self.mailroom.in_work()
        if letters:
            self.world.hit("fault:message_returns")
            self.mailroom.bring_back(letters[fault.slot % len(letters)])
