"""Triggers of others: what a user, a viewer and another tenant see of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.kit.callers import Everybody, who
from tests.kit.house import House

ALL = "/api/v1/triggers"
BODY = {"name": "t", "source": {"type": "webhook"}}


def as_(house: House, caller: Any) -> House:
    house.authenticator = Everybody(caller)
    return house


@pytest.fixture
def made(house: House) -> dict[str, Any]:
    answer = as_(house, who("ann", "user")).call("POST", ALL, BODY)
    assert answer.status == 201
    found: dict[str, Any] = answer.json
    assert found["owner"] == "ann"
    return found


CALLS = (
    ("GET", "", None),
    ("PATCH", "", {"debounce_ms": 1}),
    ("POST", ":pause", None),
    ("POST", ":resume", None),
    ("GET", "/executions", None),
    ("DELETE", "", None),
)


@pytest.mark.parametrize("caller", [who("bob", "user"), who("ann", "admin", tenant="other")])
def test_anothers_trigger_is_not_there(house: House, made: dict[str, Any], caller: Any) -> None:
    as_(house, caller)
    for method, path, body in CALLS:
        assert house.call(method, f"{ALL}/{made['id']}{path}", body).status == 404, (method, path)
    assert house.call("GET", ALL).json["items"] == []


def test_a_viewer_sees_every_owners_and_changes_none(house: House, made: dict[str, Any]) -> None:
    as_(house, who("vic", "viewer"))
    assert house.call("GET", f"{ALL}/{made['id']}").status == 200
    assert house.call("PATCH", f"{ALL}/{made['id']}", {"debounce_ms": 1}).status == 403
    assert house.call("POST", ALL, BODY | {"name": "v"}).status == 403


def test_only_an_admin_gives_a_trigger_to_another(house: House, made: dict[str, Any]) -> None:
    as_(house, who("bob", "user"))
    assert house.call("POST", ALL, BODY | {"owner": "ann", "name": "x"}).status == 403
    as_(house, who("ann", "user"))
    assert house.call("PATCH", f"{ALL}/{made['id']}", {"owner": "bob"}).status == 403
    as_(house, who("root", "admin"))
    assert house.call("PATCH", f"{ALL}/{made['id']}", {"owner": "bob"}).json["owner"] == "bob"


def test_an_event_of_any_tenant_fires_in_the_triggers_own(house: House) -> None:
    as_(house, who("ann", "user", tenant="acme"))
    made = house.call("POST", ALL, BODY).json
    as_(house, who("bob", "user"))
    answer = house.call("POST", urlsplit(made["ingest_url"]).path, {"n": 1})
    assert answer.json["outcome"] == "fired"
    as_(house, who("ann", "user", tenant="acme"))
    assert [one["id"] for one in house.call("GET", f"{ALL}/{made['id']}/executions").json["items"]] == [
        answer.json["execution_id"]
    ]
