"""Who may make which keys, and what becomes of them when callers meet, die or repeat themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.keys import MemoryKeyStore
from chalicelib.core.errors import Conflict, Forbidden, InvalidField, NotFound, PreconditionFailed, TooMany
from chalicelib.core.keys import key_text
from chalicelib.core.keys.key_caller import bootstrap_caller, caller_with
from chalicelib.core.keys.key_ring import RingChange
from chalicelib.core.keys.limits import LEAKED_TOKENS_MAX
from chalicelib.core.security.caller import Caller, system_caller
from chalicelib.ports.services import Services
from chalicelib.process.limits import LEAK_REPORTS_PER_MINUTE
from chalicelib.usecases import keys
from chalicelib.usecases.idempotency import RepeatableCall
from chalicelib.usecases.keys import MadeKey, NewKey, Rotation
from tests.kit.api_keys import text_of
from tests.kit.callers import who
from tests.kit.machine import NOW_MS, MovableClock
from tests.kit.services import make_services, with_stores

ADMIN = who("root", "admin")
DELEGATE = who("dora", permissions=("keys:read", "keys:write", "schedules:read"))


@pytest.fixture
def s() -> Services:
    return make_services()


def made(s: Services, caller: Caller = ADMIN, **wanted: Any) -> MadeKey:
    return keys.create(s, caller, NewKey(**{"name": "ci"} | wanted))


def caller_by(key: MadeKey) -> Caller:
    return caller_with(key.key, {})


def advance(s: Services, ms: int) -> None:
    assert isinstance(s.clock, MovableClock)
    s.clock.advance(ms)


def refused(code: str) -> Any:
    return pytest.raises(Conflict, check=lambda error: error.code == code)


def test_a_key_belongs_to_its_maker_and_only_its_hash_is_stored(s: Services) -> None:
    new = made(s)
    assert new.text is not None
    stored = s.stores.keys.load(new.key.id)
    assert stored is not None
    assert (stored.key.tenant, stored.key.owner, stored.key.created_by, stored.key.roles) == (
        "default", "root", "root", ("user",),
    )  # fmt: skip
    assert stored.key.created_with == "jwt"
    assert key_text.id_in(new.text) == new.key.id
    assert key_text.is_same(new.text, stored.key.sha256)
    secret = new.text.rpartition("_")[2]
    assert secret not in repr(stored) + repr(s.stores.keys.ring("default"))


def test_only_an_admin_makes_keys_for_others(s: Services) -> None:
    assert made(s, owner="bob").key.owner == "bob"
    with pytest.raises(Forbidden, match="owner"):
        made(s, DELEGATE, owner="bob", permissions=("schedules:read",))


@pytest.mark.parametrize("role", ["operator", "user", "viewer"])
def test_keys_are_for_admins(s: Services, role: str) -> None:
    key_id = made(s).key.id
    calls: list[Callable[[Caller], object]] = [
        lambda caller: keys.create(s, caller, NewKey(name="x")),
        lambda caller: keys.rotate(s, caller, key_id, Rotation()),
        lambda caller: keys.delete(s, caller, key_id),
        lambda caller: keys.get(s, caller, key_id),
        lambda caller: keys.page(s, caller, 9, None),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call(who("u", role))


@pytest.mark.parametrize(
    "wanted",
    [{}, {"roles": ("user",)}, {"roles": ("admin",)}, {"roles": ("viewer",)}, {"permissions": ("queue:pause",)}],
)
def test_a_key_can_do_no_more_than_its_maker(s: Services, wanted: dict[str, Any]) -> None:
    with pytest.raises(Forbidden, match="can do no more"):
        made(s, DELEGATE, **wanted)
    assert made(s, DELEGATE, permissions=("schedules:read",)).key.owner == "dora"
    assert made(s, **wanted).key


def test_rotating_gives_no_more_than_making(s: Services) -> None:
    theirs = made(s, roles=("admin",)).key
    with pytest.raises(Forbidden, match="can do no more"):
        keys.rotate(s, DELEGATE, theirs.id, Rotation())
    own = made(s, DELEGATE, permissions=("schedules:read",)).key
    assert keys.rotate(s, DELEGATE, own.id, Rotation()).key.permissions == ("schedules:read",)


def test_unknown_rights_are_named(s: Services) -> None:
    with pytest.raises(InvalidField) as wrong:
        made(s, permissions=("schedules:read", "schedules.read"))
    assert [e.field for e in wrong.value.errors] == ["permissions.1"]


def test_another_tenants_key_is_not_found(s: Services) -> None:
    theirs = made(s, system_caller("other")).key.id
    for call in (keys.get, keys.delete, lambda *a: keys.rotate(*a, Rotation())):
        for key_id in (theirs, "unknown0", "no id at all"):
            with pytest.raises(NotFound, match=f"there is no key {key_id}"):
                call(s, ADMIN, key_id)
    assert keys.page(s, ADMIN, 9, None) == ([], None)


def test_the_last_admin_key_cannot_be_deleted_with_itself(s: Services) -> None:
    only = made(s, roles=("admin",), owner="ops")
    made(s)
    with refused("last_admin_key"):
        keys.delete(s, caller_by(only), only.key.id)
    second = made(s, roles=("admin",), expires_at_unix_ms=NOW_MS + 1000)
    keys.delete(s, caller_by(only), only.key.id)
    with refused("last_admin_key"):
        keys.delete(s, caller_by(second), second.key.id)


def test_it_can_be_by_an_admin_who_came_with_something_else(s: Services) -> None:
    by_jwt = made(s, roles=("admin",))
    keys.delete(s, ADMIN, by_jwt.key.id)
    by_bootstrap = made(s, roles=("admin",))
    keys.delete(replace(s, config=replace(s.config, bootstrap_admin=True)), bootstrap_caller(), by_bootstrap.key.id)
    with_itself = made(s, roles=("admin",))
    keys.delete(replace(s, config=replace(s.config, bootstrap_admin=True)), caller_by(with_itself), with_itself.key.id)
    elsewhere = made(s, system_caller("other"), roles=("admin",))
    with refused("last_admin_key"):  # the key of the settings is the default tenant's
        keys.delete(replace(s, config=replace(s.config, bootstrap_admin=True)), caller_by(elsewhere), elsewhere.key.id)
    delegate = caller_by(made(s, permissions=("keys:write",)))
    last = made(s, roles=("admin",))
    with refused("last_admin_key"):
        keys.delete(s, delegate, last.key.id)


def test_a_rotation_replaces_a_key_and_ends_it(s: Services) -> None:
    old = made(s, roles=("viewer",), cidrs=("10.0.0.0/8",), expires_at_unix_ms=NOW_MS + 10_000, owner="bob")
    new = keys.rotate(s, ADMIN, old.key.id, Rotation())
    assert new.text is not None
    assert new.text != old.text
    assert (new.key.replaces, new.key.roles, new.key.cidrs) == (old.key.id, ("viewer",), ("10.0.0.0/8",))
    assert (new.key.owner, new.key.expires_at_unix_ms) == ("bob", NOW_MS + 10_000)
    ended = keys.get(s, ADMIN, old.key.id).key
    assert (ended.expires_at_unix_ms, ended.rev) == (NOW_MS, 2)
    with refused("key_ended"):
        keys.rotate(s, ADMIN, old.key.id, Rotation())
    longer = keys.rotate(s, ADMIN, new.key.id, Rotation(overlap_ms=500, expires_at_unix_ms=NOW_MS + 99_000))
    assert longer.key.expires_at_unix_ms == NOW_MS + 99_000
    assert keys.get(s, ADMIN, new.key.id).key.expires_at_unix_ms == NOW_MS + 500


@pytest.mark.parametrize(
    ("rotation", "field"),
    [
        (Rotation(overlap_ms=-1), "overlap_ms"),
        (Rotation(overlap_ms=31 * 86_400_000), "overlap_ms"),
        (Rotation(expires_at_unix_ms=NOW_MS), "expires_at_unix_ms"),
    ],
)
def test_a_rotation_that_cannot_be_meant_is_refused(s: Services, rotation: Rotation, field: str) -> None:
    with pytest.raises(InvalidField, match=field):
        keys.rotate(s, ADMIN, made(s).key.id, rotation)


def test_changes_honour_the_version_that_was_seen(s: Services) -> None:
    key_id = made(s).key.id
    for call in (lambda v: keys.rotate(s, ADMIN, key_id, Rotation(), v), lambda v: keys.delete(s, ADMIN, key_id, v)):
        with pytest.raises(PreconditionFailed):
            call(["2"])
    keys.delete(s, ADMIN, key_id, ["1"])


class Raced(MemoryKeyStore):
    """Lets another caller change the ring right before each of the next ``races`` changes."""

    def __init__(self) -> None:
        super().__init__()
        self.races = 0

    def change(self, change: RingChange) -> bool:
        if self.races:
            self.races -= 1
            assert super().change(RingChange(replace(self.ring(change.ring.tenant), rev=change.ring.rev)))
        return super().change(change)


def test_a_lost_race_is_run_again_and_an_endless_one_given_up(s: Services) -> None:
    store = Raced()
    s = with_stores(s, keys=store)
    store.races = 3
    key = made(s)
    store.races = 3
    new = keys.rotate(s, ADMIN, key.key.id, Rotation())
    store.races = 3
    keys.delete(s, ADMIN, new.key.id)
    assert [kept.key.id for kept in keys.page(s, ADMIN, 9, None)[0]] == [key.key.id]
    store.races = 1 << 30
    for call in (lambda: made(s), lambda: keys.delete(s, ADMIN, key.key.id)):
        with pytest.raises(TooMany):
            call()


def test_a_call_that_died_after_its_write_finds_its_key_and_not_its_text(s: Services) -> None:
    run = RepeatableCall("01KB0E5T0QJ8Z3V7M4N2X9YRSC@1", again=False)
    first = keys.create(s, ADMIN, NewKey(name="ci"), run)
    again = keys.create(s, ADMIN, NewKey(name="ci"), replace(run, again=True))
    assert first.text is not None
    assert (again.key.id, again.text) == (first.key.id, None)
    assert len(keys.page(s, ADMIN, 9, None)[0]) == 1
    rotation = RepeatableCall("01KB0E5T0QJ8Z3V7M4N2X9YRSD@1", again=True)
    new = keys.rotate(s, ADMIN, first.key.id, Rotation(overlap_ms=5000), None, rotation)
    assert keys.rotate(s, ADMIN, first.key.id, Rotation(overlap_ms=5000), None, rotation) == MadeKey(
        replace(new.key, **_stamps(s, new.key.id)), None
    )


def _stamps(s: Services, key_id: str) -> dict[str, Any]:
    found = s.stores.keys.load(key_id)
    assert found is not None
    return {"hlc": found.key.hlc, "origin": found.key.origin}


def test_an_id_that_another_tenant_has_is_passed_over(s: Services) -> None:
    run = RepeatableCall("seed", again=False)
    theirs = keys.create(s, system_caller("other"), NewKey(name="ci"), run)
    mine = keys.create(s, ADMIN, NewKey(name="ci"), run)
    assert mine.text is not None
    assert mine.key.id != theirs.key.id


def test_the_text_follows_from_nothing_that_is_stored(s: Services) -> None:
    run = RepeatableCall("seed", again=False)
    texts = [keys.create(make_with(n), ADMIN, NewKey(name="ci"), run).text for n in (1, 2)]
    assert texts[0] != texts[1]


def make_with(drawn: int) -> Services:
    """A process that drew so many secrets before."""
    other = make_services()
    for _ in range(drawn):
        other.ids.secret_bits()
    return other


def test_pages_show_the_newest_first_with_their_last_use(s: Services) -> None:
    ids = []
    for _ in range(5):
        advance(s, 10)
        ids.insert(0, made(s).key.id)
    s.stores.keys.mark_used(ids[0], NOW_MS + 99, 0)
    first, after = keys.page(s, ADMIN, 3, None)
    rest, end = keys.page(s, ADMIN, 3, after)
    assert [kept.key.id for kept in first + rest] == ids
    assert ([kept.used_ms for kept in first], end) == ([NOW_MS + 99, None, None], None)


def test_this_process_forgets_at_once_what_it_changed(s: Services) -> None:
    from chalicelib.core.keys.seen_key import SeenKey

    new = made(s).key
    s.process.keys.keep(new.id, SeenKey(new, None, NOW_MS))
    keys.delete(s, ADMIN, new.id)
    assert s.process.keys.find(new.id) is None


# -- reports of leaks


def test_a_leaked_key_is_deleted_although_it_is_the_last(s: Services, caplog: pytest.LogCaptureFixture) -> None:
    last = made(s, roles=("admin",))
    assert last.text is not None
    wrong_secret, unknown = text_of(last.key.id, secret=8), text_of("unknown0")
    with caplog.at_level(logging.WARNING):
        judged = keys.report_leaked(s, [wrong_secret, unknown, "rubbish", last.text, last.text])
    assert [j.was_key for j in judged] == [False, False, False, True, False]
    assert s.stores.keys.load(last.key.id) is None
    assert last.key.id in caplog.text
    assert last.text not in caplog.text + repr(judged)


def test_reports_are_bounded(s: Services) -> None:
    for tokens in ([], ["x"] * (LEAKED_TOKENS_MAX + 1)):
        with pytest.raises(InvalidField):
            keys.report_leaked(s, tokens)
    keys.report_leaked(s, ["rubbish"] * LEAKED_TOKENS_MAX)
    keys.report_leaked(s, [text_of("unknown0")] * LEAK_REPORTS_PER_MINUTE)
    keys.report_leaked(s, ["rubbish"] * LEAKED_TOKENS_MAX)
    with pytest.raises(TooMany) as wait:
        keys.report_leaked(s, [text_of("unknown0")])
    advance(s, wait.value.retry_after_s * 1000)
    keys.report_leaked(s, [text_of("unknown0")])


# -- the first key


def test_the_first_key_is_given_once(s: Services) -> None:
    first = keys.first_key(s)
    assert first is not None
    assert first.text is not None
    assert caller_by(first).is_admin
    assert keys.first_key(s) is None
    keys.delete(s, ADMIN, first.key.id)
    assert keys.first_key(s) is None, "who has deleted their keys asks for no new one"


def test_where_there_are_keys_none_is_the_first_and_of_many_callers_one_gets_it(s: Services) -> None:
    made(s)
    assert keys.first_key(s) is None
    store = Raced()
    store.races = 1
    assert keys.first_key(with_stores(make_services(), keys=store)) is None
