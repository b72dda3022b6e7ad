"""What ``ScheduleStore`` says of what counts, on every adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.documents import partition
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.core.schedules.capacity import Limits, Used, unlimited
from chalicelib.core.schedules.schedule import Key, Schedule, VersionRef
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.schedules import CapacityFull, NameTaken, RevisionLost, ScheduleChange
from tests.kit.records import START_MS, edited, schedule
from tests.kit.threads import run_together

KeyMaker = Callable[[], Key]
NO_LIMITS = Limits(None, None)


def counting(
    stores: Stores, at: Key, shard: int, weight_bytes: int, limits: Limits | None = None, **more: Any
) -> Schedule:
    """A schedule that counts, in the place that the store gives it."""
    made = schedule(at, shard, **more)
    placed = replace(made.state, counted=stores.schedules.place(shard, limits), weight_bytes=weight_bytes)
    return replace(made, state=placed)


def spent(stores: Stores, at: Key, shard: int, queued_ms: int) -> Schedule:
    """A schedule that counts, whose last instant is on the queue."""
    made = counting(stores, at, shard, 100)
    return replace(made, state=replace(made.state, next_run_ms=None, queued_ms=queued_ms))


def grown(stores: Stores, before: Used) -> Used:
    """What counts more than before: other tests' schedules count too."""
    now = stores.schedules.used()
    return Used(now.jobs - before.jobs, now.weight_bytes - before.weight_bytes)


def above(before: Used, limits: Limits) -> Limits:
    """Limits that leave so much room beyond what counts already."""
    return Limits(
        None if limits.jobs is None else before.jobs + limits.jobs,
        None if limits.weight_bytes is None else before.weight_bytes + limits.weight_bytes,
    )


def gone(made: Schedule) -> ScheduleChange:
    state = made.state.with_version(VersionRef("gone", START_MS, False), status="deleted", next_run_ms=None)
    return ScheduleChange(replace(state, counted=-1, weight_bytes=0), made.state, None, None, None, None)


def heavier(made: Schedule, weight_bytes: int, limits: Limits | None, name: str | None = None) -> ScheduleChange:
    after = edited(made, "v2", START_MS + 1, name=name)
    names = [None if n is None else ("anonymous", n) for n in (made.definition.name, name)]
    state = replace(after.state, weight_bytes=weight_bytes)
    return ScheduleChange(state, made.state, after.definition, None, *names, limits)


@pytest.mark.parametrize("limits", [None, Limits(1 << 40, 1 << 40)], ids=["no limits", "limits"])
def test_what_counts_follows_the_schedules(
    stores: Stores, new_key: KeyMaker, shard: int, limits: Limits | None
) -> None:
    before = stores.schedules.used()
    a, b = counting(stores, new_key(), shard, 1000, limits), counting(stores, new_key(), shard + 1, 500, limits)
    stores.schedules.create(a, limits)
    stores.schedules.create(b, limits)
    stores.schedules.create(schedule(new_key()), limits)
    assert grown(stores, before) == Used(2, 1500)
    stores.schedules.change(heavier(a, 1200, limits))
    assert grown(stores, before) == Used(2, 1700)
    stores.schedules.change(gone(b))
    assert grown(stores, before) == Used(1, 1200)


def test_a_place_is_no_negative_number(stores: Stores, shard: int) -> None:
    assert stores.schedules.place(shard, None) >= 0
    assert stores.schedules.place(shard, NO_LIMITS) >= 0


