"""A database that was restored to an earlier moment fires nothing twice, and goes on when it is told to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import decode, encode

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.stores import open_stores
from chalicelib.adapters.postgres.work_queue import PostgresQueue
from chalicelib.core.errors import Conflict
from chalicelib.core.executions.execution import PENDING
from chalicelib.core.heartbeats.heartbeat import Crossing, Heartbeat
from chalicelib.core.notices.rule import NotificationRule
from chalicelib.core.notices.rule_book import RuleBook
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.triggers.watch import Watch
from chalicelib.engine import heartbeats, restored, shards
from chalicelib.ports.stores.alerts import AlertRecord
from chalicelib.ports.work_queue import Outgoing
from chalicelib.usecases import schedules
from chalicelib.workers.cluster.ownership import Node
from infra import restored_database
from tests.kit.plant import CALLER
from tests.kit.records import execution
from tests.kit.services import make_services


def test_nothing_of_before_fires_until_it_is_resumed(postgres: PostgresDatabase) -> None:
    s = make_services(stores=open_stores(postgres))
    new = s.ids.ulid(s.clock.now_ms())
    made = schedules.create(s, CALLER, ScheduleRequest(type="RATE", expr="rate:1h"), new)
    at = made.state.key
    claimed = execution(at, s.clock.now_ms(), made.state.shard, state=PENDING, lease_until_ms=s.clock.now_ms())
    s.stores.executions.insert([claimed])
    queue = PostgresQueue(postgres)
    queue.send([Outgoing(Run(claimed.key, 1, claimed.firing_ms), 0)])
    s.stores.triggers.save_watch(Watch(CALLER.tenant, at.id, "absence", "k", 1, "armed", s.clock.now_ms()), 0)
    assert s.stores.triggers.due_watches(2**60, 10)
    s.stores.leases.save(CALLER.tenant, "mine", lease_text(CALLER.tenant), 1, 0)

    assert s.stores.schedules.due(made.state.shard, 2**60, 10)
    done = restored_database.settle(s, postgres)
    assert (done.schedules, done.paused, done.executions) == (1, 1, 1)
    assert queue.next_in_ms() is None
    assert s.stores.triggers.due_watches(2**60, 10) == []
    assert not s.stores.schedules.due(made.state.shard, 2**60, 10)
    state = s.stores.schedules.states([at])[at]
    assert state.fence >= restored.TOKENS_RAISED
    assert state.status == "paused"
    kept = s.stores.leases.load(CALLER.tenant, "mine")
    assert kept is not None
    assert str(restored.TOKENS_RAISED + 7) in kept[0]
    assert restored_database.settle(s, postgres).paused == 1, "a run that died is run again"
    again = s.stores.leases.load(CALLER.tenant, "mine")
    assert again is not None
    assert str(2 * restored.TOKENS_RAISED + 7) in again[0], "this may as well be a backup of what was restored once"
    assert restored.settle_schedule(s, at, s.clock.now_ms()).state.fence > 2 * restored.TOKENS_RAISED
    assert restored.resume(s) == 1
    assert [entry.key for entry in s.stores.schedules.due(made.state.shard, 2**60, 10)] == [at]


def test_a_database_that_workers_use_is_left_alone(postgres: PostgresDatabase) -> None:
    s = make_services(stores=open_stores(postgres))
    made = schedules.create(s, CALLER, ScheduleRequest(type="RATE", expr="rate:1h"), s.ids.ulid(s.clock.now_ms()))
    node = Node([shards.SWEEP])
    node.tick(s)
    with pytest.raises(Conflict, match=f"workers live on this database: {s.config.instance}; stop all of them"):
        restored_database.settle(s, postgres)
    assert s.stores.schedules.states([made.state.key])[made.state.key].status == "active"
    node.leave(s)
    assert restored_database.settle(s, postgres).paused == 1


def test_monitors_start_quiet_and_go_on_watching(postgres: PostgresDatabase) -> None:
    s = make_services(stores=open_stores(postgres))
    now_ms = s.clock.now_ms()
    untold = Crossing(3, "down", now_ms - 5000, "missed")
    waits = monitor("A" * 26, now_ms, state="up", expected_ms=now_ms - 60_000)
    tells = monitor("B" * 26, now_ms, state="down", down_since_ms=now_ms - 5000, untold=(untold,), crossings=3)
    for each in (waits, tells):
        assert s.stores.alerts.save(heartbeats.record_of(each), 0)
    rule_id = "R" * 26
    sends = RuleBook(tenant=CALLER.tenant, id=rule_id, rev=1, counter=4, due_ms=now_ms)
    for kind, document in (("rule", encode(rule(rule_id)).decode()), ("book", encode(sends).decode())):
        wake_ms = now_ms if kind == "book" else None
        assert s.stores.alerts.save(AlertRecord(CALLER.tenant, kind, rule_id, document, 1, wake_ms=wake_ms), 0)
    assert len(s.stores.alerts.woken(now_ms, 10)) == 3, "all would alert at once"

    restored_database.settle(s, postgres)
    assert s.stores.alerts.woken(now_ms, 10) == []
    expecting = heartbeats.load(s, CALLER.tenant, waits.id)
    assert (expecting.state, expecting.expected_ms) == ("up", now_ms + 60_000)
    assert [each.id for each in s.stores.alerts.woken(now_ms + 3_600_000, 10)] == [waits.id]
    silent = heartbeats.load(s, CALLER.tenant, tells.id)
    assert (silent.state, silent.untold) == ("down", ())
    assert silent.crossings > 1_000_000, "no change to come has the number of one that was announced"
    book = s.stores.alerts.load(CALLER.tenant, "book", rule_id)
    assert book is not None
    assert decode(book.document)["counter"] > 1_000_000, "no message to come has the number of one that was sent"


def rule(rule_id: str) -> NotificationRule:
    channel = {"type": "webhook", "url": "https://example.com/"}
    fixed = {"tenant": CALLER.tenant, "version": "v", "name": "n", "owner": "ann", "created_ms": 1, "updated_ms": 1}
    return NotificationRule(**fixed, id=rule_id, when=("failed",), channels=(channel,))  # type: ignore[arg-type]


def monitor(monitor_id: str, now_ms: int, **more: Any) -> Heartbeat:
    fixed = {"version": "v", "name": "n", "type": "RATE", "expr": "rate:1m", "timezone": "UTC", "owner": "ann"}
    tokens = {"ping_token": f"p{monitor_id}", "badge_token": f"b{monitor_id}"}
    made = {"tenant": CALLER.tenant, "id": monitor_id, "grace_ms": 1000, "created_ms": now_ms, "updated_ms": now_ms}
    return Heartbeat(**{**fixed, **tokens, **made, **more})


def lease_text(tenant: str) -> str:
    from chalicelib.core.leases import lease_document
    from chalicelib.core.leases.lease_item import LeaseItem

    return lease_document.write(LeaseItem(tenant, "mine", 1, 7, "me", "ann", 1000))
