"""Roles over HTTP: the built-in ones, and those of a tenant's own."""

from __future__ import annotations

import pytest

from chalicelib.core.security.permissions import ROLES
from chalicelib.core.security.tenant_roles import ROLES_MAX_COUNT
from chalicelib.usecases import roles
from tests.kit.callers import Everybody, who
from tests.kit.house import House

RETRIER = {"permissions": ["executions:retry", "executions:read"], "every_owner": True}


def test_a_role_is_made_shown_replaced_and_deleted(house: House) -> None:
    made = house.call("PUT", "/api/v1/roles/retrier", RETRIER)
    assert made.status == 201
    assert made.json == {
        "name": "retrier",
        "built_in": False,
        "permissions": ["executions:read", "executions:retry"],
        "every_owner": True,
        "description": "",
    }
    assert house.call("GET", "/api/v1/roles/retrier").json == made.json
    changed = house.call("PUT", "/api/v1/roles/retrier", {"permissions": [], "description": "nothing"})
    assert (changed.status, changed.json["every_owner"], changed.json["permissions"]) == (200, False, [])
    assert changed.headers["ETag"] != made.headers["ETag"]
    stale = {"If-Match": made.headers["ETag"]}
    assert house.call("PUT", "/api/v1/roles/retrier", RETRIER, headers=stale).status == 412
    assert house.call("DELETE", "/api/v1/roles/retrier", headers=stale).status == 412
    assert house.call("DELETE", "/api/v1/roles/retrier").json == {"name": "retrier"}
    assert house.call("DELETE", "/api/v1/roles/retrier").code == "not_found"
    assert house.call("GET", "/api/v1/roles/retrier").code == "not_found"


def test_built_in_roles_are_shown_and_never_change(house: House) -> None:
    for name, role in ROLES.items():
        shown = house.call("GET", f"/api/v1/roles/{name}")
        assert shown.json["built_in"] is True
        assert set(shown.json["permissions"]) == role.permissions
        assert "ETag" not in shown.headers
        assert house.call("PUT", f"/api/v1/roles/{name}", RETRIER).fields == ["name"]
        assert house.call("DELETE", f"/api/v1/roles/{name}").fields == ["name"]


def test_a_list_in_pages_by_name(house: House) -> None:
    for name in ("z", "b", "a"):
        house.call("PUT", f"/api/v1/roles/{name}", RETRIER)
    names, token = [], ""
    while True:
        page = house.call("GET", "/api/v1/roles", query="limit=3" + token).json
        names += [item["name"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        token = f"&page_token={page['next_page_token']}"
    assert names == sorted([*ROLES, "a", "b", "z"])


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("r", {"permissions": ["schedules:read", "schedules:fly"]}, "permissions.1"),
        ("r", {"permissions": ["schedules.read"]}, "permissions.0"),
        ("r", {}, "permissions"),
        ("r", {"permissions": "all"}, "permissions"),
        ("r", {"permissions": [], "every_one": True}, "every_one"),
        ("-r", {"permissions": []}, "name"),
        ("r" * 65, {"permissions": []}, "name"),
        ("a%20b", {"permissions": []}, "name"),
    ],
)
def test_a_wrong_role_is_refused_by_name(house: House, name: str, body: dict[str, object], field: str) -> None:
    assert house.call("PUT", f"/api/v1/roles/{name}", body).fields == [field]


def test_a_tenant_has_so_many_roles_and_no_more(house: House) -> None:
    for n in range(ROLES_MAX_COUNT):
        assert house.call("PUT", f"/api/v1/roles/r{n}", RETRIER).status == 201
    assert house.call("PUT", "/api/v1/roles/more", RETRIER).fields == ["name"]
    assert house.call("PUT", "/api/v1/roles/r0", RETRIER).status == 200


def test_roles_belong_to_their_tenant(house: House) -> None:
    house.call("PUT", "/api/v1/roles/retrier", RETRIER)
    house.authenticator = Everybody(who("ada", "admin", tenant="other"))
    assert house.call("GET", "/api/v1/roles/retrier").code == "not_found"
    assert roles.granted_by(house.services, "other") == {}


def test_no_caller_grants_what_they_do_not_have(house: House) -> None:
    house.call("PUT", "/api/v1/roles/keeper", {"permissions": ["roles:write", "schedules:read"]})
    keeper = who("kim", "keeper", custom_roles=roles.granted_by(house.services, "default"))
    house.authenticator = Everybody(keeper)
    assert house.call("PUT", "/api/v1/roles/x", {"permissions": ["schedules:read"]}).status == 201
    assert house.call("PUT", "/api/v1/roles/x", {"permissions": ["keys:write"]}).code == "forbidden"
    assert house.call("PUT", "/api/v1/roles/x", {"permissions": ["schedules:read"], "every_owner": True}).status == 403
