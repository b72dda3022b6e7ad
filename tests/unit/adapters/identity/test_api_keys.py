"""Keys as credentials: who they make of a caller, what that costs, and how soon their end holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.identity import chain
from chalicelib.adapters.identity.api_keys import ApiKeyAuthenticator, make
from chalicelib.adapters.identity.bootstrap_key import BootstrapKey
from chalicelib.adapters.identity.identity_parts import IdentityParts
from chalicelib.adapters.memory.keys import MemoryKeyStore
from chalicelib.core.errors import OutcomeUnknown, Unauthorized, Unavailable
from chalicelib.core.keys import key_ring
from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.keys.key_ring import KeyRing, RingChange
from chalicelib.core.keys.limits import KEY_ENDS_WITHIN_MS, KEY_FRESH_MS, KEY_STALE_MAX_MS, KEY_USED_EVERY_MS
from chalicelib.core.security.permissions import Role
from chalicelib.ports.identity import Credentials
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.keys import KeptKey
from tests.kit.api_keys import api_key, text_of
from tests.kit.machine import NOW_MS
from tests.kit.services import make_services, with_stores

ID = "0aB1cD2e"
KEY = text_of(ID)


class CountedKeys(MemoryKeyStore):
    """Counts what it is asked for, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.uses: list[int] = []
        self.away = False

    def load(self, key_id: str) -> KeptKey | None:
        if self.away:
            raise Unavailable("the table is away")
        self.reads += 1
        return super().load(key_id)

    def mark_used(self, key_id: str, now_ms: int, unless_since_ms: int) -> bool:
        if self.away:
            raise OutcomeUnknown("no answer")
        self.uses.append(now_ms)
        return super().mark_used(key_id, now_ms, unless_since_ms)

    def end(self, key: ApiKey, at_ms: int | None) -> None:
        """What another process does: end a key at an instant, or delete it."""
        ring = KeyRing(key.tenant, self.ring(key.tenant).rev + 1)
        edited = () if at_ms is None else (replace(key, expires_at_unix_ms=at_ms),)
        assert self.change(RingChange(ring, edited=edited, removed=() if edited else (key.id,)))


class Desk:
    """An authenticator over a store that counts, at a time that a test moves."""

    def __init__(self, *made: ApiKey, custom_roles: dict[str, Role] | None = None) -> None:
        self.store = CountedKeys()
        for key in made:
            assert self.store.change(key_ring.decide_create(self.store.ring(key.tenant), key, NOW_MS))
        self.now_ms = NOW_MS
        services = with_stores(make_services(), keys=self.store)
        self.stores: Stores = services.stores
        self.parts = IdentityParts(
            stores=services.stores,
            key_notes=services.process.keys,
            now_ms=lambda: self.now_ms,
            monotonic_s=lambda: self.now_ms / 1000,
            jwt=None,
            custom_roles=lambda _tenant: custom_roles or {},
        )
        self.scheme: ApiKeyAuthenticator = make(self.parts)

    def ask(self, token: str = KEY, source: str | None = "203.0.113.7") -> Any:
        return self.scheme.authenticate(token, source)

    def refuses(self, token: str = KEY, source: str | None = "203.0.113.7") -> str:
        with pytest.raises(Unauthorized) as refused:
            self.ask(token, source)
        assert refused.value.invalid_token
        return refused.value.detail


def test_a_key_makes_its_owner_of_who_asks() -> None:
    caller = Desk(api_key(ID, tenant="t", owner="bob", roles=("user",))).ask()
    assert (caller.tenant, caller.subject, caller.credential) == ("t", "bob", f"key:{ID}")
    assert "schedules:write" in caller.permissions
    ops = Desk(api_key(ID, roles=("ops",)), custom_roles={"ops": Role(frozenset({"queue:pause"}), every_owner=True)})
    assert ops.ask().permissions == {"queue:pause"}


@pytest.mark.parametrize("wrong", [KEY[:-1] + "x", KEY[:-1], "cw_", f"cw_{ID}_{'a' * 36}", KEY.swapcase()])
def test_a_wrong_checksum_costs_no_read(wrong: str) -> None:
    desk = Desk(api_key(ID))
    assert "checksum" in desk.refuses(wrong)
    assert desk.store.reads == 0


def test_an_unknown_id_and_a_wrong_secret_cost_and_answer_the_same() -> None:
    desk = Desk(api_key(ID))
    seen = []
    for token in (text_of("unknown0"), text_of(ID, secret=8)):
        before = desk.store.reads
        answers = [desk.refuses(token) for _ in range(3)]
        seen.append((answers, desk.store.reads - before, len(desk.store.uses)))
    assert seen[0] == seen[1]
    assert seen[0][1:] == (1, 0), "one read, remembered; and no use is noted of a key that was not shown"


def test_what_has_ended_or_comes_from_elsewhere_is_refused_in_the_same_words() -> None:
    desk = Desk(api_key(ID, expires_at_unix_ms=NOW_MS + 5, cidrs=("203.0.113.0/24", "2001:db8::/32")))
    said = desk.refuses(text_of("unknown0"))
    assert desk.ask().expires_at_ms == NOW_MS + 5
    assert desk.ask(source="::ffff:203.0.113.9").subject == desk.ask(source="2001:db8::5").subject == "ann"
    for source in ("203.0.114.1", "2001:db9::5", None, "unix:"):
        assert desk.refuses(source=source) == said
    desk.now_ms += 5
    assert desk.refuses() == said


