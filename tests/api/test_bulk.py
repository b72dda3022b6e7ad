"""Many schedules at once: batches with a result each, and changes by tag with a dry run."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import ChronoError
from tests.kit.house import RATE, House
from tests.kit.machine import NOW_MS
from tests.kit.services import with_stores

SCHEDULES = "/api/v1/schedules"


def batch(house: House, *operations: dict[str, Any], **how: Any) -> dict[str, Any]:
    answer = house.call("POST", SCHEDULES + ":batch", {"operations": list(operations)}, **how)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


class TestBatch:
    def test_each_has_its_own_result(self, house: House) -> None:
        a, b, c = (house.make(name=name) for name in "abc")
        found = batch(
            house,
            {"op": "create", "schedule": RATE | {"name": "d"}},
            {"op": "create", "schedule": RATE | {"name": "a"}},
            {"op": "create", "schedule": {"type": "RATE", "expr": "rate:1ms"}},
            {"op": "patch", "id": a["id"], "changes": {"sla_ms": 7}},
            {"op": "patch", "id": a["id"], "changes": {"sla_ms": 8}, "if_match": a["version"]},
            {"op": "pause", "id": b["id"], "note": "why"},
            {"op": "resume", "id": b["id"]},
            {"op": "delete", "id": c["id"]},
            {"op": "delete", "id": "0" * 26},
        )
        items = found["items"]
        assert [(i["index"], i["status"]) for i in items] == list(
            enumerate([201, 409, 422, 200, 412, 200, 200, 200, 404])
        )
        assert (found["succeeded"], found["failed"]) == (5, 4)
        assert items[0]["schedule"] == house.call("GET", f"{SCHEDULES}/{items[0]['id']}").json
        assert [i["error"]["code"] for i in items if "error" in i] == [
            "name_taken",
            "invalid_field",
            "precondition_failed",
            "not_found",
        ]
        assert items[2]["error"]["errors"][0]["field"] == "expr"
        assert items[5]["schedule"]["note"] == "why"
        assert "schedule" not in items[7]
        names = {s["name"] for s in house.call("GET", SCHEDULES).json["items"]}
        assert names == {"a", "b", "d"}

    def test_a_wrong_shape_anywhere_changes_nothing(self, house: House) -> None:
        good = {"op": "create", "schedule": RATE}
        answer = house.call("POST", SCHEDULES + ":batch", {"operations": [good, {"op": "create", "schedule": {}}]})
        assert answer.fields == ["operations.1.schedule.type"]
        assert house.call("GET", SCHEDULES).json["items"] == []

    def test_a_hundred_at_once(self, house: House) -> None:
        found = batch(house, *[{"op": "create", "schedule": RATE}] * 100)
        assert found["succeeded"] == 100
        assert len({i["id"] for i in found["items"]}) == 100

    def test_a_key_makes_it_happen_once(self, house: House) -> None:
        operations = [{"op": "create", "schedule": RATE}] * 3
        first = batch(house, *operations, headers={"Idempotency-Key": "k"})
        again = batch(house, *operations, headers={"Idempotency-Key": "k"})
        assert first == again
        assert len(house.call("GET", SCHEDULES).json["items"]) == 3

    def test_after_a_crash_in_the_middle_it_makes_the_rest(self, house: House) -> None:
        doomed = house.make(name="doomed")["id"]
        inner = house.services.stores.schedules
        operations = [
            {"op": "delete", "id": doomed},
            {"op": "create", "schedule": RATE | {"name": "x"}},
            {"op": "create", "schedule": RATE | {"name": "y"}},
        ]
        house.services = with_stores(house.services, schedules=Dying(inner, 1))  # type: ignore[arg-type]
        with pytest.raises(ProcessDied):
            batch(house, *operations, headers={"Idempotency-Key": "k"})
        house.services = with_stores(house.services, schedules=inner)
        house.clock.advance(61_000)
        found = batch(house, *operations, headers={"Idempotency-Key": "k"})
        assert (found["succeeded"], found["failed"]) == (3, 0)
        assert {s["name"] for s in house.call("GET", SCHEDULES).json["items"]} == {"x", "y"}

    def test_a_full_deployment_refuses_the_creates_alone(self, house: House) -> None:
        house.services = replace(house.services, config=replace(house.services.config, job_limit=1))
        kept = house.make()
        found = batch(
            house,
            {"op": "create", "schedule": RATE},
            {"op": "delete", "id": kept["id"]},
            {"op": "create", "schedule": RATE},
        )
        assert [i["status"] for i in found["items"]] == [507, 200, 201]


class ProcessDied(BaseException):
    """Raised in the place of a crash."""


class Dying:
    """Schedules of a process that dies after so many creates."""

    def __init__(self, inner: Any, creates: int) -> None:
        self._inner = inner
        self._left = creates

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, schedule: Any, moves: Any = (), watch: Any = None) -> None:
        if not self._left:
            raise ProcessDied
        self._left -= 1
        self._inner.create(schedule, moves, watch)


class Broken(Dying):
    """Schedules that cannot be changed for a while."""

    def change(self, change: Any) -> None:
        raise ChronoError("broken")


def by_tag(house: House, op: str, body: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = house.call("POST", f"{SCHEDULES}:{op}", body, query=query)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


class TestByTag:
    @pytest.fixture
    def tagged(self, house: House) -> list[str]:
        ids = [house.make(name=f"s{n}", tags=["t", "u"], expr="rate:10s")["id"] for n in range(3)]
        house.make(name="other", tags=["u"])
        house.call("POST", f"{SCHEDULES}/{ids[0]}:pause")
        return ids[::-1]

    def states(self, house: House) -> dict[str, str]:
        return {s["name"]: s["state"] for s in house.call("GET", SCHEDULES).json["items"]}

    @pytest.mark.parametrize(
        ("op", "changed", "after"),
        [
            ("pause", [True, True, False], {"s0": "paused", "s1": "paused", "s2": "paused", "other": "active"}),
            ("resume", [False, False, True], {"s0": "active", "s1": "active", "s2": "active", "other": "active"}),
            ("delete", [True, True, True], {"other": "active"}),
        ],
    )
    def test_a_dry_run_tells_what_the_change_does(
        self, house: House, tagged: list[str], op: str, changed: list[bool], after: dict[str, str]
    ) -> None:
        before = self.states(house)
        dry = by_tag(house, op, {"tag": "t"}, "dry_run=true")
        assert self.states(house) == before
        assert ([i["id"] for i in dry["items"]], [i["changed"] for i in dry["items"]]) == (tagged, changed)
        assert (dry["dry_run"], dry["op"], dry["tag"], dry["next_page_token"]) == (True, op, "t", None)
        done = by_tag(house, op, {"tag": "t"})
        assert done == dry | {"dry_run": False}
        assert done["changed"] == sum(changed)
        assert self.states(house) == after
        assert by_tag(house, op, {"tag": "t"})["changed"] == 0

    def test_the_next_runs(self, house: House, tagged: list[str]) -> None:
        runs = [NOW_MS + 10_000, NOW_MS + 20_000, NOW_MS + 30_000]
        assert [i["runs_unix_ms"] for i in by_tag(house, "pause", {"tag": "t"}, "dry_run=1")["items"]] == [
            *[runs, runs],
            [],
        ]
        resumed = by_tag(house, "resume", {"tag": "t"}, "dry_run=true")["items"]
        assert [i["runs_unix_ms"] for i in resumed] == [runs] * 3
        house.make(type="DELAY", expr="delay:30s", tags=["d"])
        house.make(type="AT", expr="at:2026-11-21T10:00:00Z", tags=["d"])
        house.make(max_runs=1, tags=["d"])
        found = by_tag(house, "delete", {"tag": "d"}, "dry_run=true")["items"]
        assert [i["runs_unix_ms"] for i in found] == [[NOW_MS + 5000], [1_795_255_200_000], [NOW_MS + 30_000]]

    def test_the_next_runs_of_a_delay(self, house: House) -> None:
        made = house.make(type="DELAY", expr="delay:30s", tags=["d"])
        until_ms = NOW_MS + 60_000
        house.call("POST", f"{SCHEDULES}/{made['id']}:pause", {"until_unix_ms": until_ms})
        for op, runs in (("delete", [until_ms + 30_000]), ("resume", [NOW_MS + 30_000])):
            [item] = by_tag(house, op, {"tag": "d"}, "dry_run=true")["items"]
            assert item["runs_unix_ms"] == runs, op
        house.call("POST", f"{SCHEDULES}/{made['id']}:resume")
        house.clock.advance(31_000)  # its run is under way: when the next comes is not known
        for op in ("pause", "delete", "resume"):
            [item] = by_tag(house, op, {"tag": "d"}, "dry_run=true")["items"]
            assert item["runs_unix_ms"] == [], op

    def test_a_pause_that_ends_by_itself(self, house: House, tagged: list[str]) -> None:
        until_ms = house.clock.now_ms() + 60_000
        found = by_tag(house, "pause", {"tag": "t", "until_unix_ms": until_ms})["items"]
        assert all(at_ms < until_ms for item in found for at_ms in item["runs_unix_ms"])
        resting = house.call("GET", f"{SCHEDULES}/{tagged[0]}").json
        assert (resting["state"], resting["paused_until_unix_ms"]) == ("paused", until_ms)
        again = by_tag(house, "pause", {"tag": "t", "until_unix_ms": until_ms})["items"]
        assert not any(item["changed"] for item in again), "paused already"
        assert by_tag(house, "resume", {"tag": "t"})["changed"] == len(found)
        one = {"operations": [{"op": "pause", "id": tagged[0], "until_unix_ms": 1}]}
        [refused] = house.call("POST", f"{SCHEDULES}:batch", one).json["items"]
        assert refused["error"]["errors"][0]["field"] == "until_unix_ms"

    def test_the_note_of_a_pause(self, house: House, tagged: list[str]) -> None:
        by_tag(house, "pause", {"tag": "t", "note": "deploying"})
        assert house.call("GET", f"{SCHEDULES}/{tagged[0]}").json["note"] == "deploying"

    def test_no_such_tag(self, house: House) -> None:
        found = by_tag(house, "delete", {"tag": "none"})
        assert (found["items"], found["changed"], found["next_page_token"]) == ([], 0, None)

    def test_many_are_done_in_parts(self, house: House) -> None:
        for n in range(11):
            batch(
                house, *[{"op": "create", "schedule": RATE | {"name": f"{n}/{i}", "tags": ["m"]}} for i in range(100)]
            )
        first = by_tag(house, "pause", {"tag": "m"})
        assert (first["changed"], len(first["items"])) == (1000, 1000)
        assert first["next_page_token"]
        rest = by_tag(house, "pause", {"tag": "m"}, f"page_token={first['next_page_token']}")
        assert (rest["changed"], rest["next_page_token"]) == (100, None)

    def test_one_that_is_refused_does_not_stop_the_others(self, house: House, tagged: list[str]) -> None:
        inner = house.services.stores.schedules
        house.services = with_stores(house.services, schedules=Broken(inner, 0))  # type: ignore[arg-type]
        found = by_tag(house, "pause", {"tag": "t"})
        assert [(i["changed"], i.get("error", {}).get("code")) for i in found["items"]] == [
            *[(False, "internal_error")] * 2,
            (False, None),
        ]