@pytest.mark.parametrize("places", [None, NO_LIMITS], ids=["counted without limits", "counted under limits"])
@pytest.mark.parametrize(
    "room", [Limits(1, None), Limits(None, 1999), Limits(1, 5000), Limits(5, 1999), Limits(0, None)]
)
def test_without_room_nothing_is_written(
    stores: Stores, new_key: KeyMaker, shard: int, room: Limits, places: Limits | None
) -> None:
    first, second = new_key(), new_key()
    limits = above(stores.schedules.used(), room)
    stores.schedules.create(counting(stores, first, shard, 1000, places))
    before = stores.schedules.used()
    with pytest.raises(CapacityFull):
        stores.schedules.create(counting(stores, second, shard, 1000, NO_LIMITS, name="n"), limits)
    assert stores.schedules.used() == before
    assert stores.schedules.get([second]) == {}
    assert stores.schedules.named(second.tenant, [("anonymous", "n")]) == {}
    assert stores.schedules.jobs(second.tenant, "fresh", 100, None).ids == [first.id]


@pytest.mark.parametrize("places", [None, NO_LIMITS], ids=["counted without limits", "counted under limits"])
@pytest.mark.parametrize(
    ("room", "fits"),
    [(Limits(1, 1000), True), (Limits(1, None), True), (Limits(0, None), False), (Limits(None, 999), False)],
)
def test_the_first_of_a_place_is_judged_too(
    stores: Stores, key: Key, shard: int, room: Limits, fits: bool, places: Limits | None
) -> None:
    before = stores.schedules.used()
    made = counting(stores, key, shard, 1000, places)
    if fits:
        stores.schedules.create(made, above(before, room))
    else:
        with pytest.raises(CapacityFull):
            stores.schedules.create(made, above(before, room))
    assert grown(stores, before) == (Used(1, 1000) if fits else Used(0, 0))


def test_a_change_without_room_changes_nothing(stores: Stores, key: Key, shard: int) -> None:
    made = counting(stores, key, shard, 1000, name="a")
    stores.schedules.create(made)
    full = above(stores.schedules.used(), Limits(None, 0))
    with pytest.raises(CapacityFull):
        stores.schedules.change(heavier(made, 1001, full, "b"))
    assert stores.schedules.get([key])[key] == made
    assert stores.schedules.named(key.tenant, [("anonymous", "a"), ("anonymous", "b")]) == {("anonymous", "a"): key.id}


def test_what_does_not_grow_is_not_judged(stores: Stores, key: Key, shard: int) -> None:
    made = counting(stores, key, shard, 1000)
    stores.schedules.create(made)
    before, nothing = stores.schedules.used(), Limits(0, 0)
    stores.schedules.change(heavier(made, 900, nothing))
    assert grown(stores, before) == Used(0, -100)