@pytest.mark.parametrize("at_ms", [None, NOW_MS], ids=["deleted", "ended"])
def test_the_end_of_a_key_holds_in_every_process_in_time(at_ms: int | None) -> None:
    key = api_key(ID)
    desk = Desk(key)
    caller = desk.ask()
    desk.store.end(key, at_ms)
    assert desk.scheme.still_holds(caller), "this process may not know yet"
    desk.now_ms += KEY_FRESH_MS
    assert KEY_FRESH_MS < KEY_ENDS_WITHIN_MS
    assert not desk.scheme.still_holds(caller)
    desk.refuses()


def test_what_is_kept_open_ends_when_a_role_grants_less() -> None:
    known = {"ops": Role(frozenset({"executions:read"}), every_owner=True)}
    desk = Desk(api_key(ID, roles=("ops",)), custom_roles=known)
    caller = desk.ask()
    assert desk.scheme.still_holds(caller)
    known["ops"] = Role(frozenset({"executions:read"}), every_owner=False)
    assert not desk.scheme.still_holds(caller)


def test_a_key_is_read_once_in_a_while_however_often_it_is_asked_for() -> None:
    desk = Desk(api_key(ID))
    caller = desk.ask()
    for _ in range(50):
        desk.ask()
        assert desk.scheme.still_holds(caller)
    assert desk.store.reads == 1
    desk.now_ms += KEY_FRESH_MS - 1
    desk.ask()
    assert desk.store.reads == 1
    desk.now_ms += 1
    desk.ask()
    assert desk.store.reads == 2
    desk.now_ms -= 3_600_000
    desk.ask()
    assert desk.store.reads == 3, "after a step back of the clock nothing is known to be fresh"


def test_while_the_table_is_away_what_was_read_counts_a_little_longer() -> None:
    desk = Desk(api_key(ID))
    caller = desk.ask()
    desk.store.away = True
    desk.now_ms += KEY_STALE_MAX_MS - 1
    assert desk.ask() == caller
    assert desk.scheme.still_holds(caller)
    desk.now_ms += 1
    with pytest.raises(Unavailable):
        desk.ask()
    assert not desk.scheme.still_holds(caller)
    with pytest.raises(Unavailable):
        desk.ask(text_of("unknown0"))


def test_the_last_use_is_written_once_a_minute_and_refuses_nobody() -> None:
    desk = Desk(api_key(ID))
    for _ in range(120):
        desk.ask()
        desk.now_ms += 1000
    assert len(desk.store.uses) == 2
    assert desk.store.uses[1] - desk.store.uses[0] >= KEY_USED_EVERY_MS
    fresh = Desk(api_key(ID))
    fresh.ask()
    fresh.store.away = True
    fresh.now_ms += KEY_FRESH_MS - 1
    fresh.ask()
    other = make(replace(fresh.parts, key_notes=make_services().process.keys))
    fresh.store.away = False
    other.authenticate(KEY, None)
    assert len(fresh.store.uses) == 1, "another process has read that the use is written"


def test_a_use_that_cannot_be_written_is_no_reason_to_refuse() -> None:
    desk = Desk(api_key(ID))

    def fails(*_: object) -> bool:
        raise OutcomeUnknown("no answer")

    desk.store.mark_used = fails  # type: ignore[method-assign]
    assert desk.ask().subject == "ann"


def test_invented_ids_do_not_push_out_the_keys_in_use() -> None:
    desk = Desk(api_key(ID))
    desk.ask()
    for number in range(3000):
        desk.refuses(text_of(f"{number:08d}"))
    reads = desk.store.reads
    desk.ask()
    assert desk.store.reads == reads


# -- the key of the settings

BOOTSTRAP = "correct-horse-battery-staple!#$%&"


def test_the_key_of_the_settings_is_taken_where_keys_are() -> None:
    desk = Desk(api_key(ID))
    one_key = BootstrapKey(BOOTSTRAP)
    both = chain.choose("jwt,apikey", {"apikey": lambda: desk.scheme}, one_key)
    caller = both.authenticate(Credentials(f"Bearer {BOOTSTRAP}", None))
    assert (caller.tenant, caller.is_admin, caller.credential) == ("default", True, "key:bootstrap")
    assert both.still_holds(caller)
    assert both.authenticate(Credentials(f"bearer  {KEY}", None)).subject == "ann"
    for auth, given in (("apikey", f"Bearer {BOOTSTRAP}x"), ("apikey", BOOTSTRAP), ("jwt", f"Bearer {BOOTSTRAP}")):
        with pytest.raises(Unauthorized):
            chain.choose(auth, {"apikey": lambda: desk.scheme}, one_key).authenticate(Credentials(given, None))
    assert not chain.choose("apikey", {"apikey": lambda: desk.scheme}).still_holds(caller)
    assert desk.store.reads == 1


def test_the_key_of_the_settings_is_not_printed() -> None:
    one_key = BootstrapKey(BOOTSTRAP)
    assert BOOTSTRAP not in f"{one_key!r}{vars(one_key)}"


def test_what_is_open_to_all_is_open_where_anything_is() -> None:
    makers = {"apikey": lambda: Desk().scheme}
    assert [chain.choose(auth, makers).is_open() for auth in ("off", "apikey", "deny")] == [True, True, False]
