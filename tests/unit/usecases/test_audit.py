"""An allowed change is never without its entry: whichever call of whichever process fails, and wherever one dies."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from chalicelib.core.audit.limits import RECOVER_AFTER_MS
from chalicelib.core.errors import ChronoError
from chalicelib.engine import audit_keeping
from chalicelib.ports.services import Services
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import audit
from chalicelib.usecases.audit import Act
from tests.kit.audits import chain
from tests.kit.callers import who
from tests.kit.faulty_audit import Died, FaultyAudit
from tests.kit.machine import MovableClock
from tests.kit.services import make_services, with_stores

ANN = who("ann", "admin")
CHANGES = 25


def act(n: int) -> Act:
    return Act(action="schedules:create", permission="schedules:write", resource=f"schedules/{n}", before="0" * 64)


class Changes:
    """Changes of some processes, any of which may die and be followed by another."""

    def __init__(self, s: Services, seed: int) -> None:
        self.s = s
        self.seed = seed
        self.chance = random.Random(seed)
        self.made: set[str] = set()
        self.refused: set[str] = set()
        self.processes = [self.process() for _ in range(3)]

    def process(self) -> Services:
        """A new process of the deployment, with a bad line to its store."""
        line = FaultyAudit(self.s.stores.audit, self.chance.randrange(1 << 30), "away", "unknown", "dies")
        return with_stores(replace(self.s, process=ProcessMemory()), audit=line)

    def run(self) -> None:
        for n in range(CHANGES):
            place = self.chance.randrange(3)
            try:
                self.change(self.processes[place], n)
            except Died:
                self.processes[place] = self.process()

    def change(self, s: Services, n: int) -> None:
        """As the API does it: what fails before the change refuses it."""
        wanted = act(n)
        try:
            intent = audit.begin(s, ANN, wanted)
        except ChronoError:
            self.refused.add(wanted.resource)
            return
        if self.chance.random() < 0.1:
            audit.drop(s, intent)
            self.refused.add(wanted.resource)
            return
        self.made.add(wanted.resource)
        if self.chance.random() < 0.1:
            raise Died
        audit.finish(s, intent, [wanted])


@pytest.mark.parametrize("seed", range(400))
def test_wherever_a_process_dies_no_change_is_without_its_entry(seed: int) -> None:
    s = make_services()
    clock = s.clock
    assert isinstance(clock, MovableClock)
    played = Changes(s, seed)
    played.run()
    clock.step(RECOVER_AFTER_MS + 1)
    for _ in range(3):  # recovery dies too
        try:
            audit_keeping.run(played.process())
        except (Died, ChronoError):
            continue
    audit_keeping.run(replace(s, process=ProcessMemory()))
    found = chain(s)
    times = Counter(entry.resource for entry in found)
    assert played.made <= set(times), "each change is entered"
    assert set(times.values()) <= {1}, "and once"
    assert set(times) <= played.made | played.refused | {f"schedules/{n}" for n in range(CHANGES)}
    assert s.stores.audit.intents("~", 10) == []
    assert [entry.sequence for entry in found] == list(range(1, len(found) + 1))
    for earlier, later in zip([None, *(entry.sha256 for entry in found)], found, strict=False):
        assert later.previous_sha256 == earlier


def test_a_change_without_its_intent_is_found_missing() -> None:
    """The test above would notice: the same play, with intents that are not kept."""
    lost = 0
    for seed in range(40):
        s = make_services()
        played = Changes(s, seed)
        played.run()
        for intent_id, _ in s.stores.audit.intents("~", 1000):
            s.stores.audit.drop_intent(intent_id)
        lost += len(played.made - {entry.resource for entry in chain(s)})
    assert lost > 40


def test_what_is_recorded_at_once_and_nothing_when_off() -> None:
    s = make_services()
    audit.record(s, ANN, act(1), act(2))
    audit.record(s, ANN)
    assert [entry.resource for entry in chain(s)] == ["schedules/1", "schedules/2"]
    audit.record(replace(s, config=replace(s.config, audit="off")), ANN, act(3))
    assert len(chain(s)) == 2


def test_an_intent_is_left_alone_while_its_call_may_run() -> None:
    s = make_services()
    clock = s.clock
    assert isinstance(clock, MovableClock)
    audit.begin(s, ANN, act(1))
    clock.step(RECOVER_AFTER_MS - 1)
    audit_keeping.run(s)
    assert chain(s) == []
    clock.step(2)
    audit_keeping.run(s)
    assert [(entry.outcome, entry.before_sha256) for entry in chain(s)] == [("unknown", "0" * 64)]
