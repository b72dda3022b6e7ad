"""Monitors over HTTP, and the URLs that jobs ping: healthchecks' shapes."""

from __future__ import annotations

import pytest

from tests.kit.callers import by, who
from tests.kit.house import House

MONITORS = "/api/v1/monitors"
MONITOR = {"name": "backup", "type": "RATE", "expr": "rate:10s", "grace_ms": 5_000, "tags": ["nightly"]}


def test_a_monitor_goes_through_its_states(house: House) -> None:
    made = house.call("POST", MONITORS, MONITOR, headers={"host": "watch.example"})
    assert made.status == 201
    assert made.json["ping_url"].startswith("http://watch.example/ping/")
    one, ping = f"{MONITORS}/{made.json['id']}", made.json["ping_url"].removeprefix("http://watch.example")

    def state() -> tuple[str, object]:
        found = house.call("GET", one).json
        return found["state"], found["expected_unix_ms"]

    now_ms = house.clock.now_ms()
    assert state() == ("new", None)
    answer = house.call("GET", ping)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"OK", "text/plain; charset=utf-8")
    assert state() == ("up", now_ms + 10_000)
    house.clock.advance(10_000)
    assert state() == ("late", now_ms + 10_000)
    house.clock.advance(5_000)
    assert state()[0] == "down"
    assert house.call("POST", ping + "/0").status == 200
    assert state()[0] == "up"
    assert house.call("POST", ping + "/3", raw=b"disk full", headers={"content-type": "text/plain"}).status == 200
    assert state()[0] == "down"
    [last, *_] = house.call("GET", one).json["pings"]
    assert (last["kind"], last["exit_code"], last["text"]) == ("fail", 3, "disk full")


@pytest.mark.parametrize("way", ["", "/start", "/fail", "/log", "/0", "/255"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_every_shape_of_a_ping_is_taken(house: House, way: str, method: str) -> None:
    ping = house.call("POST", MONITORS, MONITOR).json["ping_url"]
    assert house.call(method, ping + way, query="rid=123e4567-e89b-12d3-a456-426614174000").status == 200


def test_what_is_no_ping_is_not_found(house: House) -> None:
    made = house.call("POST", MONITORS, MONITOR).json
    for path in (made["ping_url"] + "/256", made["ping_url"] + "/stop", "/ping/x", "/ping/" + "0" * 36, made["id"]):
        path = path if path.startswith("/") else f"/ping/{path}"
        assert house.call("GET", path).code == "not_found"
    badge_token = made["badge_url"].split("/")[-1].removesuffix(".svg")
    assert house.call("GET", f"/ping/{badge_token}").status == 404
    ping_token = made["ping_url"].split("/")[-1]
    assert house.call("GET", f"/badge/{ping_token}.svg").status == 404


def test_the_badge_shows_the_state_and_escapes_the_name(house: House) -> None:
    made = house.call("POST", MONITORS, MONITOR | {"name": "<script>alert(1)</script>"}).json
    answer = house.call("GET", made["badge_url"])
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert b"<script" not in answer.body
    assert b">new<" in answer.body


def test_pause_resume_edit_and_delete(house: House) -> None:
    made = house.call("POST", MONITORS, MONITOR).json
    one = f"{MONITORS}/{made['id']}"
    house.call("GET", made["ping_url"])
    assert house.call("POST", one + ":pause").json["state"] == "paused"
    house.clock.advance(10**7)
    assert house.call("GET", one).json["state"] == "paused"
    assert house.call("POST", one + ":resume").json["state"] == "up"
    changed = house.call("PATCH", one, {"expr": "rate:1h"}).json
    assert changed["expected_unix_ms"] == house.clock.now_ms() + 3_600_000
    assert house.call("PATCH", one, {"grace_ms": 9_000}, headers={"if-match": '"old"'}).status == 412
    assert house.call("GET", MONITORS, query="tag=nightly").json["items"][0]["id"] == made["id"]
    assert house.call("GET", MONITORS, query="tag=other").json["items"] == []
    assert house.call("DELETE", one).json == {"id": made["id"]}
    assert house.call("GET", one).status == 404
    assert house.call("GET", made["ping_url"]).status == 404


def test_another_owners_monitor_is_missing_and_its_ping_needs_no_credentials(house: House) -> None:
    alice = who("alice", "user")
    made = by(house, alice, "POST", MONITORS, MONITOR).json
    one = f"{MONITORS}/{made['id']}"
    for caller in (who("bob", "user"), who("root", "admin", tenant="elsewhere")):
        for method, path in (("GET", one), ("PATCH", one), ("DELETE", one), ("POST", one + ":pause")):
            assert by(house, caller, method, path, {} if method == "PATCH" else None).status == 404
        assert by(house, caller, "GET", MONITORS).json["items"] == []
    assert by(house, who("vera", "viewer"), "DELETE", one).status == 403
    assert by(house, None, "GET", made["ping_url"]).status == 200
    assert by(house, None, "GET", made["badge_url"]).status == 200
    assert by(house, None, "GET", one).status == 401
    assert by(house, alice, "GET", one).json["state"] == "up"
