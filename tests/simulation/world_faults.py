"""Faults of the world that befall firings and ticks alike: what happens to their processes, rule and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.faults import Fault, Faults


class WorldFaults:
    """For plays that have a ``world``, a ``fleet``, a ``mailroom`` and ``faults``."""

    world: Any
    fleet: Any
    mailroom: Any
    faults: Faults

    def common_acts(self) -> dict[str, Callable[[Fault], None]]:
        """What each kind does when its time has come."""
        return {
            "crash": self._crash,
            "outage": self._outage,
            "no_rule": self._no_rule,
            "storm": lambda fault: self.faults.storm(fault),
            "message_late": self._message_late,
            "message_double": lambda fault: self.faults.double.extend([fault] * (1 + fault.slot // 2)),
            "message_returns": self._message_returns,
        }

    def _message_late(self, fault: Fault) -> None:
        self.faults.late.extend([fault] * (1 + fault.slot // 3))

    def _crash(self, fault: Fault) -> None:
        instance = self.fleet.slots[fault.slot % len(self.fleet.slots)]
        if instance.alive:
            self.world.hit("fault:crash")
            self.world.crash(instance)

    def _outage(self, fault: Fault) -> None:
        self.world.hit("fault:outage")
        self.fleet.closed_until_ms = self.world.now + fault.amount_ms
        for instance in self.fleet.slots:
            self.world.crash(instance)

    def _no_rule(self, fault: Fault) -> None:
        self.faults.silent_until_ms = self.world.now + fault.amount_ms

    def _message_returns(self, fault: Fault) -> None:
        letters = self.mailroom.in_work()
        if letters:
            self.world.hit("fault:message_returns")
            self.mailroom.bring_back(letters[fault.slot % len(letters)])
