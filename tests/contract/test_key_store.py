"""Every sentence of ``KeyStore``, on every adapter."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.core.keys import key_ring
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_ring import KeyRing, RingChange, RingEntry
from chalicelib.core.keys.limits import KEY_CIDRS_MAX, KEYS_CLEARED_MAX, KEYS_MAX
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.keys import KeptKey, KeyStore
from tests.kit.api_keys import api_key
from tests.kit.records import START_MS
from tests.kit.threads import run_together


@pytest.fixture
def keys(stores: Stores) -> KeyStore:
    return stores.keys


@pytest.fixture
def new_key(tenant: str) -> Callable[..., ApiKey]:
    """Makes keys whose ids no other test has."""
    return lambda **changes: api_key(uuid.uuid4().hex[:8], **{"tenant": tenant} | changes)


def added(keys: KeyStore, *made: ApiKey) -> KeyRing:
    """The ring after these keys were made."""
    for key in made:
        assert keys.change(key_ring.decide_create(keys.ring(key.tenant), key, START_MS))
    return keys.ring(made[0].tenant)


def test_a_tenant_without_keys_has_an_empty_ring_at_rev_0(keys: KeyStore, tenant: str) -> None:
    assert keys.ring(tenant) == KeyRing(tenant)
    assert keys.load("none0000") is None
    assert keys.load_many([]) == keys.load_many(["none0000"]) == {}


def test_a_key_is_found_by_its_id_whatever_its_tenant(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    full = new_key(
        roles=("admin", "é"),
        permissions=("schedules:read",),
        expires_at_unix_ms=START_MS + 1,
        cidrs=("10.0.0.0/8", "2001:db8::/32"),
        replaces="00000000",
        request="r",
        rev=7,
        hlc="1.0",
        origin="test",
    )
    ring = added(keys, full)
    assert keys.load(full.id) == KeptKey(full, None)
    assert ring == KeyRing(full.tenant, 1, (RingEntry(full.id, START_MS, True, START_MS + 1),))


def test_several_are_read_at_once_and_those_that_are_missing_left_out(
    keys: KeyStore, new_key: Callable[..., ApiKey]
) -> None:
    some = [new_key() for _ in range(4)]
    added(keys, *some)
    assert keys.load_many([*(key.id for key in some), "none0000"]) == {key.id: KeptKey(key) for key in some}


def test_tenants_have_rings_of_their_own(keys: KeyStore, new_key: Callable[..., ApiKey], tenant: str) -> None:
    added(keys, new_key())
    for other in (tenant + "#keys", tenant + "%23keys", tenant + "#"):
        assert keys.ring(other) == KeyRing(other)
    added(keys, new_key(tenant=tenant + "#"))
    assert keys.ring(tenant).rev == 1


def test_a_change_makes_edits_and_removes_together(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    edited, removed, made = new_key(), new_key(), new_key()
    ring = added(keys, edited, removed)
    now = replace(edited, rev=2, expires_at_unix_ms=START_MS)
    change = RingChange(KeyRing(ring.tenant, 3, ring.entries[:1]), (made,), (now,), (removed.id,))
    assert keys.change(change)
    assert (keys.load(edited.id), keys.load(removed.id), keys.load(made.id)) == (KeptKey(now), None, KeptKey(made))
    assert keys.ring(ring.tenant) == change.ring


@pytest.mark.parametrize("rev", [1, 2, 4])
def test_under_a_moved_rev_nothing_is_written(keys: KeyStore, new_key: Callable[..., ApiKey], rev: int) -> None:
    old, made = new_key(), new_key()
    ring = added(keys, old, new_key())
    change = RingChange(KeyRing(ring.tenant, rev), (made,), (replace(old, rev=2),), (ring.entries[1].id,))
    assert not keys.change(change)
    assert (keys.load(made.id), keys.load(old.id), keys.ring(ring.tenant)) == (None, KeptKey(old), ring)
    assert keys.load(ring.entries[1].id) is not None


def test_an_id_that_is_taken_is_not_given_again(keys: KeyStore, new_key: Callable[..., ApiKey], tenant: str) -> None:
    mine = new_key()
    added(keys, mine)
    theirs = replace(mine, tenant=tenant + "-2", name="theirs")
    assert not keys.change(key_ring.decide_create(keys.ring(theirs.tenant), theirs, START_MS))
    assert (keys.load(mine.id), keys.ring(theirs.tenant).rev) == (KeptKey(mine), 0)


def test_a_key_that_is_gone_is_not_edited(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    ring = added(keys, new_key())
    gone = new_key()
    assert not keys.change(RingChange(KeyRing(ring.tenant, 2), edited=(gone,)))
    assert (keys.load(gone.id), keys.ring(ring.tenant)) == (None, ring)


def test_removing_what_is_not_there_changes_nothing_else(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    ring = added(keys, new_key())
    assert keys.change(RingChange(KeyRing(ring.tenant, 2), removed=("none0000",)))


def test_a_use_is_noted_once_in_a_while(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    key = new_key()
    added(keys, key)
    assert keys.mark_used(key.id, START_MS, START_MS - 60_000)
    assert keys.load(key.id) == KeptKey(key, START_MS)
    assert not keys.mark_used(key.id, START_MS + 59_999, START_MS - 1)
    assert keys.load(key.id) == KeptKey(key, START_MS)
    assert keys.mark_used(key.id, START_MS + 60_000, START_MS)
    assert keys.load_many([key.id]) == {key.id: KeptKey(key, START_MS + 60_000)}


def test_a_use_makes_no_key(keys: KeyStore) -> None:
    assert not keys.mark_used("none0000", START_MS, START_MS)
    assert keys.load("none0000") is None


def test_an_edited_key_keeps_its_last_use(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    key = new_key()
    ring = added(keys, key)
    keys.mark_used(key.id, START_MS + 5, START_MS)
    edited = replace(key, rev=2)
    assert keys.change(RingChange(KeyRing(ring.tenant, 2, ring.entries), edited=(edited,)))
    assert keys.load(key.id) == KeptKey(edited, START_MS + 5)


def test_the_fullest_ring_and_the_largest_key(keys: KeyStore, new_key: Callable[..., ApiKey], tenant: str) -> None:
    entries = tuple(RingEntry(f"{n:08d}", START_MS, True, START_MS * 2) for n in range(KEYS_MAX))
    largest = new_key(
        name="é" * 128, owner="é" * 128, permissions=tuple(f"noun{n}:write" for n in range(64)),
        cidrs=tuple(f"2001:db8:{n:x}::ffff:0:0:0/128" for n in range(KEY_CIDRS_MAX)),
    )  # fmt: skip
    removed = tuple(f"gone{n:04d}" for n in range(KEYS_CLEARED_MAX))
    assert keys.change(RingChange(KeyRing(tenant, 1, entries), (largest,), (), removed))
    assert (keys.load(largest.id), keys.ring(tenant).entries) == (KeptKey(largest), entries)


def test_of_many_changes_at_once_each_rev_is_won_by_one(keys: KeyStore, new_key: Callable[..., ApiKey]) -> None:
    ring = added(keys, new_key())
    rivals = [new_key() for _ in range(6)]
    won: list[str] = []

    def change(key: ApiKey) -> None:
        if keys.change(key_ring.decide_create(ring, key, START_MS)):
            won.append(key.id)

    run_together([lambda key=key: change(key) for key in rivals])
    assert len(won) == 1
    assert [entry.id for entry in keys.ring(ring.tenant).entries] == [ring.entries[0].id, *won]
    assert [key.id for key in rivals if keys.load(key.id)] == won
