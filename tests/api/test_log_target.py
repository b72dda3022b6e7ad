"""A schedule with the target ``log``: made over HTTP, fired by the workers, seen as lines."""

from __future__ import annotations

import io
import json

from msgspec.structs import replace

from chalicelib.adapters.targets.log import LogSender
from tests.kit.house import House
from tests.kit.machine import NOW_MS
from tests.kit.plant import Plant


def test_a_firing_becomes_a_line_with_its_payload(house: House) -> None:
    stream, plant = io.BytesIO(), Plant(NOW_MS)
    targets = {**plant.services.targets, "log": LogSender(stream)}
    plant.services = house.services = replace(plant.services, targets=targets)
    made = house.make(target={"type": "log"}, payload={"hello": "wörld"}, max_runs=2)
    assert made["target"] == {"type": "log"}
    plant.run_until(NOW_MS + 30_000)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["subject"] for event in events] == [made["id"]] * 2
    assert [event["data"] for event in events] == [{"hello": "wörld"}] * 2
    listed = house.call("GET", f"/api/v1/schedules/{made['id']}/executions").json["items"]
    assert {each["id"] for each in listed} == {event["id"] for event in events}
    assert {each["delivery_state"] for each in listed} == {"completed"}


def test_a_log_has_no_fields(house: House) -> None:
    body = {"type": "RATE", "expr": "rate:5s", "target": {"type": "log", "level": "info"}}
    assert house.call("POST", "/api/v1/schedules", body).fields == ["target.level"]


def test_ticks_may_go_to_the_log(house: House) -> None:
    answer = house.call("POST", "/api/v1/ticks/second:enable", {"target": {"type": "log"}})
    assert answer.status == 200
    assert answer.json["target"] == {"type": "log"}
