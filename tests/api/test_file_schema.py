"""The schema of a file of schedules names what the import takes, and nothing else."""

from __future__ import annotations

import re

import pytest

from tests.kit.house import House


def test_it_has_the_fields_of_an_entry(shared: House) -> None:
    answer = shared.call("GET", "/schemas/schedules.json")
    assert answer.status == 200
    found = answer.json
    document = shared.call("GET", "/api/v1/openapi.json").json["components"]["schemas"]
    entry = found["definitions"]["FileEntry"]
    assert entry["properties"].keys() == document["FileEntry"]["properties"].keys()
    named = set(re.findall(r'"\$ref": ?"#/([^"]+)"', answer.body.decode()))
    assert named == {f"definitions/{name}" for name in found["definitions"]}
    assert "components" not in answer.body.decode()


@pytest.mark.parametrize(
    ("kind", "expr"),
    [("CRON", "0 2 * * *"), ("CRON", "@daily"), ("CRON", "0 0 2 * * 1-5"), ("RATE", "rate:5m"), ("DELAY", "delay:30s"),
     ("AT", "at:2027-01-01T00:00:00Z")],
)  # fmt: skip
def test_its_forms_take_what_the_api_takes(shared: House, kind: str, expr: str) -> None:
    rules = shared.call("GET", "/schemas/schedules.json").json["definitions"]["FileEntry"]["allOf"]
    [pattern] = [
        r["then"]["properties"]["expr"]["pattern"] for r in rules if r["if"]["properties"]["type"]["const"] == kind
    ]
    assert re.search(pattern, expr)
    assert shared.call("POST", "/api/v1/schedules:preview", {"type": kind, "expr": expr}).status == 200
