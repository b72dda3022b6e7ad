"""Every operation on another owner's and another tenant's things, by every role: what is hidden looks missing.

Generated from the table of operations, so that a new one is judged the day it is there.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from chalicelib.api.http.operations import Operation
from chalicelib.api.http.routes import table
from chalicelib.core.security.permissions import ROLES
from tests.kit.callers import Everybody, who
from tests.kit.house import RATE, Answer, House

IDS = re.compile(r"\{(schedule|job|execution)_id\}")
OPERATIONS = [o for o in table().operations if IDS.search(o.path)]
MISSING = "01KB0E5T0QJ8Z3V7M4N2X9YRSC"
BODIES: dict[str, Any] = {"PATCH": {"expr": "rate:9s"}}
NEEDED: dict[str, Any] = {
    ":backfill": {"from_unix_ms": 1, "to_unix_ms": 2},
    ":fail": {"error": "disk full"},
    "/logs": {"message": "hello"},
}


class Things(NamedTuple):
    """What exists: a schedule and an execution of it, or ids of none."""

    schedule_id: str
    execution_id: str


NOTHING = Things(MISSING, f"{MISSING}-1795252805000-m")


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _as(house: House, subject: str, role: str, tenant: str = "default") -> House:
    house.authenticator = Everybody(who(subject, role, tenant=tenant))
    return house


def _things(house: House, tenant: str = "default") -> Things:
    """What bob has made."""
    execution_id = _as(house, "bob", "user", tenant).fire()
    return Things(execution_id.partition("-")[0], execution_id)


def _call(house: House, operation: Operation, things: Things) -> Answer:
    path = operation.path.replace("{execution_id}", things.execution_id)
    path = path.replace("{schedule_id}", things.schedule_id).replace("{job_id}", things.schedule_id)
    body = BODIES.get(operation.method, next((b for end, b in NEEDED.items() if path.endswith(end)), {}))
    return house.call(operation.method, path, body if operation.takes_body else None)


def _shown(answer: Answer, things: Things) -> tuple[int, dict[str, str], str]:
    """An answer without its trace and its clock, and without the id that was asked for."""
    headers = {k: v for k, v in answer.headers.items() if k not in ("traceparent", "X-Chrono-HLC", "Content-Length")}
    text = re.sub(r'"trace_id":"[0-9a-f]{32}"', "", answer.body.decode())
    return answer.status, headers, text.replace(things.execution_id, "ID").replace(things.schedule_id, "ID")


def _state(house: House, things: Things, tenant: str = "default") -> list[Any]:
    """All that bob sees of what is his."""
    bob = _as(house, "bob", "user", tenant)
    paths = (f"/schedules/{things.schedule_id}", f"/executions/{things.execution_id}")
    logs = bob.call("GET", f"/api/v1/executions/{things.execution_id}/logs")
    return [bob.call("GET", f"/api/v1{path}").json for path in paths] + [logs.json]


def test_the_table_is_not_empty() -> None:
    assert len(OPERATIONS) > 20


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_another_tenants_thing_looks_missing_to_every_role(role: str, operation: Operation) -> None:
    house = House()
    theirs = _things(house, "other")
    before = _state(house, theirs, "other")
    _as(house, "bob", role)  # the same subject, elsewhere
    found, missing = _call(house, operation, theirs), _call(house, operation, NOTHING)
    permitted = role in ROLES and operation.permission in ROLES[role].permissions
    assert _shown(found, theirs) == _shown(missing, NOTHING)
    assert missing.status in ((404, 200) if permitted else (403,)), "a list of nothing is empty, or not there"
    assert _state(house, theirs, "other") == before


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_another_owners_thing_looks_missing_or_is_forbidden_by_the_role(role: str, operation: Operation) -> None:
    house = House()
    theirs = _things(house)
    before = _state(house, theirs)
    _as(house, "ann", role)
    found, missing = _call(house, operation, theirs), _call(house, operation, NOTHING)
    permitted = role in ROLES and operation.permission in ROLES[role].permissions
    if not permitted:
        assert found.status == missing.status == 403
    elif ROLES[role].every_owner:
        assert found.status not in (401, 403, 404)
        return  # they may see it, and change it
    assert _shown(found, theirs) == _shown(missing, NOTHING)
    assert _state(house, theirs) == before


@pytest.mark.parametrize("op", ["patch", "pause", "resume", "delete"])
def test_in_a_batch_too(op: str) -> None:
    house = House()
    theirs = _things(house)
    before = _state(house, theirs)
    _as(house, "ann", "user")

    def result(schedule_id: str) -> str:
        operation = {"op": op, "id": schedule_id, **({"changes": {"expr": "rate:9s"}} if op == "patch" else {})}
        answer = house.call("POST", "/api/v1/schedules:batch", {"operations": [operation]})
        return answer.body.decode().replace(schedule_id, "ID")

    assert result(theirs.schedule_id) == result(MISSING)
    assert _state(house, theirs) == before


def test_a_file_cannot_take_over_anothers_schedule() -> None:
    house = House()
    theirs = _things(house)
    before = _state(house, theirs)
    _as(house, "ann", "user")
    entry = {**RATE, "id": theirs.schedule_id, "name": "mine", "expr": "rate:9s"}
    house.call("POST", "/api/v1/schedules:import", {"schedules": [entry]})
    assert _state(house, theirs) == before


def test_names_lists_tokens_and_keys_are_each_callers_own() -> None:
    house = House()
    bodies = [{**RATE, "name": f"n{n}", "tags": ["t"]} for n in range(3)]
    headers = {"Idempotency-Key": "k"}
    made = [
        _as(house, *caller).call("POST", "/api/v1/schedules", bodies[0], headers=headers).json["id"]
        for caller in (("ann", "user"), ("bob", "user"), ("ann", "user", "other"))
    ]
    assert len(set(made)) == 3, "the same name and the same key, for three callers"
    for body in bodies[1:]:
        _as(house, "ann", "user").call("POST", "/api/v1/schedules", body)
    page = house.call("GET", "/api/v1/schedules", query="limit=1").json
    query = f"limit=1&page_token={page['next_page_token']}"
    assert house.call("GET", "/api/v1/schedules", query=query).status == 200
    for stranger in (("bob", "user"), ("ann", "user", "other")):
        assert _as(house, *stranger).call("GET", "/api/v1/schedules", query=query).code == "bad_page_token"


def test_a_subject_with_a_slash_is_not_another_with_a_longer_key() -> None:
    house = House()
    first = _as(house, "a/b", "user").call("POST", "/api/v1/schedules", RATE, headers={"Idempotency-Key": "c"})
    second = _as(house, "a", "user").call("POST", "/api/v1/schedules", RATE, headers={"Idempotency-Key": "b/c"})
    assert (first.status, second.status) == (201, 201)
    assert "Idempotent-Replayed" not in second.headers
    assert second.json["owner"] == "a"


def test_a_lease_is_its_subjects_whatever_holder_id_another_sends() -> None:
    house = House()
    asked = {"name": "n", "holder_id": "h", "ttl_ms": 60_000}
    token = _as(house, "ann", "user").call("POST", "/api/v1/leases:acquire", asked).json["fencing_token"]
    held = {"name": "n", "holder_id": "h", "fencing_token": token}
    for stranger in (("bob", "user"), ("olga", "operator"), ("ada", "admin")):
        _as(house, *stranger)
        for verb in ("renew", "release"):
            assert house.call("POST", f"/api/v1/leases:{verb}", held).code == "lease_not_held"
        assert house.call("POST", "/api/v1/leases:acquire", asked).json["acquired"] is False
    elsewhere = _as(house, "ann", "user", "other").call("POST", "/api/v1/leases:acquire", asked).json
    assert elsewhere["acquired"] is True, "a lease of the same name in another tenant is another lease"
    assert _as(house, "ann", "user").call("POST", "/api/v1/leases:release", held).json == {"released": True}
