"""The queue over HTTP."""

from __future__ import annotations

from tests.kit.callers import Everybody, who
from tests.kit.conformance import conforms
from tests.kit.house import House

QUEUE = "/api/admin/queue"
DOCUMENT = House().call("GET", "/api/v1/openapi.json").json


def test_paused_and_resumed_and_seen_in_the_header(house: House) -> None:
    assert house.call("GET", QUEUE).json == {"state": "active"}
    assert house.call("GET", "/api/tasks/metrics").json["queue"] == {"state": "active"}
    until_ms = house.clock.now_ms() + 60_000
    paused = house.call("POST", QUEUE + "/pause", {"note": "moving", "until_unix_ms": until_ms})
    conforms(DOCUMENT, QUEUE + "/pause", "post", paused)
    assert paused.json == {
        "state": "paused",
        "paused_at_unix_ms": until_ms - 60_000,
        "until_unix_ms": until_ms,
        "paused_by": "anonymous",
        "note": "moving",
    }
    assert house.call("GET", QUEUE).json == paused.json
    assert house.call("GET", "/api/tasks/metrics").json["queue"] == paused.json
    resumed = house.call("POST", QUEUE + "/resume")
    conforms(DOCUMENT, QUEUE + "/resume", "post", resumed)
    assert resumed.json == house.call("GET", QUEUE).json == {"state": "active"}


def test_a_pause_needs_no_body(house: House) -> None:
    assert house.call("POST", QUEUE + "/pause").json["state"] == "paused"


def test_an_end_that_has_passed_names_its_field(house: House) -> None:
    assert house.call("POST", QUEUE + "/pause", {"until_unix_ms": 1}).fields == ["until_unix_ms"]


def test_each_tenant_has_a_queue_of_its_own(house: House) -> None:
    house.authenticator = Everybody(who("eve", "admin", tenant="other"))
    assert house.call("POST", QUEUE + "/pause").json["state"] == "paused"
    house.authenticator = Everybody(who("ann", "viewer"))
    assert house.call("GET", QUEUE).json == {"state": "active"}
    house.authenticator = Everybody(who("bob", "viewer", tenant="other"))
    assert house.call("GET", QUEUE).json["paused_by"] == "eve"
    assert house.call("POST", QUEUE + "/resume").status == 403
