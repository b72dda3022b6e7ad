"""What may become of a tenant's keys."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict
from chalicelib.core.keys import key_ring
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_ring import KeyRing, RingEntry
from chalicelib.core.keys.limits import KEY_KEPT_MS, KEYS_CLEARED_MAX, KEYS_MAX
from tests.kit.api_keys import api_key
from tests.kit.records import START_MS

NOW = START_MS + 1000


def ring_of(*made: ApiKey) -> KeyRing:
    ring = KeyRing("default")
    for key in made:
        ring = key_ring.decide_create(ring, key, START_MS).ring
    return ring


def admin(key_id: str, **changes: Any) -> ApiKey:
    return api_key(key_id, roles=("admin",), **changes)


def refused(code: str) -> Any:
    return pytest.raises(Conflict, check=lambda error: error.code == code)


def test_a_new_key_comes_last_at_the_next_rev() -> None:
    change = key_ring.decide_create(ring_of(api_key("a" * 8)), admin("b" * 8, expires_at_unix_ms=5), START_MS)
    assert change.ring.rev == 2
    assert change.ring.entries[1] == RingEntry("b" * 8, START_MS, True, 5)
    assert (change.made, change.edited, change.removed) == ((admin("b" * 8, expires_at_unix_ms=5),), (), ())


def test_a_ring_has_its_bound_and_those_long_ended_make_room() -> None:
    live = tuple(RingEntry(f"{n:08d}", START_MS, False) for n in range(KEYS_MAX - 1))
    full = KeyRing("default", 9, (RingEntry("o" * 8, 0, False, NOW - KEY_KEPT_MS + 1), *live))
    with refused("too_many_keys"):
        key_ring.decide_create(full, api_key("n" * 8), NOW)
    change = key_ring.decide_create(full, api_key("n" * 8), NOW + 1)
    assert change.removed == ("o" * 8,)
    assert len(change.ring.entries) == KEYS_MAX


def test_a_change_clears_so_many_and_no_more() -> None:
    ended = tuple(RingEntry(f"{n:08d}", 0, False, 1) for n in range(KEYS_CLEARED_MAX + 5))
    change = key_ring.decide_create(KeyRing("default", 1, ended), api_key("n" * 8), NOW)
    assert len(change.removed) == KEYS_CLEARED_MAX
    assert len(change.ring.entries) == 6


def test_a_rotation_ends_the_old_key_and_only_ever_sooner() -> None:
    old, new = api_key("a" * 8), api_key("b" * 8, replaces="a" * 8)
    change = key_ring.decide_rotate(ring_of(old), old, new, NOW + 50, NOW)
    assert change.edited == (replace(old, expires_at_unix_ms=NOW + 50),)
    assert [(e.id, e.expires_ms) for e in change.ring.entries] == [("a" * 8, NOW + 50), ("b" * 8, None)]
    ends = api_key("a" * 8, expires_at_unix_ms=NOW + 10)
    assert key_ring.decide_rotate(ring_of(ends), ends, new, NOW + 50, NOW).edited[0].expires_at_unix_ms == NOW + 10


def test_what_has_ended_is_not_rotated() -> None:
    ended = api_key("a" * 8, expires_at_unix_ms=NOW)
    with refused("key_ended"):
        key_ring.decide_rotate(ring_of(ended), ended, api_key("b" * 8), NOW, NOW)


def test_the_last_admin_key_stays() -> None:
    ring = ring_of(admin("a" * 8), api_key("b" * 8), admin("c" * 8, expires_at_unix_ms=NOW))
    with refused("last_admin_key"):
        key_ring.decide_delete(ring, "a" * 8, NOW, admin_elsewhere=False)
    assert key_ring.decide_delete(ring, "a" * 8, NOW - 1, admin_elsewhere=False).removed == ("a" * 8,)
    assert key_ring.decide_delete(ring, "a" * 8, NOW, admin_elsewhere=True).removed == ("a" * 8,)
    for other in ("b" * 8, "c" * 8):
        change = key_ring.decide_delete(ring, other, NOW, admin_elsewhere=False)
        assert (change.removed, len(change.ring.entries)) == ((other,), 2)


def test_one_that_leaked_goes_although_it_is_the_last() -> None:
    change = key_ring.decide_revoke(ring_of(admin("a" * 8)), "a" * 8, NOW)
    assert (change.removed, change.ring.entries, change.ring.rev) == (("a" * 8,), (), 2)


def test_an_ended_key_that_is_deleted_is_removed_once() -> None:
    ring = KeyRing("default", 1, (RingEntry("a" * 8, 0, False, 1),))
    assert key_ring.decide_revoke(ring, "a" * 8, NOW).removed == ("a" * 8,)


def test_pages_go_from_the_newest_key_on_whatever_comes_and_goes() -> None:
    ring = ring_of(*(api_key(f"{n:08d}", created_at_unix_ms=START_MS + n // 2) for n in range(6)))
    first, after = key_ring.page(ring, 3, None)
    assert first == ["00000005", "00000004", "00000003"]
    later = key_ring.decide_create(ring, api_key("n" * 8, created_at_unix_ms=NOW), NOW).ring
    later = key_ring.decide_revoke(later, "00000003", NOW).ring
    assert key_ring.page(later, 3, after) == (["00000002", "00000001", "00000000"], None)
    assert key_ring.page(ring, 6, None)[1] is None
    assert key_ring.page(KeyRing("t"), 6, None) == ([], None)


def test_a_document_gives_the_ring_back() -> None:
    ring = replace(ring_of(admin("a" * 8), api_key("b" * 8, expires_at_unix_ms=5)), hlc="1.0", origin="o")
    assert key_ring.read(key_ring.write(ring)) == ring
