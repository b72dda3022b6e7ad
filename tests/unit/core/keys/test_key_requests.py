"""Which keys can be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.keys.key_requests import KeyRequest

KNOWN: dict[str, Any] = {"name": "ci", "owner": "ann", "known_roles": frozenset({"user", "ops"}), "now_ms": 1000}


def asked(**changes: Any) -> KeyRequest:
    return KeyRequest(**KNOWN | changes)


def test_one_without_rights_is_a_users() -> None:
    assert (asked().granted_roles, asked().granted_permissions) == (("user",), ())
    assert asked(permissions=("schedules:read",) * 2).granted_roles == ()
    assert asked(permissions=("schedules:read",) * 2).granted_permissions == ("schedules:read",)
    assert asked(roles=("ops", "user", "ops")).granted_roles == ("ops", "user")


def test_networks_are_kept_in_their_usual_form() -> None:
    given = ("10.0.0.0/8", "203.0.113.7", "2001:DB8::/32", "10.0.0.0/255.0.0.0")
    assert asked(cidrs=given).networks == ("10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32")
    assert asked().networks == ()


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 129}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"owner": ""}, ["owner"]),
        ({"roles": ("god",)}, ["roles.0"]),
        ({"roles": ()}, ["roles"]),
        ({"permissions": ()}, ["permissions"]),
        ({"permissions": ("schedules:read", "schedules.read", "magic:do")}, ["permissions.1", "permissions.2"]),
        ({"permissions": ("schedules:read",), "roles": ("user",)}, ["permissions"]),
        ({"expires_at_unix_ms": 1000}, ["expires_at_unix_ms"]),
        ({"expires_at_unix_ms": 1 << 60}, ["expires_at_unix_ms"]),
        ({"cidrs": ()}, ["cidrs"]),
        ({"cidrs": ("10.0.0.0/8",) * 33}, ["cidrs"]),
        ({"cidrs": ("10.0.0.0/8", "10.0.0.0/33", "nowhere")}, ["cidrs.1", "cidrs.2"]),
        ({"cidrs": ("", "::ffff:10.0.0.0/104")}, ["cidrs.0", "cidrs.1"]),
        ({"cidrs": ("10.0.0.1/8",)}, ["cidrs.0"]),
        ({"cidrs": ("fe80::1%eth0/64",)}, ["cidrs.0"]),
        ({"name": "", "roles": ("god",), "cidrs": ("x",)}, ["name", "roles.0", "cidrs.0"]),
    ],
)  # fmt: skip
def test_every_wrong_field_is_named(changes: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidField) as refused:
        asked(**changes)
    assert [error.field for error in refused.value.errors] == fields


def test_bits_beyond_the_mask_are_pointed_out() -> None:
    with pytest.raises(InvalidField, match=r"did you mean 10\.0\.0\.0/8"):
        asked(cidrs=("10.0.0.1/8",))