def test_a_lost_race_and_a_taken_name_come_before_the_room(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    at, other, full = new_key(), new_key(), Limits(0, None)
    stores.schedules.create(counting(stores, at, shard, 1, name="n"))
    with pytest.raises(RevisionLost):
        stores.schedules.create(counting(stores, at, shard, 1, full, name="m"), full)
    with pytest.raises(NameTaken):
        stores.schedules.create(counting(stores, other, shard, 1, full, name="n"), full)


def test_the_limit_holds_among_many_at_once(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    keys, made, before = [new_key() for _ in range(24)], list[Key](), stores.schedules.used()
    limits = above(before, Limits(10, None))

    def create(at: Key) -> None:
        try:
            stores.schedules.create(counting(stores, at, shard, 10, limits), limits)
        except CapacityFull:
            return
        made.append(at)

    run_together([lambda at=at: create(at) for at in keys])  # type: ignore[misc]
    assert len(made) == 10
    assert grown(stores, before) == Used(10, 100)
    assert set(stores.schedules.states(keys)) == set(made)


def test_what_is_spent_is_found_and_released_once(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    keys, before = [new_key() for _ in range(3)], stores.schedules.used()
    made = [spent(stores, at, shard, START_MS + n) for n, at in enumerate(keys)]
    for one in made:
        stores.schedules.create(one)
    assert stores.schedules.spent(shard, START_MS + 1, 10) == keys[:2]
    assert stores.schedules.spent(shard, START_MS + 9, 2) == keys[:2]
    assert [due.key for due in stores.schedules.due(shard, START_MS * 2, 10)] == keys, "until they are released"
    ended = [m.state for m in made[:2]]
    assert list(stores.schedules.release(ended)) == [True, True]
    assert list(stores.schedules.release(ended)) == [False, False]
    assert grown(stores, before) == Used(1, 100)
    assert stores.schedules.spent(shard, START_MS + 9, 10) == keys[2:]
    assert [due.key for due in stores.schedules.due(shard, START_MS * 2, 10)] == keys[2:]
    freed = stores.schedules.states(keys[:1])[keys[0]]
    assert freed == replace(ended[0], rev=2, counted=-1, weight_bytes=0)


def test_a_release_is_atomic_one_by_one(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    before = stores.schedules.used()
    a, b, c = (spent(stores, new_key(), shard, START_MS) for _ in range(3))
    for one in (a, b, c):
        stores.schedules.create(one)
    assert list(stores.schedules.release([a.state, replace(b.state, rev=2), c.state])) == [True, False, True]
    assert grown(stores, before) == Used(1, 100)
    assert stores.schedules.states([b.state.key]) == {b.state.key: b.state}


def test_a_release_takes_any_number(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    before = stores.schedules.used()
    several = [spent(stores, new_key(), shard + n, START_MS) for n in range(30)]
    for one in several:
        stores.schedules.create(one)
    assert list(stores.schedules.release([one.state for one in several])) == [True] * 30
    assert grown(stores, before) == Used(0, 0)
    assert list(stores.schedules.release([])) == []


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({}, True),
        ({"counted": -1}, False),
        ({"status": "paused"}, False),
        ({"next_run_ms": START_MS + 5000}, False),
        ({"chained": True}, False),
        ({"chained": True, "queued_ms": None}, True),
    ],
)
def test_who_counts_and_has_nothing_left_is_spent(
    stores: Stores, key: Key, shard: int, fields: dict[str, Any], listed: bool
) -> None:
    made = spent(stores, key, shard, START_MS)
    changed = replace(made.state, **fields)
    stores.schedules.create(replace(made, state=changed))
    assert stores.schedules.spent(shard, START_MS, 10) == ([key] if listed else [])


def test_what_counts_nowhere_is_released_too(stores: Stores, new_key: KeyMaker, shard: int) -> None:
    before = stores.schedules.used()
    counted, free, gone = (spent(stores, new_key(), shard, START_MS) for _ in range(3))
    free, gone = (replace(one, state=unlimited(one.state)) for one in (free, gone))
    for one in (counted, free, gone):
        stores.schedules.create(one)
    assert grown(stores, before) == Used(1, 100)
    assert len(stores.schedules.spent(shard, START_MS, 10)) == 3
    several = [free.state, counted.state, replace(gone.state, rev=2)]
    assert list(stores.schedules.release(several)) == [True, True, False]
    assert stores.schedules.spent(shard, START_MS, 10) == [gone.state.key]
    assert stores.schedules.states([free.state.key])[free.state.key] == replace(free.state, rev=2, counted=-1)
    assert grown(stores, before) == Used(0, 0)


@pytest.mark.emulator
def test_what_an_older_release_listed_as_spent_is_found(
    clients: Clients, resources: Any, new_key: KeyMaker, shard: int
) -> None:
    """Releases before kept them under another key of the index."""
    mine, _ = resources
    client = clients.get("dynamodb")
    stores = open_stores(lambda: client, mine.stage)
    older, newer = (spent(stores, new_key(), shard, START_MS) for _ in range(2))
    for one in (older, newer):
        stores.schedules.create(one)
    client.update_item(
        TableName=mine.table("schedules").name,
        Key={"pk": {"S": partition(*older.state.key)}, "sk": {"S": "state"}},
        UpdateExpression="SET due_shard = :s",
        ExpressionAttributeValues={":s": {"S": f"spent#{shard}"}},
    )
    assert stores.schedules.spent(shard, START_MS, 10) == [older.state.key, newer.state.key]
    assert list(stores.schedules.release([older.state, newer.state])) == [True, True]
    assert stores.schedules.spent(shard, START_MS, 10) == []
