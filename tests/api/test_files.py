"""Schedules as YAML files: what is exported can be imported, twice changes nothing, a dry run tells the difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.api.http.yaml_text import to_json
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.core.schedules.limits import EXPORT_MAX_BYTES
from tests.kit.house import RATE, Answer, House
from tests.kit.machine import NOW_MS

SCHEDULES = "/api/v1/schedules"
FULL = {
    "name": "full",
    "owner": "ops",
    "type": "CRON",
    "expr": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "start_at_unix_ms": NOW_MS,
    "end_at_unix_ms": NOW_MS * 2,
    "max_runs": 5,
    "payload": {"no": "no", "time": "12:30", "n": [1, 2.50, None, True], "text": "a\n- b\n"},
    "target": {"type": "webhook", "url": "https://example.com/hook", "headers": {"x-a": "b"}, "timeout_ms": 5000},
    "enabled": False,
    "shard_key": "k",
    "sla_ms": 5,
    "overlap": "allow",
    "catch_up_window_ms": 7,
    "jitter_ms": 9,
    "dst_gap": "skip",
    "dst_overlap": "twice",
    "exclude": ["0 12 * * *", {"from_unix_ms": 1, "to_unix_ms": 2}],
    "retry_policy": {"max_attempts": 9, "backoff": "fixed", "base_ms": 1, "max_ms": 2, "jitter": False},
    "timeout_ms": 1234,
    "pause_after_failures": 3,
    "monitor": {"window_ms": 90_000},
    "tags": ["on", "1e5"],
}
KEPT = ("id", "version", "shard_key", "created_at_unix_ms", "updated_at_unix_ms", "tenant")


def export(house: House, query: str = "") -> str:
    answer = house.call("GET", SCHEDULES + ":export", query=query)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/yaml; charset=utf-8"), answer.body
    return answer.body.decode()


def entries(text: str) -> list[dict[str, Any]]:
    document = json.loads(to_json(text.encode()))
    assert document["version"] == 1
    found: list[dict[str, Any]] = document["schedules"]
    return found


def bring(house: House, text: str, query: str = "", **headers: str) -> Answer:
    known = {"Content-Type": "application/yaml", **headers}
    return house.call("POST", SCHEDULES + ":import", raw=text.encode(), query=query, headers=known)


def imported(house: House, text: str, query: str = "") -> dict[str, Any]:
    answer = bring(house, text, query)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return found["created"], found["updated"], found["unchanged"], found["refused"]


class TestExport:
    def test_of_nothing(self, house: House) -> None:
        assert entries(export(house)) == []

    def test_says_what_differs_from_the_defaults(self, house: House) -> None:
        house.make(name="plain")
        assert entries(export(house)) == [
            {
                "name": "plain",
                "owner": "anonymous",
                "type": "RATE",
                "expr": "rate:5s",
                "timezone": "UTC",
                "target": {"type": "eventbridge"},
            }
        ]

    def test_of_everything_that_can_be_said(self, house: House) -> None:
        house.make(**FULL)
        [entry] = entries(export(house))
        assert entry == {k: v for k, v in FULL.items() if k != "overlap"} | {
            "target": FULL["target"] | {"method": "POST"}
        }

    def test_a_nameless_one_has_its_id(self, house: House) -> None:
        assert entries(export(house)) == []
        schedule_id = house.make()["id"]
        assert entries(export(house))[0]["id"] == schedule_id

    def test_numbers_keep_their_digits(self, house: House) -> None:
        raw = b'{"type":"RATE","expr":"rate:5s","name":"n","payload":[1.10,1e5,123456789012345678901234567890]}'
        house.call("POST", SCHEDULES, raw=raw)
        assert b"[1.10,1e5,123456789012345678901234567890]" in to_json(export(house).encode())

    def test_filters(self, house: House) -> None:
        for name, tags in (("a", ["x"]), ("b", ["y"]), ("c", ["x"])):
            house.make(name=name, tags=tags)
        assert [e["name"] for e in entries(export(house, "tag=x"))] == ["a", "c"]
        assert [e["name"] for e in entries(export(house, "name_prefix=b"))] == ["b"]

    def test_a_long_one_comes_in_parts(self, house: House) -> None:
        for n in range(11):
            operations = [{"op": "create", "schedule": RATE | {"name": f"{n}-{i}"}} for i in range(100)]
            house.call("POST", SCHEDULES + ":batch", {"operations": operations})
        first = house.call("GET", SCHEDULES + ":export")
        token = first.headers["X-Chrono-Next-Page-Token"]
        assert f"page_token={token}" in first.body.decode()
        rest = house.call("GET", SCHEDULES + ":export", query=f"page_token={token}")
        assert "X-Chrono-Next-Page-Token" not in rest.headers
        names = [e["name"] for part in (first, rest) for e in entries(part.body.decode())]
        assert (len(names), len(set(names))) == (1100, 1100)

    def test_heavy_ones_too(self, house: House) -> None:
        for n in range(80):
            house.make(name=f"n{n}", payload="x" * 60_000)
        first = house.call("GET", SCHEDULES + ":export")
        assert len(first.body) < EXPORT_MAX_BYTES + 1000
        rest = house.call("GET", SCHEDULES + ":export", query=f"page_token={first.headers['X-Chrono-Next-Page-Token']}")
        assert len(entries(first.body.decode())) + len(entries(rest.body.decode())) == 80


class TestImport:
    def test_what_is_exported_comes_back(self, house: House) -> None:
        made = [
            house.make(**FULL),
            house.make(name="plain"),
            house.make(name="at", type="AT", expr="at:2027-01-01T00:00:00Z"),
        ]
        text = export(house)
        assert counts(imported(house, text)) == (0, 0, 3, 0)
        other = House()
        assert counts(imported(other, text)) == (3, 0, 0, 0)
        for schedule in made:
            [copy] = [s for s in other.call("GET", SCHEDULES).json["items"] if s["name"] == schedule["name"]]
            assert {k: v for k, v in copy.items() if k not in KEPT} == {
                k: v for k, v in schedule.items() if k not in KEPT
            }
        assert export(other) == text
        assert counts(imported(other, text)) == (0, 0, 3, 0)

    def test_a_dry_run_tells_the_difference_and_writes_nothing(self, house: House) -> None:
        kept = house.make(name="beat", tags=["a"], payload={"n": 1})
        text = """
