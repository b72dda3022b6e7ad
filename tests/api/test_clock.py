"""The clock over HTTP: stamps in the cluster's order, drift and steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp
from tests.kit.house import House


def now(house: House, query: str = "") -> dict[str, Any]:
    answer = house.call("GET", "/api/v1/time/now", query=query)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    assert hlc.parse(answer.headers["X-Chrono-HLC"]) > stamp(found)
    return found


def stamp(found: dict[str, Any]) -> Stamp:
    return Stamp(found["hlc_physical_nanos"], found["hlc_logical"])


def test_cluster_stamps_increase_over_instances() -> None:
    here, there = House(), House()
    there.services = here.services
    stamps = [stamp(now(house, "consistency=cluster")) for house in (here, there, there, here, here, there)]
    assert all(a < b for a, b in pairwise(stamps))


def test_a_cluster_stamp_is_greater_than_what_the_caller_saw(house: House) -> None:
    seen = Stamp(house.clock.now_ms() * 1_000_000 + 300_000_000, 5)
    answer = house.call("GET", "/api/v1/time/now", query="consistency=cluster", headers={"X-Chrono-HLC": str(seen)})
    assert stamp(answer.json) > seen


def test_a_stamp_of_a_caller_who_counts_further_is_taken(house: House) -> None:
    seen = Stamp(house.clock.now_ms() * 1_000_000 - 1, (1 << 63) - 1)
    answer = house.call("GET", "/api/v1/time/now", headers={"X-Chrono-HLC": str(seen)})
    assert answer.status == 200
    assert hlc.parse(answer.headers["X-Chrono-HLC"]) > seen


def test_local_stamps_write_nothing(house: House) -> None:
    now(house)
    now(house, "consistency=local")
    assert house.services.stores.cursors.load("cluster-time").rev == 0


def test_steps_are_listed(house: House) -> None:
    house.call("GET", "/api/v1/time/drift")
    house.clock.step(-3_600_000)
    drift = house.call("GET", "/api/v1/time/drift").json
    assert drift["steps"] == [{"at_unix_ms": house.clock.now_ms(), "step_ms": -3_600_000.0}]
    assert (drift["drift_ms"], drift["within_bound"]) == (-3_600_000.0, False)
    assert drift["error_bound_nanos"] == (3_600_000 + 20) * 1_000_000
