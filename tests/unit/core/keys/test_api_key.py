"""A key as it is kept: until when, from where, as what."""

from __future__ import annotations

import pytest

from chalicelib.core.keys import api_key as documents
from chalicelib.core.keys.key_caller import bootstrap_caller, caller_with, id_of_key, is_bootstrap
from chalicelib.core.security.permissions import PERMISSIONS, Role
from tests.kit.api_keys import api_key


def test_ends_at_its_instant() -> None:
    key = api_key("0aB1cD2e", expires_at_unix_ms=100)
    assert (key.is_live(99), key.is_live(100), api_key("0aB1cD2e").is_live(1 << 60)) == (True, False, True)


@pytest.mark.parametrize(
    ("source", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.0.0.1", False),
        ("2001:db9::1", False),
        ("::10.1.2.3", False),
        ("unix", False),
        ("", False),
        (None, False),
    ],
)
def test_is_for_its_networks_only(source: str | None, admitted: bool) -> None:
    key = api_key("0aB1cD2e", cidrs=("10.0.0.0/8", "2001:db8::/32"))
    assert key.admits(source) == admitted
    assert api_key("0aB1cD2e").admits(source), "a key without networks is for every address"


def test_a_document_gives_the_key_back_and_one_of_another_release_is_read() -> None:
    key = api_key("0aB1cD2e", cidrs=("10.0.0.0/8",), expires_at_unix_ms=5, rev=3)
    assert documents.read(documents.write(key)) == key
    assert documents.read(documents.write(key)[:-1] + ',"later":[1]}') == key
    with pytest.raises(ValueError, match="tenant"):
        documents.read("{}")


def test_its_caller_is_its_owner_with_what_it_may() -> None:
    caller = caller_with(api_key("0aB1cD2e", tenant="t", owner="bob", roles=("viewer",), expires_at_unix_ms=9), {})
    assert (caller.tenant, caller.subject, caller.credential, caller.expires_at_ms) == ("t", "bob", "key:0aB1cD2e", 9)
    assert "schedules:read" in caller.on_every_owner
    assert id_of_key(caller) == "0aB1cD2e"
    own = caller_with(api_key("0aB1cD2e", roles=("ops",)), {"ops": Role(frozenset({"queue:pause"}), every_owner=False)})
    assert own.permissions == {"queue:pause"}


def test_permissions_reach_the_owners_own_things_and_forgotten_ones_grant_nothing() -> None:
    caller = caller_with(api_key("0aB1cD2e", roles=(), permissions=("schedules:read", "magic:write")), {})
    assert (caller.permissions, caller.on_every_owner, caller.is_admin) == ({"schedules:read"}, frozenset(), False)


def test_the_key_of_the_settings_is_an_admin_of_the_default_tenant() -> None:
    caller = bootstrap_caller()
    assert (caller.tenant, caller.is_admin, caller.on_every_owner) == ("default", True, PERMISSIONS)
    assert is_bootstrap(caller)
    assert id_of_key(caller) is None
    assert not is_bootstrap(caller_with(api_key("bootstra"), {}))