version: 1
schedules:
- {name: beat, type: RATE, expr: "rate:10s", payload: {n: 1}, sla_ms: 7}
- {name: new, type: CRON, expr: "0 * * * *"}
- {name: bad, type: RATE, expr: "rate:1ms"}
"""
        dry = imported(house, text, "dry_run=true")
        assert counts(dry) == (1, 1, 0, 1)
        beat, new, bad = dry["items"]
        assert beat["changes"] == {
            "expr": {"from": "rate:5s", "to": "rate:10s"},
            "sla_ms": {"from": 1000, "to": 7},
            "tags": {"from": ["a"], "to": []},
        }
        assert (beat["id"], beat["runs_unix_ms"][0]) == (kept["id"], NOW_MS + 10_000)
        assert (new["action"], "id" in new, new["runs_unix_ms"][0]) == ("create", False, 1_795_255_200_000)
        assert (bad["action"], bad["error"]["errors"][0]["field"]) == ("refused", "expr")
        assert [s["version"] for s in house.call("GET", SCHEDULES).json["items"]] == [kept["version"]]

        done = imported(house, text)
        assert [i["action"] for i in done["items"]] == [i["action"] for i in dry["items"]]
        assert done["items"][0]["changes"] == beat["changes"]
        assert house.call("GET", f"{SCHEDULES}/{kept['id']}").json["expr"] == "rate:10s"
        assert counts(imported(house, text)) == (0, 0, 2, 1)

    def test_names_are_an_owners_own(self, house: House) -> None:
        house.make(name="n", owner="a")
        same = "name: n, type: RATE, expr: 'rate:5s'"
        text = f"schedules: [{{owner: b, {same}}}, {{owner: a, {same}}}]"
        assert [i["action"] for i in imported(house, text)["items"]] == ["create", "unchanged"]

    def test_an_at_that_has_passed_is_taken_and_never_fires(self, house: House) -> None:
        text = "schedules: [{name: gone, type: AT, expr: 'at:2020-01-01T00:00:00Z'}]"
        assert counts(imported(house, text)) == (1, 0, 0, 0)
        [made] = house.call("GET", SCHEDULES).json["items"]
        assert (made["state"], made["next_run_unix_ms"], made["run_count"]) == ("completed", None, 0)
        assert counts(imported(house, text)) == (0, 0, 1, 0)

    def test_enabling_and_disabling(self, house: House) -> None:
        house.make(name="n")
        off = "schedules: [{name: n, type: RATE, expr: 'rate:5s', enabled: false}]"
        [item] = imported(house, off)["items"]
        assert item["changes"] == {"enabled": {"from": True, "to": False}}
        assert house.call("GET", SCHEDULES).json["items"][0]["state"] == "paused"
        assert imported(house, off.replace("false", "true"))["updated"] == 1

    def test_without_a_name_the_id_says_which(self, house: House) -> None:
        kept = house.make()["id"]
        text = f"schedules: [{{id: {kept}, type: RATE, expr: 'rate:7s'}}]"
        assert imported(house, text)["updated"] == 1
        other = House()
        assert imported(other, text)["created"] == 1
        assert other.call("GET", f"{SCHEDULES}/{kept}").json["expr"] == "rate:7s"
        nothing = imported(house, "schedules: [{type: RATE, expr: 'rate:5s'}]")["items"][0]
        assert nothing["error"]["errors"][0]["field"] == "name"
        bad = imported(house, "schedules: [{id: '" + "u" * 26 + "', type: RATE, expr: 'rate:5s'}]")["items"][0]
        assert bad["error"]["errors"][0]["field"] == "id"

    def test_the_shard_key_stays(self, house: House) -> None:
        house.make(name="n", shard_key="a")
        found = imported(house, "schedules: [{name: n, type: RATE, expr: 'rate:5s', shard_key: b}]")["items"][0]
        assert found["error"]["errors"][0]["field"] == "shard_key"

    def test_a_key_makes_it_happen_once(self, house: House) -> None:
        text = "schedules: [{id: 01KB0E5T0QJ8Z3V7M4N2X9YRSC, type: RATE, expr: 'rate:5s'}]"
        first = bring(house, text, **{"Idempotency-Key": "k"})
        again = bring(house, text, **{"Idempotency-Key": "k"})
        assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
        other = bring(house, text.replace("5s", "6s"), **{"Idempotency-Key": "k"})
        assert other.code == "idempotency_key_reused"

    def test_json_says_the_same(self, house: House) -> None:
        assert house.call("POST", SCHEDULES + ":import", {"schedules": [RATE | {"name": "n"}]}).json["created"] == 1

    @pytest.mark.parametrize("media", ["text/yaml", "application/x-yaml; charset=utf-8", "TEXT/X-YAML"])
    def test_yaml_by_any_of_its_names(self, house: House, media: str) -> None:
        answer = house.call("POST", SCHEDULES + ":import", raw=b"schedules: []", headers={"Content-Type": media})
        assert answer.status == 200

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a: &x [1]\nb: *x", "aliases are not accepted, line 2"),
            ("schedules: []\nschedules: []", "the key 'schedules' occurs twice, line 2"),
            ("schedules: !!python/object/apply:os.system [x]", "is not accepted, line 1"),
            ("? [a]\n: 1", "a key must be text"),
            ("schedules: [", "not YAML"),
            ("--- {}\n--- {}", "one YAML document"),
            ("", "empty"),
            ("# nothing", "empty"),
            ("\t- x", "not YAML"),
            ("schedules: .nan", "'.nan' has no form in JSON"),
            ("[" * 100 + "]" * 100, "nested deeper"),
            ("[" * 100_000, "nested deeper"),
            ("a: \x00", "not YAML"),
        ],
    )
    def test_what_json_could_not_say_is_refused(self, house: House, text: str, said: str) -> None:
        answer = bring(house, text)
        assert (answer.status, answer.code) == (400, "bad_request"), answer.body
        assert said in answer.json["detail"]

    def test_a_wrong_field_is_named_in_its_place(self, house: House) -> None:
        assert bring(house, "schedules: [{name: a, type: RATE, expr: 'rate:5s'}, {nam: b}]").status == 422
        text = "schedules:\n- {name: a, type: RATE, expr: 'rate:5s', sla_ms: soon}"
        assert bring(house, text).fields == ["schedules.0.sla_ms"]

    def test_elsewhere_yaml_is_no_json(self, house: House) -> None:
        answer = house.call("POST", SCHEDULES, raw=b"type: RATE", headers={"Content-Type": "text/yaml"})
        assert (answer.status, answer.code) == (415, "unsupported_media_type")

    def test_over_the_limit(self, house: House) -> None:
        assert bring(house, "#" * (BODY_MAX_BYTES + 1)).code == "body_too_large"


def test_a_file_that_comes_by_a_webhook_changes_what_it_says_and_nothing_of_how_it_came(house: House) -> None:
    house.settings.own_api = True
    file = {"version": 1, "schedules": [{"name": "beat", "type": "RATE", "expr": "rate:5s"}]}
    house.call("POST", f"{SCHEDULES}:import", file)
    again = house.call("POST", f"{SCHEDULES}:import", file, headers={"x-chrono-depth": "2"})
    assert (again.status, [item["action"] for item in again.json["items"]]) == (200, ["unchanged"])


def test_a_body_of_another_kind_is_told_both_that_are_taken(house: House) -> None:
    answer = house.call(
        "POST",
        SCHEDULES + ":import",
        raw=b"version: 1\n",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 415
    assert (
        answer.json["detail"] == "the body must be application/json or application/yaml in UTF-8, and say which it is"
    )
