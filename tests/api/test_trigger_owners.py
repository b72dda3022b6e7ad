"""Triggers of others: what a user, a viewer and another tenant see of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.core.queue_messages import BusEvent
from chalicelib.engine.triggers import own_events
from chalicelib.workers import bus_events
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


def heard(house: House, owner: Any, event: dict[str, Any], tenant: str = "default") -> bool:
    """Whether a trigger on the service's own bus fires for an event of the service."""
    as_(house, owner)
    name = f"t{len(house.call('GET', ALL).json['items'])}"
    made = house.call("POST", ALL, {"name": name, "source": {"type": "eventbridge"}})
    assert made.status == 201, made.body
    whole = {"id": "1", "source": "chronowatch", "detail-type": event["type"], "detail": event}
    assert bus_events.take(house.services, BusEvent(tenant, made.json["id"], "chronowatch", whole))
    return bool(house.call("GET", f"{ALL}/{made.json['id']}/executions").json["items"])


def firing(execution_id: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": execution_id,
        "source": f"/chronowatch/schedules/{execution_id.partition('-')[0]}",
        "type": "chronowatch.firings.v1",
        "data": {"iban": "…"},
    }


def test_the_services_own_events_reach_who_may_see_what_they_are_of(house: House) -> None:
    anns = firing(as_(house, who("ann", "user")).fire())
    assert heard(house, who("ann", "user"), anns)
    assert heard(house, who("opal", "operator"), anns)
    assert not heard(house, who("bob", "user"), anns)
    assert not heard(house, who("ann", "admin", tenant="other"), anns, "other")
    as_(house, who("ann", "user")).call("DELETE", f"/api/v1/schedules/{anns['source'].rpartition('/')[2]}")
    assert heard(house, who("ann", "user"), anns)
    assert not heard(house, who("bob", "user"), anns)


def test_of_the_deployments_own_events_everybody_hears(house: House) -> None:
    tick = {"specversion": "1.0", "id": "1", "source": "/chronowatch/ticks/hour", "type": "chronowatch.ticks.v1"}
    assert heard(house, who("bob", "user"), tick)
    assert not heard(house, who("bob", "user"), tick | {"source": "/chronowatch/unheard-of/1"})


def test_who_gets_a_trigger_hears_with_a_right_of_their_own(house: House) -> None:
    anns = firing(as_(house, who("ann", "user")).fire())
    as_(house, who("ada", "admin"))
    made = house.call("POST", ALL, {"name": "given", "source": {"type": "eventbridge"}}).json["id"]
    for change, hears in (({"owner": "bob"}, False), ({"owner": "ada"}, True), ({"debounce_ms": 0}, True)):
        assert house.call("PATCH", f"{ALL}/{made}", change).status == 200
        [trigger] = [house.services.stores.triggers.load("default", made)]
        assert trigger is not None
        assert own_events.is_heard(house.services, trigger, anns["source"]) is hears
