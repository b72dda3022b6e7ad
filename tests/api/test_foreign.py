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

IDS = re.compile(r"\{(schedule|job|execution|task)_id\}")
NAMES = re.compile(r"\{(key_id|role|name)\}|/leases:")
OPERATIONS = [o for o in table().operations if IDS.search(o.path)]
OF_TENANTS = [o for o in table().operations if NAMES.search(o.path)]
LISTS = [o for o in table().operations if o.method == "GET" and "{" not in o.path]
# What names no thing that another could have, or has its own test below.
ELSEWHERE = {
    "POST /api/v1/schedules": "it makes a new one: test_names_lists_tokens_and_keys_are_each_callers_own",
    "POST /jobs": "as POST /api/v1/schedules",
    "POST /api/v1/keys": "it makes a new one",
    "POST /api/v1/schedules:preview": "it reads nothing that is stored",
    "POST /api/v1/schedules:parse": "it reads nothing that is stored",
    "POST /api/v1/schedules:batch": "test_in_a_batch_too",
    "POST /api/v1/schedules:import": "test_a_file_cannot_take_over_anothers_schedule",
    "POST /api/v1/schedules:pause": "test_a_tag_reaches_only_ones_own",
    "POST /api/v1/schedules:resume": "test_a_tag_reaches_only_ones_own",
    "POST /api/v1/schedules:delete": "test_a_tag_reaches_only_ones_own",
    "POST /api/v1/keys:report-leaked": "whoever knows the text of a key may end it, in any tenant",
    "POST /api/v1/executions:bulk": "test_a_bulk_job_is_its_makers_own",
    "GET /api/v1/bulk-jobs/{bulk_id}": "test_a_bulk_job_is_its_makers_own",
    "POST /api/v1/bulk-jobs/{bulk_id}:cancel": "test_a_bulk_job_is_its_makers_own",
    **dict.fromkeys(
        (
            "POST /api/v1/policies",
            "GET /api/v1/policies/{policy}",
            "PUT /api/v1/policies/{policy}",
            "DELETE /api/v1/policies/{policy}",
            "GET /api/v1/policies/{policy}/schedules",
            "GET /api/v1/policies/{policy}/versions",
            "POST /api/v1/policies/{policy}:dry-run",
            "POST /api/v1/policies:dry-run",
            "POST /api/v1/policies:evaluate",
        ),
        "policies are the tenant's, for administrators: tests/api/test_policies.py",
    ),
    **dict.fromkeys(
        (
            "POST /api/v1/workflows",
            "GET /api/v1/workflows/{workflow}",
            "PUT /api/v1/workflows/{workflow}",
            "DELETE /api/v1/workflows/{workflow}",
            "GET /api/v1/workflows/{workflow}/versions/{version}",
            "POST /api/v1/workflows/{workflow}:validate",
            "POST /api/v1/workflows/{workflow}:start",
            "POST /api/v1/workflows:test",
            "GET /api/v1/workflows/{workflow}:export",
            "GET /api/v1/runs/{run_id}",
            "GET /api/v1/runs/{run_id}/events",
            "POST /api/v1/runs/{run_id}:cancel",
            "POST /api/v1/runs/{run_id}:redrive",
            "POST /api/v1/runs/{run_id}/nodes/{node}:approve",
            "POST /api/v1/runs/{run_id}/nodes/{node}:reject",
            "POST /api/v1/runs/{run_id}/nodes/{node}:complete",
            "POST /api/v1/runs/{run_id}/nodes/{node}:fail",
        ),
        "tests/api/test_workflow_owners.py",
    ),
    **dict.fromkeys(
        (
            "POST /api/v1/runs/{run_id}/sessions",
            "POST /api/v1/sessions/{session_id}:step-forward",
            "POST /api/v1/sessions/{session_id}:step-backward",
            "POST /api/v1/sessions/{session_id}:jump",
            "POST /api/v1/sessions/{session_id}:continue",
            "PUT /api/v1/sessions/{session_id}/breakpoints",
            "GET /api/v1/sessions/{session_id}:export",
            "POST /api/v1/sessions:import",
        ),
        "tests/api/test_travel.py",
    ),
    **dict.fromkeys(
        (
            "POST /api/v1/triggers",
            "GET /api/v1/triggers/{trigger_id}",
            "PATCH /api/v1/triggers/{trigger_id}",
            "DELETE /api/v1/triggers/{trigger_id}",
            "POST /api/v1/triggers/{trigger_id}:pause",
            "POST /api/v1/triggers/{trigger_id}:resume",
            "GET /api/v1/triggers/{trigger_id}/executions",
            "POST /ingest/{trigger_id}/{token}",
        ),
        "tests/api/test_trigger_owners.py",
    ),
    **dict.fromkeys(
        (
            "POST /api/v1/monitors",
            "GET /api/v1/monitors/{monitor_id}",
            "PATCH /api/v1/monitors/{monitor_id}",
            "DELETE /api/v1/monitors/{monitor_id}",
            "POST /api/v1/monitors/{monitor_id}:pause",
            "POST /api/v1/monitors/{monitor_id}:resume",
        ),
        "tests/api/test_heartbeats.py",
    ),
    **dict.fromkeys(
        (
            "POST /api/v1/notification-rules",
            "GET /api/v1/notification-rules/{rule_id}",
            "PATCH /api/v1/notification-rules/{rule_id}",
            "DELETE /api/v1/notification-rules/{rule_id}",
            "POST /api/v1/notification-rules/{rule_id}:test",
        ),
        "tests/api/test_notices.py",
    ),
    **dict.fromkeys(
        (
            "GET /ping/{ping_id}",
            "POST /ping/{ping_id}",
            "GET /ping/{ping_id}/{signal_id}",
            "POST /ping/{ping_id}/{signal_id}",
            "GET /badge/{badge_id}",
        ),
        "whoever has the token may, in any tenant: tests/api/test_heartbeats.py",
    ),
    "POST /mcp": "tests/api/test_agents.py",
    "POST /api/session": "it reads nothing that is stored",
    "POST /api/session/refresh": "it reads nothing that is stored",
    "DELETE /api/session": "it reads nothing that is stored",
    "POST /api/admin/queue/pause": "tests/api/test_queues.py::test_each_tenant_has_a_queue_of_its_own",
    "POST /api/admin/queue/resume": "as POST /api/admin/queue/pause",
    "POST /api/v1/audit:verify": "tests/api/test_audit.py::test_each_tenant_reads_its_own",
    "POST /api/v1/subjects/{subject_id}:export": "tests/api/test_subjects.py, test_another_tenants_subject_…",
    "POST /api/v1/subjects/{subject_id}:erase": "tests/api/test_subjects.py, test_another_tenants_subject_…",
    "GET /console/{release}/{file}": "files of the release, the same for all: tests/api/test_console.py",
    "POST /join": "the cluster is the deployment's",
    "GET /api/v1/ticks/{frequency}": "the streams of ticks are the deployment's",
    "POST /api/v1/ticks/{frequency}:enable": "the streams of ticks are the deployment's",
    "POST /api/v1/ticks/{frequency}:disable": "the streams of ticks are the deployment's",
}
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
    path = operation.path.replace("{execution_id}", things.execution_id).replace("{task_id}", things.execution_id)
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


