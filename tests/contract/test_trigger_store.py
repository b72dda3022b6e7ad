"""Every sentence of ``TriggerStore``, on every adapter; and executions that an event names, in their store."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Key
from chalicelib.core.triggers.listening import Listening
from chalicelib.core.triggers.throttle import Passed, ThrottleState
from chalicelib.core.triggers.trigger import AbsenceRule, DedupeRule, ThrottleRule, Trigger, TriggerRules
from chalicelib.core.triggers.watch import Arrival, Watch
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.triggers import DueWatch, ListenedTrigger, TriggerStore
from tests.kit.records import START_MS, execution
from tests.kit.threads import run_together

ID = "01KB" + "0" * 22
FIRST = "a" * 26


@pytest.fixture
def store(stores: Stores) -> TriggerStore:
    return stores.triggers


def trigger(tenant: str, number: int = 0, rev: int = 1) -> Trigger:
    rules = TriggerRules(
        source={"type": "kafka", "brokers": ["b:9092"], "topic": "ä"},
        filter="event.type == 'x'",
        dedupe=DedupeRule("event.id", 5),
        debounce_ms=3,
        throttle=ThrottleRule(2, 7),
        absence=AbsenceRule("true", 9),
    )
    return Trigger(
        tenant=tenant, id=ID[:-2] + f"{number:02d}", name="ö", rules=rules, token="t", rev=rev, created_ms=START_MS
    )


def test_none_of_a_tenant_that_never_made_one(store: TriggerStore, tenant: str) -> None:
    assert store.load(tenant, ID) is None
    assert store.page(tenant, 5, None) == ([], None)
    assert store.noted(tenant, ID, 5, None) == ([], None)
    assert store.throttle(tenant, ID) == ThrottleState(tenant, ID)
    assert store.watch(tenant, ID, "absence", "k") == Watch(tenant, ID, "absence", "k")


def test_lists_those_that_a_worker_listens_for(store: TriggerStore, tenant: str) -> None:
    first, second = trigger(tenant), trigger(tenant, 1)
    for one in (first, second):
        store.save(one, 0)
    mine = [ListenedTrigger(tenant, one.id, 1) for one in (first, second)]
    assert [found for found in store.listened() if found.tenant == tenant] == mine
    brought = replace(second, rev=2, rules=replace(second.rules, source={"type": "webhook"}))
    store.save(brought, 1)
    store.save(replace(first, rev=2), 1)
    assert [found for found in store.listened() if found.tenant == tenant] == [ListenedTrigger(tenant, first.id, 2)]
    store.delete(tenant, first.id, 2)
    assert [found for found in store.listened() if found.tenant == tenant] == []


def test_saves_under_its_revision(store: TriggerStore, tenant: str) -> None:
    first = trigger(tenant)
    assert not store.save(first, 3)
    assert store.save(first, 0)
    assert not store.save(first, 0)
    assert store.load(tenant, first.id) == first
    second = replace(first, rev=2, name="other")
    assert store.save(second, 1)
    assert not store.save(replace(first, rev=3), 1)
    assert not store.delete(tenant, first.id, 1)
    assert not store.delete(tenant, first.id, 0)
    assert store.load(tenant, first.id) == second
    assert store.delete(tenant, first.id, 2)
    assert store.load(tenant, first.id) is None


def test_lists_the_newest_first(store: TriggerStore, tenant: str) -> None:
    made = [trigger(tenant, number) for number in (3, 1, 2, 0)]
    for one in made:
        store.save(one, 0)
    store.save(trigger(tenant + "2", 9), 0)
    first, after = store.page(tenant, 3, None)
    assert [one.id[-1] for one in first] == ["3", "2", "1"]
    assert after is not None
    last, end = store.page(tenant, 3, after)
    assert ([one.id[-1] for one in last], end) == (["0"], None)
    assert store.page(tenant, 4, None)[1] is None


def test_a_key_is_held_by_one_event_until_then(store: TriggerStore, tenant: str) -> None:
    one, other = Arrival(FIRST, '{"a":"ä"}', 2), Arrival("b" * 26, "{}", 0)
    assert store.claim_key(tenant, ID, "k", one, 100, 200) == one
    assert store.claim_key(tenant, ID, "k", other, 199, 299) == one
    assert store.claim_key(tenant, ID, "k", one, 199, 299) == one
    assert store.claim_key(tenant, ID, "k2", other, 199, 299) == other
    assert store.claim_key(tenant, ID, "k", other, 200, 300) == other


def test_of_many_that_claim_a_key_at_once_one_holds_it(store: TriggerStore, tenant: str) -> None:
    held: list[str] = []

    def claim(number: int) -> None:
        held.append(store.claim_key(tenant, ID, "k", Arrival(f"{number:026d}", "{}", 0), 100, 200).digest)

    run_together([lambda number=number: claim(number) for number in range(5)])  # type: ignore[misc]
    assert len(held) == 5
    assert len(set(held)) == 1


def test_lists_what_fired_the_newest_first(store: TriggerStore, tenant: str) -> None:
    names = [letter * 26 for letter in "abcd"]
    for place, name in enumerate(names):
        store.note(tenant, ID, START_MS + place // 2, name)
        store.note(tenant, ID, START_MS + place // 2, name)
    first, after = store.noted(tenant, ID, 3, None)
    assert first == [names[3], names[2], names[1]]
    assert after is not None
    assert store.noted(tenant, ID, 3, after) == ([names[0]], None)
    assert store.noted(tenant, ID, 4, None)[1] is None
    assert store.noted(tenant, ID + "x", 4, None) == ([], None)


def test_the_throttle_is_saved_under_its_revision(store: TriggerStore, tenant: str) -> None:
    state = ThrottleState(tenant, ID, 1, (Passed(START_MS, FIRST),), 3)
    assert store.save_throttle(state, 0)
    assert not store.save_throttle(state, 0)
    assert store.throttle(tenant, ID) == state
    assert store.save_throttle(replace(state, rev=2), 1)
    assert not store.save_throttle(replace(state, rev=2), 1)


def test_what_workers_say_of_sources_is_saved_under_its_revision(store: TriggerStore, tenant: str) -> None:
    one = Listening(
        tenant=tenant, trigger_id=ID, source_since_ms=3, state="failing", since_ms=START_MS, seen_ms=START_MS + 1,
        by="w", last_error="ä: refused", last_error_ms=START_MS, rev=1,
    )  # fmt: skip
    other = replace(one, trigger_id=ID[:-1] + "7", last_error=None, last_error_ms=None)
    assert store.listenings(tenant, [ID, other.trigger_id]) == {}
    assert store.listenings(tenant, []) == {}
    assert not store.save_listening(one, 1)
    assert store.save_listening(one, 0)
    assert not store.save_listening(one, 0)
    assert store.save_listening(other, 0)
    assert store.save_listening(replace(one, tenant=tenant + "2"), 0)
    assert store.listenings(tenant, [other.trigger_id, ID, "0" * 26]) == {ID: one, other.trigger_id: other}
    newer = replace(one, rev=2, state="listening")
    assert store.save_listening(newer, 1)
    assert not store.save_listening(newer, 1)
    assert store.listenings(tenant, [ID]) == {ID: newer}


def test_a_watch_is_due_while_it_is_not_idle(store: TriggerStore, tenant: str) -> None:
    armed = Watch(tenant, ID, "absence", "k", 1, "armed", START_MS, FIRST, '{"ä":1}', 4, (FIRST,))
    debounced = replace(armed, kind="debounce", key="", due_ms=START_MS - 1)
    assert store.save_watch(armed, 0)
    assert not store.save_watch(armed, 0)
    assert store.save_watch(debounced, 0)
    assert store.watch(tenant, ID, "absence", "k") == armed
    mine = [due for due in store.due_watches(START_MS, 100) if due.tenant == tenant]
    assert mine == [
        DueWatch(tenant, ID, "debounce", "", START_MS - 1),
        DueWatch(tenant, ID, "absence", "k", START_MS),
    ]
    assert store.due_watches(START_MS - 2, 100) == []
    firing = replace(armed, rev=2, state="firing")
    assert store.save_watch(firing, 1)
    assert len([due for due in store.due_watches(START_MS, 100) if due.tenant == tenant]) == 2
    idle = replace(firing, rev=3, state="idle", due_ms=0, digest="", event="", depth=0)
    assert store.save_watch(idle, 2)
    assert not store.save_watch(idle, 2)
    assert store.watch(tenant, ID, "absence", "k") == idle
    assert store.save_watch(replace(debounced, rev=2, state="idle"), 1)
    assert [due for due in store.due_watches(START_MS, 100) if due.tenant == tenant] == []


def test_an_execution_that_an_event_names(stores: Stores, tenant: str, shard: int) -> None:
    store, key = stores.executions, Key(tenant, ID)
    plain = execution(key, START_MS, shard=shard)
    of_event = replace(plain, event=FIRST, requested=True, payload='{"ä":1}', retry_at_ms=START_MS)
    assert store.insert([of_event, of_event, plain]) == [True, False, True]
    assert of_event.id == f"{ID}-{FIRST}"
    assert store.get([of_event.key, plain.key]) == {of_event.key: of_event, plain.key: plain}
    assert store.of_schedule(key, 0, START_MS * 2, 10, None)[0] == [plain]
    assert set(store.recent(tenant, [shard], START_MS, START_MS, 10, None).keys) == {of_event.key, plain.key}
    assert store.recent(tenant, [shard], START_MS + 1, START_MS * 2, 10, None).keys == []
    assert store.open_until(shard, START_MS, 10).keys == [of_event.key]
    ended = replace(of_event, rev=2, state="completed", finished_ms=START_MS, retry_at_ms=None)
    assert store.update([(ended, 1), (ended, 1)]) == [True, False]
    assert store.get([of_event.key]) == {of_event.key: ended}
    assert store.open_until(shard, START_MS, 10).keys == []


def test_a_schedule_of_a_trigger_is_in_no_list(stores: Stores, tenant: str, shard: int) -> None:
    from chalicelib.ports.stores.schedules import ScheduleFilter
    from tests.kit.records import schedule

    key = Key(tenant, ID)
    made = schedule(key, shard=shard)
    hidden = replace(made, definition=replace(made.definition, by_events=True))
    stores.schedules.create(hidden)
    assert stores.schedules.get([key])[key].definition.by_events
    assert stores.schedules.list(tenant, ScheduleFilter(), 10, None).ids == []
    assert stores.schedules.census(tenant, 10, None).counts == {}
