"""A database that was restored to an earlier moment fires nothing twice, and goes on when it is told to."""

from __future__ import annotations

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.stores import open_stores
from chalicelib.adapters.postgres.work_queue import PostgresQueue
from chalicelib.core.executions.execution import PENDING
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.triggers.watch import Watch
from chalicelib.engine import restored
from chalicelib.ports.work_queue import Outgoing
from chalicelib.usecases import schedules
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
    assert restored_database.settle(s, postgres).paused == 0, "doing it again changes nothing"
    assert restored.resume(s) == 1
    assert [entry.key for entry in s.stores.schedules.due(made.state.shard, 2**60, 10)] == [at]


def lease_text(tenant: str) -> str:
    from chalicelib.core.leases import lease_document
    from chalicelib.core.leases.lease_item import LeaseItem

    return lease_document.write(LeaseItem(tenant, "mine", 1, 7, "me", "ann", 1000))
