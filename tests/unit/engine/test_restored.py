"""After a restore nothing fires twice: by the reasons for which it could."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.core.security.caller import system_caller
from chalicelib.engine import restored
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.workers import deliver, reconcile, sweep
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import make_services
from tests.kit.targets import Recorder

CALLER = system_caller("default")


class Deployment:
    """A deployment in memory, its clock, and what its target received."""

    def __init__(self) -> None:
        self.clock = MovableClock(NOW_MS)
        self.target = Recorder(self.clock)
        s = make_services(manual_machine(self.clock))
        self.s: Services = replace(s, targets={"log": self.target, "webhook": self.target, "eventbridge": self.target})

    def make(self, **fields: Any) -> Key:
        made = schedules.create(self.s, CALLER, ScheduleRequest(**fields), self.s.ids.ulid(self.clock.now_ms()))
        return made.definition.key

    def run(self, seconds: int) -> None:
        """Workers work, second by second."""
        for second in range(seconds):
            if second % 30 == 0:
                sweep.run(self.s)
                reconcile.run(self.s)
            deliver.run(self.s, self.s.queue.receive())  # type: ignore[attr-defined]
            self.clock.advance(1000)

    def lose_queue(self) -> None:
        """It is in no backup."""
        self.s = replace(self.s, queue=MemoryQueue(self.clock.now_ms))

    def get(self, key: Key) -> Schedule:
        return self.s.stores.schedules.get([key])[key]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "RATE", "expr": "rate:10s", "catch_up_window_ms": 3_600_000},
        {"type": "CRON", "expr": "* * * * *"},
        {"type": "AT", "expr": "at:"},
        {"type": "RATE", "expr": "rate:10s", "max_runs": 4},
        {"type": "DELAY", "expr": "delay:20s"},
    ],
)
def test_what_was_owed_until_now_never_fires_and_what_comes_after_a_resume_does(fields: dict[str, Any]) -> None:
    it = Deployment()
    if fields["type"] == "AT":
        fields = {**fields, "expr": "at:" + _at(it.clock.now_ms() + 60_000)}
    key = it.make(**fields)
    before = it.get(key)
    # The deployment of the backup: nobody worked for ten minutes, in which the lost one fired everything.
    it.clock.advance(600_000)
    it.lose_queue()
    settled_ms = it.clock.now_ms()
    counted = restored.settle(it.s, settled_ms, [])
    assert (counted.schedules, counted.paused) == (1, 1)
    after = it.get(key)
    assert (after.definition.active, after.definition.note) == (False, restored.NOTE)
    assert after.state.next_run_ms is None
    assert after.state.fence == before.state.fence + restored.TOKENS_RAISED
    it.run(120)
    assert it.target.sent == []
    assert restored.resume(it.s) == 1
    it.run(180)
    instants = [delivery.firing_unix_ms for _, delivery in it.target.sent]
    assert all(instant > settled_ms for instant in instants)
    assert bool(instants) == (fields["type"] != "AT" and "max_runs" not in fields), "four runs were had, an AT passed"
    assert all(d.fencing_token > restored.TOKENS_RAISED for _, d in it.target.sent)


def _at(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def test_it_may_be_repeated_and_leaves_alone_what_was_paused_before() -> None:
    it = Deployment()
    beat, still = it.make(type="RATE", expr="rate:10s"), it.make(type="RATE", expr="rate:10s", enabled=False)
    it.clock.advance(60_000)
    assert restored.settle(it.s, it.clock.now_ms(), []) == (2, 1, 0, 0)
    fence = it.get(beat).state.fence
    assert fence == restored.TOKENS_RAISED
    # It does not matter which run paused it. A backup of a stage that was never resumed is settled as any other.
    assert restored.settle(it.s, it.clock.now_ms(), []).paused == 1
    assert it.get(beat).state.fence == fence + restored.TOKENS_RAISED
    assert restored.resume(it.s) == 1
    assert not it.get(still).definition.active
