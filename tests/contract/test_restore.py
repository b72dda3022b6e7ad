"""A stage restored from tables of another: it serves what the backup held, and fires nothing that may have fired."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import system_caller
from chalicelib.engine import restored
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.workers import deliver, reconcile, sweep
from infra import restore
from infra.create import create_all, delete_tables
from infra.state import state
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import make_services
from tests.kit.targets import Recorder

pytestmark = pytest.mark.emulator
CALLER = system_caller("default")


@pytest.fixture(scope="module")
def two_stages(clients: Clients) -> Iterator[tuple[str, str]]:
    made = [state(f"test-{uuid.uuid4().hex[:8]}", event_bus="default") for _ in range(2)]
    for each in made:
        create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), each)
    yield made[0].stage, made[1].stage
    for each in made:
        delete_tables(clients.get("dynamodb"), each)


def services(clients: Clients, stage: str, clock: MovableClock, target: Recorder) -> Services:
    """A deployment of ``stage``; its queue is in memory, and in no backup."""
    s = make_services(manual_machine(clock), open_stores(clients.factory("dynamodb"), stage))
    targets: dict[str, Any] = {"log": target, "eventbridge": target}
    return replace(s, targets=targets, queue=MemoryQueue(clock.now_ms))


def run(s: Services, clock: MovableClock, seconds: int) -> None:
    for second in range(seconds):
        if second % 30 == 0:
            sweep.run(s)
            reconcile.run(s)
        deliver.run(s, s.queue.receive())  # type: ignore[attr-defined]
        clock.advance(1000)


def test_a_restored_stage_fires_nothing_twice(clients: Clients, two_stages: tuple[str, str]) -> None:
    old, new = two_stages
    clock = MovableClock(NOW_MS)
    target = Recorder(clock)
    lost = services(clients, old, clock, target)
    wanted = ScheduleRequest(
        name="beat", type="RATE", expr="rate:10s", target={"type": "log"}, catch_up_window_ms=3_600_000
    )
    key: Key = schedules.create(lost, CALLER, wanted, lost.ids.ulid(clock.now_ms())).definition.key
    lease = LeaseItem(tenant="default", name="leader", rev=1, fencing_token=7)
    assert lost.stores.leases.save("default", "leader", lease_document.write(lease), 1, 0)
    run(lost, clock, 60)
    before = len(target.sent)
    assert before >= 5
    # The backup is of now. The deployment goes on for five minutes more, and is lost.
    under_way = restore.copy(clients.get("dynamodb"), f"chronowatch-{old}-", new)
    run(lost, clock, 300)
    fired = {delivery.firing_unix_ms for _, delivery in target.sent}
    tokens = max(delivery.fencing_token for _, delivery in target.sent)

    again = services(clients, new, clock, target)
    run(again, clock, 31)  # workers that run before it is settled find nothing
    assert {delivery.firing_unix_ms for _, delivery in target.sent} == fired
    settled_ms = clock.now_ms()
    assert restored.settle(again, settled_ms, under_way)[:2] == (1, 1)
    run(again, clock, 60)
    assert {delivery.firing_unix_ms for _, delivery in target.sent} == fired
    found = again.stores.schedules.get([key])[key].definition
    assert (found.name, found.active, found.note) == ("beat", False, restored.NOTE)

    assert restored.resume(again) == 1
    run(again, clock, 60)
    fresh = [d for _, d in target.sent if d.firing_unix_ms not in fired]
    assert len(fresh) >= 4
    assert min(d.firing_unix_ms for d in fresh) > settled_ms
    assert min(d.fencing_token for d in fresh) > tokens
    stored = again.stores.leases.load("default", "leader")
    assert stored is not None
    assert lease_document.read(stored[0]).fencing_token == 7 + restored.TOKENS_RAISED


def test_what_cannot_be_restored_is_refused(clients: Clients, two_stages: tuple[str, str]) -> None:
    dynamodb = clients.get("dynamodb")
    old, new = two_stages
    for prefix, stage, said in (
        ("nowhere-", new, "there is no table nowhere-schedules"),
        (f"chronowatch-{new}-", new, "the backup's tables are those of the stage"),
        (f"chronowatch-{new}-", old, "is not empty: restore into a stage that was deployed for it"),
    ):
        with pytest.raises(restore.RestoreFailed, match=said):
            restore.copy(dynamodb, prefix, stage)
    with pytest.raises(restore.RestoreFailed, match="--stage: no such stage: nowhere"):
        restore.chosen_settings("nowhere")
