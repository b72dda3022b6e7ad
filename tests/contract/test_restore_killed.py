"""``scripts/restore`` as a process that is killed half-way, twice, and run again: nothing fires twice after all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.executions.execution import PENDING
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import system_caller
from chalicelib.engine import restored
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.workers import deliver, reconcile, sweep
from infra.create import create_all, delete_tables
from infra.state import state
from tests.kit.emulator import REGION
from tests.kit.holding_proxy import HoldingProxy
from tests.kit.machine import MovableClock, manual_machine
from tests.kit.records import execution
from tests.kit.services import make_services
from tests.kit.targets import Recorder
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.emulator, pytest.mark.slow]
CALLER = system_caller("default")
STAGE, BUS = "recovery", "chronowatch-recovery"  # as .chalice/config.json has it
FIRING, RESTING = 6, 60
WITHIN_S = 120


@dataclass
class Stages:
    """The stage that is lost, the one that is restored into, and the process that does it."""

    clients: Clients
    old: str
    clock: MovableClock = field(default_factory=lambda: MovableClock(time.time_ns() // 1_000_000))

    def __post_init__(self) -> None:
        self.target = Recorder(self.clock)

    def services(self, stage: str) -> Services:
        """A deployment of ``stage``; its queue is in memory, and in no backup."""
        s = make_services(manual_machine(self.clock), open_stores(self.clients.factory("dynamodb"), stage))
        targets: dict[str, Any] = {"log": self.target, "eventbridge": self.target}
        return replace(s, targets=targets, queue=MemoryQueue(self.clock.now_ms))

    def run(self, s: Services, seconds: int) -> None:
        for second in range(seconds):
            if second % 30 == 0:
                sweep.run(s)
                reconcile.run(s)
            deliver.run(s, s.queue.receive())  # type: ignore[attr-defined]
            self.clock.advance(1000)

    @property
    def endpoint(self) -> str:
        return str(self.clients.get("dynamodb").meta.endpoint_url)

    def restore(self, endpoint: str, *words: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHRONO_"))}
        env = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION}
        env |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        return subprocess.Popen(
            [sys.executable, "-m", "infra.restore", "--stage", STAGE, *words],
            cwd=ROOT,
            env={**kept, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, *words: str) -> tuple[int, str]:
        """The exit code, and all that it said."""
        process = self.restore(self.endpoint, *words)
        said, complained = process.communicate(timeout=WITHIN_S)
        return process.returncode, said + complained

    def killed(self, once: Callable[[], bool], *words: str) -> None:
        """Run it, and kill it before the first call after that is so."""
        with HoldingProxy(self.endpoint, once) as proxy:
            process = self.restore(proxy.endpoint, *words)
            until = time.monotonic() + WITHIN_S
            while not proxy.holds.wait(0.1):
                assert process.poll() is None, f"it ended too early: {process.communicate()}"
                assert time.monotonic() < until
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL

    def items(self, logical: str) -> int:
        found = self.clients.get("dynamodb").scan(TableName=f"chronowatch-{STAGE}-{logical}", Select="COUNT")
        return int(found["Count"])


@pytest.fixture
def stages(clients: Clients) -> Iterator[Stages]:
    old = state(f"test-{uuid.uuid4().hex[:8]}", event_bus="default")
    made = [old, state(STAGE, BUS)]
    for each in made:
        urls = create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), each)
        for url in urls.values():
            clients.get("sqs").purge_queue(QueueUrl=url)
    yield Stages(clients, old.stage)
    for each in made:
        delete_tables(clients.get("dynamodb"), each)


def make(s: Services, **fields: Any) -> Key:
    wanted = ScheduleRequest(target={"type": "log"}, catch_up_window_ms=3_600_000, **fields)
    return schedules.create(s, CALLER, wanted, s.ids.ulid(s.clock.now_ms())).definition.key


def fences(s: Services, keys: list[Key]) -> Mapping[Key, int]:
    return {key: found.state.fence for key, found in s.stores.schedules.get(keys).items()}


def test_a_restore_that_is_killed_twice_is_run_again_and_nothing_fires_twice(stages: Stages) -> None:
    lost, again, backup = stages.services(stages.old), stages.services(STAGE), f"chronowatch-{stages.old}-"
    firing = [make(lost, type="RATE", expr="rate:10s") for _ in range(FIRING)]
    for _ in range(RESTING):
        make(lost, type="CRON", expr="0 0 1 1 *")
    stages.run(lost, 21)
    # Claimed just before its instant, and in no list of open ones: the lost deployment delivered it after the backup.
    claimed = execution(firing[0], stages.clock.now_ms() - 1000, 0, state=PENDING)
    lost.stores.executions.insert([claimed])
    lease = LeaseItem(tenant="default", name="leader", rev=3, fencing_token=7)
    assert lost.stores.leases.save("default", "leader", lease_document.write(lease), 3, 0)

    stages.killed(lambda: stages.items("schedules") >= 25, "--from", backup)
    copied = [stages.items(logical) for logical in ("schedules", "workflows", "executions")]
    assert copied == [25, 0, 0], "it was killed in the middle of the first table"
    code, said = stages.ended("--resume")
    assert code == 1
    assert f"run it again: scripts/restore --stage recovery --from {backup}" in said
    code, said = stages.ended("--from", f"chronowatch-{STAGE}-")
    assert (code, "the backup's tables are those of the stage" in said) == (1, True)

    def first_settled() -> bool:
        return any(fence > restored.TOKENS_RAISED for fence in fences(again, firing).values())

    stages.killed(first_settled, "--from", backup)
    # Somebody takes the lease before it is run again: what is given out once stays below what comes after.
    stored = again.stores.leases.load("default", "leader")
    assert stored is not None
    taken = lease_document.read(stored[0])
    assert taken.fencing_token > restored.TOKENS_RAISED
    taken = replace(taken, rev=taken.rev + 1, fencing_token=taken.fencing_token + 1)
    assert again.stores.leases.save("default", "leader", lease_document.write(taken), taken.rev, taken.rev - 1)
    stages.run(again, 31)  # workers that run meanwhile find nothing
    before = {(d.schedule_id, d.firing_unix_ms) for _, d in stages.target.sent}
    stages.run(lost, 60)  # and the lost deployment had gone on, with these tokens
    highest = max(d.fencing_token for _, d in stages.target.sent)
    fired = {(d.schedule_id, d.firing_unix_ms) for _, d in stages.target.sent}
    assert before < fired

    code, said = stages.ended("--from", backup)
    assert code == 0, said
    assert f"restored {FIRING + RESTING} schedules: paused {FIRING + RESTING}; ended 1 executions" in said
    assert all(fence > restored.TOKENS_RAISED for fence in fences(again, firing).values())
    left = again.stores.executions.get([claimed.key])[claimed.key]
    assert (left.state, left.history[-1].reason) == ("cancelled", restored.REASON)
    stored = again.stores.leases.load("default", "leader")
    assert stored is not None
    assert lease_document.read(stored[0]).fencing_token == taken.fencing_token
    stages.run(again, 31)
    assert {(d.schedule_id, d.firing_unix_ms) for _, d in stages.target.sent} == fired, "it is all paused"

    code, said = stages.ended("--from", backup)
    assert (code, "recovery was restored already" in said) == (1, True)
    code, said = stages.ended("--resume")
    assert (code, said.strip()) == (0, f"resumed {FIRING + RESTING} schedules")
    settled_ms = time.time_ns() // 1_000_000
    stages.clock.advance(max(0, settled_ms - stages.clock.now_ms()))
    stages.run(again, 40)
    instants = [(d.schedule_id, d.firing_unix_ms) for _, d in stages.target.sent]
    doubled = {each for each in instants if instants.count(each) > 1}
    assert not doubled
    fresh = [d for _, d in stages.target.sent if (d.schedule_id, d.firing_unix_ms) not in fired]
    assert {d.schedule_id for d in fresh} == {key.id for key in firing}
    assert min(d.fencing_token for d in fresh) > max(highest, restored.TOKENS_RAISED)


def test_a_part_of_one_backup_is_not_mixed_with_another(stages: Stages) -> None:
    lost = stages.services(stages.old)
    for _ in range(RESTING):
        make(lost, type="CRON", expr="0 0 1 1 *")
    stages.killed(lambda: stages.items("schedules") >= 25, "--from", f"chronowatch-{stages.old}-")
    other = state(f"test-{uuid.uuid4().hex[:8]}", event_bus="default")
    dynamodb = stages.clients.get("dynamodb")
    create_all(dynamodb, stages.clients.get("sqs"), stages.clients.get("events"), other)
    code, said = stages.ended("--from", f"chronowatch-{other.stage}-")
    delete_tables(dynamodb, other)
    assert code == 1
    assert re.search(r"--from: recovery holds a part of another backup, of chronowatch-test-\w+-: end that one", said)