def test_every_operation_is_judged_here_or_says_where() -> None:
    judged = {_name(o) for o in (*OPERATIONS, *OF_TENANTS, *LISTS)}
    assert len(OPERATIONS) > 20
    assert judged | ELSEWHERE.keys() == {_name(o) for o in table().operations}
    assert not judged & ELSEWHERE.keys()


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


class Named(NamedTuple):
    """What a tenant has beside schedules: a key, a role and a held lease."""

    key: str
    role: str
    lease: str


ABSENT = Named("Zz345678", "absent", "free")


def _named(house: House) -> Named:
    """What an admin of another tenant has made."""
    _as(house, "ada", "admin", "other")
    key = house.call("POST", "/api/v1/keys", {"name": "theirs", "roles": ["viewer"]}).json["id"]
    assert house.call("PUT", "/api/v1/roles/clerk", {"permissions": ["time:read"]}).status == 201
    held = {"name": "vault", "holder_id": "h", "ttl_ms": 60_000}
    assert house.call("POST", "/api/v1/leases:acquire", held).json["acquired"]
    return Named(key, "clerk", "vault")


def _named_state(house: House) -> list[Any]:
    _as(house, "ada", "admin", "other")
    return [house.call("GET", f"/api/v1/{path}").json for path in ("keys", "roles", "leases", "leases/vault")]


def _call_named(house: House, operation: Operation, named: Named) -> tuple[int, dict[str, str], str]:
    """What is answered, without the names that were asked for, and without clocks."""
    path = operation.path.replace("{key_id}", named.key).replace("{role}", named.role).replace("{name}", named.lease)
    body: dict[str, Any] = {}
    if path.endswith("roles/" + named.role):
        body = {"permissions": ["time:read"]}
    if "leases:" in path:
        body = {"name": named.lease} | ({} if path.endswith(("break", "validate")) else {"holder_id": "h"})
        body |= {"ttl_ms": 60_000} if path.endswith("acquire") else {}
        body |= {"fencing_token": 1} if path.endswith(("renew", "release", "validate")) else {}
    answer = house.call(operation.method, path, body if operation.takes_body else None)
    headers = {k: v for k, v in answer.headers.items() if k not in ("traceparent", "X-Chrono-HLC", "Content-Length")}
    text = re.sub(r'"trace_id":"[0-9a-f]{32}"', "", answer.body.decode())
    for theirs in named:
        text = text.replace(theirs, "NAME")
        headers = {k: v.replace(theirs, "NAME") for k, v in headers.items()}
    headers.pop("ETag", None)  # of what the call itself has made, in the caller's own tenant
    text = re.sub(r'"version":"[^"]*"', "", text)
    return answer.status, headers, text


