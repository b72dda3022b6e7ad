"""A stage restored from tables of another: it serves what the backup held, and fires nothing that may have fired."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.aws.large_values import S3LargeValueStore
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, system_caller
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.core.triggers.watch import Arrival, absence
from chalicelib.core.workflows.run_slots import SlotHolder, SlotTable
from chalicelib.core.workflows.value_bucket import of_emulator
from chalicelib.engine import restored, restored_alerts
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import purge_ms_of
from chalicelib.ports.services import Services
from chalicelib.usecases import heartbeats, schedules
from chalicelib.usecases import runs as usecases_of_runs
from chalicelib.workers import deliver, reconcile, sweep
from infra import restore, restored_values
from infra.create import create_all, create_bucket, delete_tables
from infra.restore_mark import RestoreFailed
from infra.state import state
from tests.kit.alert_play import AlertPlay
from tests.kit.emulator import REGION
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import make_services
from tests.kit.targets import Recorder
from tests.kit.workflow_play import Play

pytestmark = pytest.mark.emulator
CALLER = system_caller("default")


@pytest.fixture
def two_stages(clients: Clients) -> Iterator[tuple[str, str]]:
    made = [state(f"test-{uuid.uuid4().hex[:8]}", event_bus="default") for _ in range(2)]
    for each in made:
        create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), each)
    yield made[0].stage, made[1].stage
    for each in made:
        delete_tables(clients.get("dynamodb"), each)


@pytest.fixture
def buckets(clients: Clients, two_stages: tuple[str, str]) -> list[str]:
    """Those of both stages; the first keeps versions, as the templates have it."""
    s3, made = clients.get("s3"), [of_emulator(stage) for stage in two_stages]
    for bucket in made:
        create_bucket(s3, bucket, REGION)
    s3.put_bucket_versioning(Bucket=made[0], VersioningConfiguration={"Status": "Enabled"})
    return made


def services(clients: Clients, stage: str, clock: MovableClock, target: Recorder) -> Services:
    """A deployment of ``stage``; its queue is in memory, and in no backup."""
    s = make_services(manual_machine(clock), open_stores(clients.factory("dynamodb"), stage))
    targets: dict[str, Any] = {"log": target, "eventbridge": target}
    config = replace(s.config, run_retention_ms=30 * 86_400_000)
    return replace(s, config=config, targets=targets, queue=MemoryQueue(clock.now_ms))


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
    copied = restore.copy(clients, f"chronowatch-{old}-", new, clock.now_ms())
    run(lost, clock, 300)
    fired = {delivery.firing_unix_ms for _, delivery in target.sent}
    tokens = max(delivery.fencing_token for _, delivery in target.sent)

    again = services(clients, new, clock, target)
    run(again, clock, 31)  # workers that run before it is settled find nothing
    assert {delivery.firing_unix_ms for _, delivery in target.sent} == fired
    settled_ms = clock.now_ms()
    assert restored.settle(again, settled_ms, (), copied.runs)[:2] == (1, 1)
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


def test_workflows_come_back_and_no_step_runs_twice(clients: Clients, two_stages: tuple[str, str]) -> None:
    old, new = two_stages
    clock = MovableClock(NOW_MS)
    lost = Play(services(clients, old, clock, Recorder(clock)))
    nodes = [
        {"id": "begin", "type": "trigger", "on": "manual"},
        {"id": "charge", "type": "http", "method": "POST", "url": "https://pay.example/charges"},
        {"id": "pause", "type": "delay", "for_ms": 30_000},
        {"id": "ship", "type": "http", "method": "POST", "url": "https://ship.example/orders"},
    ]
    lost.publish("order", nodes, [("begin", "charge"), ("charge", "pause"), ("pause", "ship")])
    ended = lost.start("order")
    lost.advance(60_000)
    under_way = lost.start("order")
    lost.settle()
    asked = list(lost.calls.keys)
    runs, triggers = lost.s.stores.runs, lost.s.stores.triggers
    runs.save_slots(SlotTable("default", "key", "", (SlotHolder(under_way, 1),)), "")
    runs.put_payload("default", under_way, "kept", b"bytes")
    assert triggers.save(
        Trigger(tenant="default", id="t1", name="t", rules=TriggerRules(source={"type": "webhook"})), 0
    )
    armed = absence(
        triggers.watch("default", "t1", "absence", ""), Arrival("d", "{}", 0, after=True), 1, clock.now_ms()
    )
    assert triggers.save_watch(armed, 0)
    far_ms = clock.now_ms() + 100 * 86_400_000
    assert [each.id for each in runs.woken(clock.now_ms() + 120_000, 10)] == [under_way]
    assert len(triggers.due_watches(far_ms, 10)) == 1

    copied = restore.copy(clients, f"chronowatch-{old}-", new, clock.now_ms())
    again = Play(services(clients, new, clock, Recorder(clock)))
    stores = again.s.stores
    assert stores.runs.woken(far_ms, 10) == [], "workers that run before it is settled find nothing"
    assert restored.settle(again.s, clock.now_ms(), (), copied.runs).runs == 1
    again.advance(600_000)
    assert again.calls.keys == []
    assert stores.workflows.load("default", "order") == lost.s.stores.workflows.load("default", "order")
    assert runs.read("default", ended) == stores.runs.read("default", ended)
    state = again.state(under_way)
    assert (state.status, state.reason) == ("cancelled", restored.REASON)
    found = {run.id: run.status for run in stores.runs.page("default", None, None, 10, None)[0]}
    assert found == {ended: "completed", under_way: "cancelled"}
    assert stores.runs.payloads("default", under_way, ["kept"]) == {"kept": b"bytes"}
    assert stores.runs.slots("default", "key") is None
    purged = {each.id: each.wake_ms for each in stores.runs.woken(far_ms, 10)}
    assert purged == {run_id: purge_ms_of(again.s, again.state(run_id)) for run_id in (ended, under_way)}
    assert stores.triggers.load("default", "t1") == triggers.load("default", "t1")
    assert stores.triggers.due_watches(far_ms, 10) == []
    still = stores.triggers.watch("default", "t1", "absence", "")
    assert (still.state, still.recent) == ("idle", ("d",))
    # Who wants it lets it go on: what completed is kept, and the rest runs under its own keys.
    usecases_of_runs.drive_again(again.s, CALLER, under_way, None, None, None, dry_run=False)
    again.advance(60_000)
    assert again.state(under_way).status == "completed"
    assert again.calls.keys == [f"{under_way}/ship"]
    assert f"{under_way}/ship" not in asked


def test_large_values_come_back_also_those_that_were_deleted_since(
    clients: Clients, two_stages: tuple[str, str], buckets: list[str]
) -> None:
    (old, new), s3 = two_stages, clients.get("s3")
    before, after = (S3LargeValueStore(clients.factory("s3"), b, st) for b, st in zip(buckets, two_stages, strict=True))
    s = services(clients, old, MovableClock(NOW_MS), Recorder(MovableClock(NOW_MS)))
    s = replace(s, stores=replace(s.stores, large_values=before))
    kept = {run: outputs.encoded(run * 70_000) for run in ("a", "b/é")}
    for run_id, made in kept.items():
        outputs.store(s, "ten ant", run_id, made)
    before.put("ten ant", "of-no-run", "n", b"x")
    copied = restore.copy(clients, f"chronowatch-{old}-", new, NOW_MS)
    assert sorted(copied.large) == [("ten ant", "a"), ("ten ant", "b/é")]
    assert before.purge("ten ant", "a") is False
    assert before.get("ten ant", "a", kept["a"].name) is None, "it was deleted after the backup"
    for given in (f"s3://{buckets[0]}", f"{buckets[0]}/{old}"):
        assert restored_values.copy(s3, given, buckets[1], new, copied.large) == 2
    for run_id, made in kept.items():
        assert after.get("ten ant", run_id, made.name) == made.content
    assert after.get("ten ant", "of-no-run", "n") is None


def test_a_bucket_that_cannot_be_meant_is_refused_by_name(clients: Clients, buckets: list[str]) -> None:
    s3 = clients.get("s3")
    for stage in ("one", "two"):
        S3LargeValueStore(clients.factory("s3"), buckets[0], stage).put("t", "r", "n", b"x")
    for given, target, said in (
        (buckets[0], buckets[1], "--values: say .*/STAGE: it holds values of one, two"),
        ("chronowatch-no-such", buckets[1], "--values: there is no bucket chronowatch-no-such"),
        (buckets[0], None, "--values: set CHRONO_VALUE_BUCKET"),
    ):
        with pytest.raises(RestoreFailed, match=said):
            restored_values.copy(s3, given, target, "new", [("t", "r")])


def test_monitors_watch_again_and_nothing_is_announced_twice(clients: Clients, two_stages: tuple[str, str]) -> None:
    old, new = two_stages
    clock = MovableClock(NOW_MS)
    lost = AlertPlay(services(clients, old, clock, Recorder(clock)))
    rule, quiet, fails = lost.rule(), lost.monitor(), lost.monitor()
    for monitor in (quiet, fails):
        assert lost.ping(monitor.ping_token)
    assert lost.ping(fails.ping_token, "fail")
    copied = restore.copy(clients, f"chronowatch-{old}-", new, clock.now_ms())
    lost.until(clock.now_ms() + 60_000)  # after the backup all of it is announced
    assert len(lost.messages) == 4

    again = AlertPlay(services(clients, new, clock, Recorder(clock)))
    again.until(clock.now_ms() + 120_000)
    assert again.events == again.messages == [], "workers that run before it is settled find nothing"
    restored_alerts.settle(again.s, copied.alerts)
    began_ms = clock.now_ms()
    again.until(began_ms + 4_000)
    assert again.events == again.messages == []
    again.until(began_ms + 60_000)
    assert [state for _, state in again.events] == ["down"], "one is down since before, the other has missed its ping"
    assert heartbeats.get(again.s, ANONYMOUS_ADMIN, quiet.id).state == "down"
    assert len(again.messages) == 2
    assert not {event for event, _ in again.events} & {event for event, _ in lost.events}
    assert not {key for key, _, _ in again.messages} & {key for key, _, _ in lost.messages}
    assert {key.partition("-")[0] for key, _, _ in again.messages} == {rule.id}


def test_a_stage_with_messages_or_workflows_is_refused(clients: Clients, two_stages: tuple[str, str]) -> None:
    old, new = two_stages
    sqs = clients.get("sqs")
    for logical in restore.QUEUES:
        url = sqs.get_queue_url(QueueName=state(new).queue(logical).name)["QueueUrl"]
        for delay_s in (0, 900):
            sqs.send_message(QueueUrl=url, MessageBody="{}", DelaySeconds=delay_s)
        with pytest.raises(
            restore.RestoreFailed, match=f"{logical} holds 2 messages, which would fire: purge it first"
        ):
            restore.copy(clients, f"chronowatch-{old}-", new, NOW_MS)
        sqs.purge_queue(QueueUrl=url)
    made = services(clients, new, MovableClock(NOW_MS), Recorder(MovableClock(NOW_MS)))
    made.stores.workflows.save_version("default", "order", "v", "{}")
    with pytest.raises(restore.RestoreFailed, match=f"chronowatch-{new}-workflows is not empty"):
        restore.copy(clients, f"chronowatch-{old}-", new, NOW_MS)


def test_what_cannot_be_restored_is_refused(clients: Clients, two_stages: tuple[str, str]) -> None:
    old, new = two_stages
    target = services(clients, old, MovableClock(NOW_MS), Recorder(MovableClock(NOW_MS)))
    schedules.create(target, CALLER, ScheduleRequest(type="RATE", expr="rate:10s"), target.ids.ulid(NOW_MS))
    for prefix, stage, said in (
        ("nowhere-", new, "there is no table nowhere-schedules"),
        (f"chronowatch-{new}-", new, "the backup's tables are those of the stage"),
        (f"chronowatch-{new}-", old, "is not empty: restore into a stage that was deployed for it"),
    ):
        with pytest.raises(restore.RestoreFailed, match=said):
            restore.copy(clients, prefix, stage, NOW_MS)
    with pytest.raises(restore.RestoreFailed, match="--stage: no such stage: nowhere"):
        restore.chosen_settings("nowhere")
