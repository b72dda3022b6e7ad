"""Schedules as a caller meets them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kit.house import RATE, House
from tests.kit.machine import NOW_MS

SCHEDULES = "/api/v1/schedules"
FIELDS = [
    *["id", "name", "type", "expr", "timezone", "start_at_unix_ms", "end_at_unix_ms", "max_runs", "payload"],
    *["target", "enabled", "state", "owner", "tenant", "shard_key", "sla_ms", "overlap", "catch_up_window_ms"],
    *["jitter_ms", "dst_gap", "dst_overlap", "exclude", "retry_policy", "timeout_ms"],
    *["pause_after_failures", "monitor", "tags"],
    *["next_run_unix_ms", "last_run_unix_ms", "run_count", "version", "created_at_unix_ms"],
    *["updated_at_unix_ms", "description"],
]


def test_a_new_schedule_is_shown_whole_with_its_defaults(house: House) -> None:
    asked = RATE | {
        "name": "beat",
        "payload": {"hello": "world"},
        "target": {"type": "webhook", "url": "http://127.0.0.1:9000/"},
    }
    answer = house.call("POST", SCHEDULES, asked)
    assert answer.status == 201
    made = answer.json
    assert list(made) == FIELDS
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", made["id"])
    assert answer.headers["Location"] == f"{SCHEDULES}/{made['id']}"
    assert answer.headers["ETag"] == f'"{made["version"]}"'
    expected = {
        "name": "beat",
        "type": "RATE",
        "expr": "rate:5s",
        "timezone": "UTC",
        "start_at_unix_ms": None,
        "end_at_unix_ms": None,
        "max_runs": None,
        "payload": {"hello": "world"},
        "target": {"type": "webhook", "url": "http://127.0.0.1:9000/", "method": "POST", "timeout_ms": 30000},
        "enabled": True,
        "state": "active",
        "owner": "anonymous",
        "tenant": "default",
        "shard_key": made["id"],
        "sla_ms": 1000,
        "overlap": "allow",
        "catch_up_window_ms": 60000,
        "jitter_ms": 0,
        "dst_gap": "run_after",
        "dst_overlap": "once",
        "exclude": [],
        "retry_policy": {
            "max_attempts": 3,
            "backoff": "exponential",
            "base_ms": 1000,
            "max_ms": 60000,
            "jitter": True,
        },
        "timeout_ms": 300000,
        "pause_after_failures": None,
        "monitor": None,
        "tags": [],
        "next_run_unix_ms": NOW_MS + 5000,
        "last_run_unix_ms": None,
        "run_count": 0,
        "created_at_unix_ms": NOW_MS,
        "updated_at_unix_ms": NOW_MS,
        "description": "every 5 seconds (UTC)",
    }
    assert {k: v for k, v in made.items() if k not in ("id", "version")} == expected
    again = house.call("GET", f"{SCHEDULES}/{made['id']}")
    assert again.status == 200
    assert again.json == made
    assert list(again.json["target"]) == ["type", "url", "method", "timeout_ms"]


def test_every_field_given_is_the_field_shown(house: House) -> None:
    asked: dict[str, Any] = {
        "type": "CRON",
        "expr": "*/5 8-18 * * MON-FRI",
        "timezone": "Europe/Berlin",
        "name": "all",
        "start_at_unix_ms": NOW_MS,
        "end_at_unix_ms": NOW_MS + 10**9,
        "max_runs": 7,
        "payload": [1.50, {"ü": None}],
        "target": {"type": "eventbridge", "bus": "default"},
        "enabled": False,
        "owner": "ada",
        "shard_key": "k",
        "sla_ms": 0,
        "overlap": "allow",
        "catch_up_window_ms": 0,
        "jitter_ms": 10,
        "dst_gap": "skip",
        "dst_overlap": "twice",
        "exclude": [{"from_unix_ms": 1, "to_unix_ms": 2}, "0 12 * * *"],
        "retry_policy": {"max_attempts": 1, "backoff": "fixed", "base_ms": 0, "max_ms": 0, "jitter": False},
        "timeout_ms": 1,
        "tags": ["a", "b"],
    }
    made = house.make(**asked)
    assert {k: made[k] for k in asked} == asked
    assert (made["state"], made["next_run_unix_ms"]) == ("paused", None)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"1.00000000000000000000001", b'"payload":1.00000000000000000000001,'),
        (b'{ "b" : 1 ,\n "a" : [ ] }', b'"payload":{"b":1,"a":[]},'),
        (b'"\\u00e9 \\ud83d\\ude00"', b'"payload":"\\u00e9 \\ud83d\\ude00",'),
        (b"12345678901234567890123456789", b'"payload":12345678901234567890123456789,'),
        (b"null", b'"payload":null,'),
        (b"false", b'"payload":false,'),
        (b"[" * 63 + b"]" * 63, b'"payload":' + b"[" * 63 + b"]" * 63 + b","),
    ],
)
def test_payloads_are_kept_as_written(house: House, written: bytes, kept: bytes) -> None:
    answer = house.call("POST", SCHEDULES, raw=b'{"type":"RATE","expr":"rate:5s","payload":' + written + b"}")
    assert answer.status == 201, answer.body
    assert kept in answer.body


def test_a_payload_may_have_64_kib_and_no_more(house: House) -> None:
    def sized(size: int) -> int:
        return house.call("POST", SCHEDULES, RATE | {"payload": "x" * (size - 2)}).status

    assert sized(64 * 1024) == 201
    answer = house.call("POST", SCHEDULES, RATE | {"payload": "x" * (64 * 1024 - 1)})
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_a_patch_tells_absent_from_null(house: House) -> None:
    made = house.make(name="n", max_runs=3, end_at_unix_ms=NOW_MS + 10**9, payload={"a": 1}, tags=["t"])
    path = f"{SCHEDULES}/{made['id']}"
    house.clock.advance(10)
    patched = house.call("PATCH", path, {"name": None, "payload": None, "sla_ms": 5})
    assert patched.status == 200
    shown = patched.json
    assert (shown["name"], shown["payload"], shown["sla_ms"]) == (None, None, 5)
    assert (shown["max_runs"], shown["end_at_unix_ms"], shown["tags"]) == (3, NOW_MS + 10**9, ["t"])
    assert shown["version"] != made["version"]
    assert patched.headers["ETag"] == f'"{shown["version"]}"'
    assert house.call("GET", path).json == shown


def test_a_patch_replaces_objects_whole(house: House) -> None:
    made = house.make(retry_policy={"max_attempts": 9, "base_ms": 5})
    shown = house.call("PATCH", f"{SCHEDULES}/{made['id']}", {"retry_policy": {"base_ms": 7}}).json
    assert shown["retry_policy"]["base_ms"] == 7
    assert shown["retry_policy"]["max_attempts"] == 3


def test_pause_and_resume(house: House) -> None:
    path = f"{SCHEDULES}/{house.make()['id']}"
    paused = house.call("POST", f"{path}:pause", {"note": "deploying"})
    assert (paused.status, paused.json["state"], paused.json["enabled"]) == (200, "paused", False)
    assert list(paused.json) == [*FIELDS, "note"]
    assert paused.json["note"] == "deploying"
    assert house.call("GET", path).json["note"] == "deploying"
    resumed = house.call("POST", f"{path}%3Aresume")  # as some clients encode the colon
    assert (resumed.status, resumed.json["state"]) == (200, "active")
    assert "note" not in resumed.json
    assert "note" not in house.call("POST", f"{path}:pause").json


def test_a_pause_ends_by_itself_where_it_says_when(house: House) -> None:
    path = f"{SCHEDULES}/{house.make()['id']}"
    until_ms = house.clock.now_ms() + 60_000
    paused = house.call("POST", f"{path}:pause", {"note": "deploying", "until_unix_ms": until_ms})
    shown = paused.json
    assert (paused.status, shown["state"], shown["enabled"], shown["note"]) == (200, "paused", True, "deploying")
    assert shown["paused_until_unix_ms"] == until_ms
    assert until_ms <= shown["next_run_unix_ms"] < until_ms + 5_000
    kept = house.call("PATCH", path, {"sla_ms": 9}).json
    assert (kept["state"], kept["paused_until_unix_ms"]) == ("paused", until_ms)
    house.clock.advance(until_ms - house.clock.now_ms())
    over = house.call("GET", path).json
    assert (over["state"], "note" in over, "paused_until_unix_ms" in over) == ("active", False, False)
    assert over["next_run_unix_ms"] == until_ms + 5_000, "the one at the instant itself is owed, and gone by"
    assert house.call("POST", f"{path}:resume").json["version"] == kept["version"], "there is nothing to resume"
    assert "paused_until_unix_ms" in house.call("GET", f"{path}/versions").json["items"][0]


def test_a_pause_that_would_end_by_itself_is_ended_before_or_made_lasting(house: House) -> None:
    path = f"{SCHEDULES}/{house.make()['id']}"
    until = {"until_unix_ms": house.clock.now_ms() + 60_000}
    house.call("POST", f"{path}:pause", until)
    assert house.call("POST", f"{path}:resume").json["state"] == "active"
    house.call("POST", f"{path}:pause", until)
    lasting = house.call("POST", f"{path}:pause").json
    assert (lasting["enabled"], "paused_until_unix_ms" in lasting) == (False, False)
    house.call("POST", f"{path}:pause", until)
    assert house.call("PATCH", path, {"enabled": False}).json["enabled"] is False
    assert house.call("PATCH", path, {"enabled": True}).json["state"] == "active"


@pytest.mark.parametrize("until", [NOW_MS, -1, "tomorrow", 1.5, 10**18])
def test_the_end_of_a_pause_is_an_instant_to_come(house: House, until: object) -> None:
    made = house.make()
    refused = house.call("POST", f"{SCHEDULES}/{made['id']}:pause", {"until_unix_ms": until})
    assert (refused.status in (400, 422), refused.fields) == (True, ["until_unix_ms"])
    assert house.call("GET", f"{SCHEDULES}/{made['id']}").json["version"] == made["version"]


def test_delete(house: House) -> None:
    made = house.make()
    path = f"{SCHEDULES}/{made['id']}"
    answer = house.call("DELETE", path)
    assert (answer.status, answer.json) == (200, {"id": made["id"]})
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", ":pause"), ("POST", ":trigger")):
        gone = house.call(method, path + suffix)
        assert (gone.status, gone.code) == (404, "not_found")
    assert house.call("PATCH", path, {"name": "x"}).status == 404


def test_a_name_is_unique_within_an_owner(house: House) -> None:
    house.make(name="n", owner="ada")
    taken = house.call("POST", SCHEDULES, RATE | {"name": "n", "owner": "ada"})
    assert (taken.status, taken.code) == (409, "name_taken")
    other = house.make(name="n", owner="bob")
    moved = house.call("PATCH", f"{SCHEDULES}/{other['id']}", {"owner": "ada"})
    assert (moved.status, moved.code) == (409, "name_taken")


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("PATCH", "", {"sla_ms": 1}),
        ("DELETE", "", None),
        ("POST", ":pause", None),
        ("POST", ":resume", None),
        ("POST", ":trigger", None),
        ("POST", ":backfill", {"from_unix_ms": NOW_MS - 60_000, "to_unix_ms": NOW_MS}),
    ],
)
def test_if_match(house: House, method: str, suffix: str, body: Any) -> None:
    made = house.make()
    path, version = f"{SCHEDULES}/{made['id']}", made["version"]
    for wrong in ('"other"', f'W/"{version}"', '"a", "b"', ""):
        refused = house.call(method, path + suffix, body, headers={"If-Match": wrong})
        assert (refused.status, refused.code) == (412, "precondition_failed"), wrong
    assert house.call("GET", path).json == made
    right = f'"other", "{version}"' if method == "PATCH" else "*" if suffix == ":pause" else f'"{version}"'
    assert house.call(method, path + suffix, body, headers={"If-Match": right}).status in (200, 202)


def test_if_none_match(house: House) -> None:
    made = house.make()
    path = f"{SCHEDULES}/{made['id']}"
    same = house.call("GET", path, headers={"If-None-Match": f'W/"{made["version"]}"'})
    assert (same.status, same.body) == (304, b"")
    assert same.headers["ETag"] == f'"{made["version"]}"'
    assert "Content-Length" not in same.headers
    assert house.call("GET", path, headers={"If-None-Match": '"other"'}).json == made


def test_pages_hold_every_schedule_once_while_others_come_and_go(house: House) -> None:
    made = [house.make(name=f"s{i}")["id"] for i in range(7)]
    doomed = made.pop(3)
    seen: list[str] = []
    token = None
    for _ in range(10):
        page = house.call("GET", SCHEDULES, query="limit=2" + (f"&page_token={token}" if token else ""))
        assert page.status == 200
        seen += [item["id"] for item in page.json["items"]]
        token = page.json["next_page_token"]
        if token is None:
            break
        house.make()
        house.call("DELETE", f"{SCHEDULES}/{doomed}")
    assert [i for i in seen if i in made] == made[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c", "b", "a"]),
        ("owner=ada", ["c", "a"]),
        ("enabled=false", ["b"]),
        ("enabled=true", ["c", "a"]),
        ("type=CRON", ["c"]),
        ("tag=x", ["b", "a"]),
        ("name_prefix=a", ["a"]),
        ("owner=ada&tag=x", ["a"]),
        ("owner=nobody", []),
        ("tag=%C3%BC", ["b"]),
    ],
)
def test_filters(house: House, query: str, names: list[str]) -> None:
    house.make(name="a", owner="ada", tags=["x", "y"])
    house.make(name="b", owner="bob", tags=["x", "ü"], enabled=False)
    house.make(name="c", owner="ada", type="CRON", expr="* * * * *")
    answer = house.call("GET", SCHEDULES, query=query)
    assert answer.status == 200, answer.body
    assert [item["name"] for item in answer.json["items"]] == names
    assert answer.json["next_page_token"] is None


def test_a_page_token_is_good_for_its_own_list_alone(house: House) -> None:
    for _ in range(3):
        house.make(owner="ada")
    token = house.call("GET", SCHEDULES, query="limit=1&owner=ada").json["next_page_token"]
    assert house.call("GET", SCHEDULES, query=f"limit=2&owner=ada&page_token={token}").status == 200
    altered = token[:-1] + ("A" if token[-1] != "A" else "B")
    for query in (f"page_token={token}", f"owner=bob&page_token={token}", f"owner=ada&page_token={altered}"):
        refused = house.call("GET", SCHEDULES, query=query)
        assert (refused.status, refused.code) == (400, "bad_page_token")
    for junk in ("", "x", "%00", "a" * 5000):
        assert house.call("GET", SCHEDULES, query=f"page_token={junk}").code == "bad_page_token"
    assert house.call("GET", "/api/v1/executions", query=f"page_token={token}").code == "bad_page_token"


def test_trigger(house: House) -> None:
    made = house.make(payload={"own": 1})
    path = f"{SCHEDULES}/{made['id']}"
    house.call("POST", f"{path}:pause")
    before = house.call("GET", path).json
    fired = house.call("POST", f"{path}:trigger", {"payload": [1, 2]})
    assert fired.status == 202
    assert fired.json == {"execution_id": f"{made['id']}-{NOW_MS}-m"}
    assert fired.headers["Location"] == f"/api/v1/executions/{fired.json['execution_id']}"
    assert house.execution(fired.json["execution_id"]).payload == "[1,2]"
    assert house.call("GET", path).json == before
    own = house.call("POST", f"{path}:trigger")
    assert house.execution(own.json["execution_id"]).payload is None
    big = house.call("POST", f"{path}:trigger", {"payload": "x" * 70_000})
    assert (big.status, big.code) == (413, "payload_too_large")


def test_what_was_paused_with_a_note_of_several_lines_can_be_edited(house: House) -> None:
    path = f"{SCHEDULES}/{house.make()['id']}"
    note = "deploying:\n\tback at noon"
    assert house.call("POST", f"{path}:pause", {"note": note}).json["note"] == note
    edited = house.call("PATCH", path, {"tags": ["a"]})
    assert (edited.status, edited.json["note"]) == (200, note)


@pytest.mark.parametrize("ended", [{"enabled": True}, {"tags": ["a"]}], ids=("by an edit", "by itself"))
def test_a_pause_by_an_edit_has_not_the_note_of_an_earlier_pause(house: House, ended: dict[str, Any]) -> None:
    path = f"{SCHEDULES}/{house.make()['id']}"
    end = {} if "enabled" in ended else {"until_unix_ms": house.clock.now_ms() + 5_000}
    house.call("POST", f"{path}:pause", {"note": "deploying", **end})
    assert house.call("PATCH", path, {"sla_ms": 5}).json["note"] == "deploying"
    house.clock.advance(6_000)
    assert house.call("PATCH", path, ended).json["state"] == "active"
    paused = house.call("PATCH", path, {"enabled": False}).json
    assert (paused["state"], "note" in paused) == ("paused", False)


def test_preview_writes_nothing_and_speaks_the_zone(house: House) -> None:
    asked = {
        "type": "CRON",
        "expr": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "after_unix_ms": 1_774_652_400_000,  # 2026-03-28T00:00+01:00; the clocks go forward in the next night
        "count": 2,
    }
    answer = house.call("POST", f"{SCHEDULES}:preview", asked)
    assert answer.status == 200
    assert answer.json["runs_iso8601"] == ["2026-03-28T02:30:00.000+01:00", "2026-03-29T03:00:00.000+02:00"]
    assert answer.json["runs_unix_ms"] == [1_774_661_400_000, 1_774_746_000_000]
    assert answer.json["dst"] == [{"run_unix_ms": 1_774_746_000_000, "kind": "gap"}]
    assert house.call("GET", SCHEDULES).json["items"] == []


def test_preview_by_default_shows_ten_runs_after_now_in_utc(house: House) -> None:
    answer = house.call("POST", f"{SCHEDULES}:preview", RATE)
    assert answer.json["runs_unix_ms"] == [NOW_MS + 5000 * k for k in range(1, 11)]
    assert answer.json["runs_iso8601"][0] == "2026-11-21T09:20:05.000Z"
    assert answer.json["dst"] == []


def test_preview_names_the_instant_also_where_an_offset_has_seconds(house: House) -> None:
    asked = {"type": "CRON", "expr": "0 0 * * *", "timezone": "Africa/Monrovia", "after_unix_ms": 0, "count": 1}
    answer = house.call("POST", f"{SCHEDULES}:preview", asked).json
    assert (answer["runs_unix_ms"], answer["runs_iso8601"]) == ([2_670_000], ["1970-01-01T00:00:30.000-00:44"])


def test_preview_near_the_end_of_time(house: House) -> None:
    asked = {"type": "AT", "expr": "at:9999-12-31T23:59:59Z", "timezone": "Asia/Tokyo"}
    answer = house.call("POST", f"{SCHEDULES}:preview", asked)
    assert (answer.status, answer.json["runs_iso8601"]) == (200, ["9999-12-31T23:59:59.000Z"])


@pytest.mark.parametrize("reference", ["x", "0" * 25, "0" * 27, "0" * 26 + "%00", "%F0%9F%98%80", "I" * 26, "a" * 5000])
def test_what_cannot_be_an_id_is_not_found(house: House, reference: str) -> None:
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", ":pause"), ("GET", "/executions")):
        assert house.call(method, f"{SCHEDULES}/{reference}{suffix}").code == "not_found"


@pytest.mark.parametrize(
    ("target", "field", "message"),
    [
        (
            {"type": "kafka", "brokers": ["k.example"], "topic": "t", "mode": "batched"},
            "target.mode",
            "must be one of binary, structured",
        ),
        (
            {"type": "rabbitmq", "url": "amqp://u:p@r.example", "exchange": "", "routing_key": "q"},
            "target.url",
            "must not hold credentials: a secret_ref names them",
        ),
        (
            {"type": "nats", "servers": ["nats://u:p@n.example"], "subject": "a"},
            "target.servers",
            "must not hold credentials: a secret_ref names them",
        ),
    ],
)
def test_what_is_wrong_with_a_broker_is_said_in_its_own_terms(
    house: House, target: dict[str, Any], field: str, message: str
) -> None:
    answer = house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:1h", "target": target})
    assert (answer.status, answer.json["errors"]) == (422, [{"field": field, "message": message}])