@pytest.mark.parametrize("operation", OF_TENANTS, ids=_name)
@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_another_tenants_keys_roles_and_leases_look_missing(role: str, operation: Operation) -> None:
    house = House()
    theirs = _named(house)
    before = _named_state(house)
    _as(house, "ada", role)  # the same subject, elsewhere
    missing = _call_named(house, operation, ABSENT)
    assert _call_named(house, operation, theirs) == missing
    permitted = role in ROLES and operation.permission in ROLES[role].permissions
    assert missing[0] in ((200, 201, 404, 409) if permitted else (403,)), "the call is one that could have worked"
    assert _named_state(house) == before


@pytest.mark.parametrize("operation", LISTS, ids=_name)
@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_no_list_shows_what_another_tenant_has(role: str, operation: Operation) -> None:
    house = House()
    theirs = [*_things(house, "other"), *_named(house)]
    _as(house, "ada", role)
    shown = house.call("GET", operation.path).body.decode()
    if operation.path not in (
        "/api/v1/openapi.json",
        "/docs",
        "/schemas/schedules.json",
    ):  # these hold words of any kind, the same for all
        assert not [text for text in theirs if text in shown]


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


@pytest.mark.parametrize("verb", ["pause", "resume", "delete"])
@pytest.mark.parametrize("stranger", [("ann", "user", "default"), ("bob", "admin", "elsewhere")])
def test_a_tag_reaches_only_ones_own(verb: str, stranger: tuple[str, str, str]) -> None:
    house = House()
    theirs = Things(_as(house, "bob", "user").fire(tags=["t"]).partition("-")[0], "")
    if verb == "resume":
        house.call("POST", f"/api/v1/schedules/{theirs.schedule_id}:pause", {})
    before = house.call("GET", f"/api/v1/schedules/{theirs.schedule_id}").json
    answer = _as(house, *stranger).call("POST", f"/api/v1/schedules:{verb}", {"tag": "t"})
    assert answer.status == 200
    assert theirs.schedule_id not in answer.body.decode()
    assert _as(house, "bob", "user").call("GET", f"/api/v1/schedules/{theirs.schedule_id}").json == before


def test_a_file_cannot_take_over_anothers_schedule() -> None:
    house = House()
    theirs = _things(house)
    before = _state(house, theirs)
    _as(house, "ann", "user")
    entry = {**RATE, "id": theirs.schedule_id, "name": "mine", "expr": "rate:9s"}
    house.call("POST", "/api/v1/schedules:import", {"schedules": [entry]})
    assert _state(house, theirs) == before


@pytest.mark.parametrize("query", ["dry_run=true", ""])
def test_a_file_says_of_anothers_schedule_what_applying_it_would(query: str) -> None:
    house = House()
    theirs = _things(house)
    entry = {**RATE, "id": theirs.schedule_id, "expr": "rate:9s"}
    house.authenticator = Everybody(who("ann", "viewer", "user"))  # sees every owner's, changes her own
    [item] = house.call("POST", "/api/v1/schedules:import", {"schedules": [entry]}, query=query).json["items"]
    assert (item["action"], item["error"]["code"]) == ("refused", "forbidden")


@pytest.mark.parametrize("query", ["dry_run=true", ""])
def test_a_file_takes_no_trigger_for_a_schedule(query: str) -> None:
    house = _as(House(), "bob", "user")
    trigger = house.call("POST", "/api/v1/triggers", {"name": "t", "source": {"type": "webhook"}}).json["id"]
    shown = house.call("GET", f"/api/v1/triggers/{trigger}").json
    file = {"schedules": [{**RATE, "id": trigger, "expr": "rate:9s"}]}
    [item] = house.call("POST", "/api/v1/schedules:import", file, query=query).json["items"]
    assert "before" not in item
    assert query or (item["action"], item["error"]["code"]) == ("refused", "not_found")
    assert house.call("GET", f"/api/v1/triggers/{trigger}").json == shown


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


@pytest.mark.parametrize(("tenant", "subject"), [("default", "ann"), ("other", "bob")])
def test_a_bulk_job_is_its_makers_own(tenant: str, subject: str) -> None:
    house = House()
    _things(house)
    asked = {"action": "cancel", "filter": {"state": "pending"}}
    made = _as(house, "bob", "user").call("POST", "/api/v1/executions:bulk", asked)
    assert made.status == 202, made.body
    path = f"/api/v1/bulk-jobs/{made.json['job_id']}"
    assert house.call("GET", path).status == 200
    _as(house, subject, "user", tenant)
    assert house.call("GET", path).status == 404
    assert house.call("POST", f"{path}:cancel", {}).status == 404
