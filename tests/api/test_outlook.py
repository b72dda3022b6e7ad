"""Versions of a schedule, and what will run."""

from __future__ import annotations

from tests.kit.callers import Everybody, who
from tests.kit.conformance import conforms
from tests.kit.house import House

DOCUMENT = House().call("GET", "/api/v1/openapi.json").json
UPCOMING = "/api/v1/upcoming"
MINUTE = 60_000


def test_versions_are_listed_newest_first_and_one_can_go_back(house: House) -> None:
    made = house.make(name="beat", payload={"a": 1})
    house.clock.advance(5_000)
    path = f"/api/v1/schedules/{made['id']}"
    house.call("PATCH", path, {"expr": "rate:30s", "payload": {"a": 2}})
    house.clock.advance(5_000)
    house.call("POST", path + ":pause", {"note": "calm"})
    answer = house.call("GET", path + "/versions")
    conforms(DOCUMENT, "/api/v1/schedules/{schedule_id}/versions", "get", answer)
    items = answer.json["items"]
    assert [(i["schedule"]["expr"], i["schedule"]["payload"], i["schedule"]["enabled"]) for i in items] == [
        ("rate:30s", {"a": 2}, False),
        ("rate:30s", {"a": 2}, True),
        ("rate:5s", {"a": 1}, True),
    ]
    assert [items[0]["until_unix_ms"], answer.json["more"], items[0]["note"]] == [None, False, "calm"]
    assert [i["until_unix_ms"] for i in items[1:]] == [i["since_unix_ms"] for i in items[:-1]]
    old = items[-1]["schedule"]
    again = house.call("PATCH", path, {name: old[name] for name in ("expr", "payload", "enabled")}).json
    assert (again["expr"], again["payload"], again["enabled"]) == ("rate:5s", {"a": 1}, True)
    assert again["version"] not in {i["version"] for i in items}


def test_what_will_run_and_which_minutes_are_hot(house: House) -> None:
    now_ms = house.clock.now_ms()
    often = house.make(expr="rate:30s", max_runs=5, name="often")
    once = house.make(type="AT", expr="at:2026-11-21T09:21:30Z")
    house.make(enabled=False)
    house.make(type="AT", expr="at:2027-01-01T00:00:00Z")
    answer = house.call("GET", UPCOMING)
    conforms(DOCUMENT, UPCOMING, "get", answer)
    seen = answer.json
    assert [(i["schedule_id"], i["count"]) for i in seen["items"]] == [(often["id"], 5), (once["id"], 1)]
    assert seen["items"][0]["runs_unix_ms"] == [now_ms + n * 30_000 for n in range(1, 6)]
    assert sum(minute["count"] for minute in seen["minutes"]) == 6
    assert {m["at_unix_ms"] - now_ms: m["count"] for m in seen["minutes"]} == {0: 1, MINUTE: 3, 2 * MINUTE: 2}
    assert (seen["complete"], seen["to_unix_ms"] - seen["from_unix_ms"]) == (True, 6 * 60 * MINUTE)


def test_a_later_span_knows_what_has_run_by_then(house: House) -> None:
    now_ms = house.clock.now_ms()
    house.make(expr="rate:30s", max_runs=5)
    query = f"from_unix_ms={now_ms + 100_000}&to_unix_ms={now_ms + 300_000}"
    [item] = house.call("GET", UPCOMING, query=query).json["items"]
    assert item["runs_unix_ms"] == [now_ms + 120_000, now_ms + 150_000]


def test_more_than_one_answer_holds_is_said(house: House) -> None:
    house.make(expr="rate:1s")
    seen = house.call("GET", UPCOMING).json
    assert (seen["complete"], seen["items"][0]["count"], len(seen["items"][0]["runs_unix_ms"])) == (False, 20_000, 100)


def test_a_span_too_long_names_its_end(house: House) -> None:
    answer = house.call("GET", UPCOMING, query=f"to_unix_ms={house.clock.now_ms() + 86_400_001}")
    assert answer.fields == ["to_unix_ms"]


def test_a_caller_sees_their_own(house: House) -> None:
    house.authenticator = Everybody(who("bob", "user"))
    house.make(name="bobs")
    house.authenticator = Everybody(who("ann", "user"))
    assert house.call("GET", UPCOMING).json["items"] == []
    house.authenticator = Everybody(who("oscar", "operator"))
    assert [i["name"] for i in house.call("GET", UPCOMING).json["items"]] == ["bobs"]
