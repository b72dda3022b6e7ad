"""Every call names a permission, the door asks for it, and who asks is said in one place."""

from __future__ import annotations

import pytest

from chalicelib.adapters.identity import chain
from chalicelib.api.http.operations import Operation
from chalicelib.api.http.routes import table
from chalicelib.core.security.permissions import PERMISSIONS, ROLES, Permission
from tests.kit.callers import Everybody, who
from tests.kit.house import House

OPERATIONS = table().operations
READS_BY_POST = {
    "/api/v1/schedules:preview",
    "/api/v1/schedules:parse",
    "/mcp",  # each tool is judged as the call that it makes
    "/ping/{ping_id}",
    "/ping/{ping_id}/{signal_id}",
    "/api/v1/leases:validate",
    "/api/v1/audit:verify",
    "/api/v1/workflows/{workflow}:validate",
    "/api/v1/runs/{run_id}/sessions",
    "/api/v1/sessions/{session_id}:step-forward",
    "/api/v1/sessions/{session_id}:step-backward",
    "/api/v1/sessions/{session_id}:jump",
    "/api/v1/sessions/{session_id}:continue",
    "/api/v1/sessions/{session_id}/breakpoints",
    "/api/v1/sessions:import",
    "/ingest/{trigger_id}/{token}",
    "/api/session",
    "/api/session/refresh",
    "/api/v1/subjects/{subject_id}:export",
}  # they change nothing but what is the caller's own
# Permissions of nouns that this release does not have yet: keys and roles may name them already.
LATER: set[Permission] = set()
ID = "01KB0E5T0QJ8Z3V7M4N2X9YRSC"


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _path(operation: Operation) -> str:
    path = operation.path.replace("{schedule_id}", ID).replace("{job_id}", ID).replace("{execution_id}", f"{ID}-1")
    return (
        path.replace("{frequency}", "second")
        .replace("{name}", "n")
        .replace("{role}", "r")
        .replace("{policy}", "p")
        .replace("{run_id}", "n")
        .replace("{session_id}", ID)
        .replace("{trigger_id}", ID)
        .replace("{token}", "t")
    )


class HouseOf(House):
    """A deployment where everybody has one role."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.authenticator = Everybody(who("ann", role))


@pytest.fixture(scope="module")
def houses() -> dict[str, HouseOf]:
    return {role: HouseOf(role) for role in (*ROLES, "nobody")}


def test_an_operation_without_a_permission_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="permission"):
        Operation(method="GET", path="/x", summary="", tag="x", handler=lambda _: None, answers={})  # type: ignore[call-arg, arg-type, return-value]


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
def test_every_operation_names_a_permission_that_fits(operation: Operation) -> None:
    assert operation.permission in PERMISSIONS
    reads = operation.method == "GET" or operation.path in READS_BY_POST
    assert operation.permission.endswith(":read") == reads


def test_so_few_are_open_to_all() -> None:
    assert {_name(operation) for operation in OPERATIONS if operation.open_to_all} == {
        "POST /api/v1/keys:report-leaked",  # the key that is reported is the proof
        "GET /.well-known/jwks.json",  # public keys
        "POST /ingest/{trigger_id}/{token}",  # the token in the path, and the signature, are the proof
        "GET /console",  # signing in begins there
        "GET /console/{release}/{file}",
        "GET /ping/{ping_id}",  # the token is the proof
        "POST /ping/{ping_id}",
        "GET /ping/{ping_id}/{signal_id}",
        "POST /ping/{ping_id}/{signal_id}",
        "GET /badge/{badge_id}",
        "GET /llms.txt",  # what the service is
        "GET /schemas/schedules.json",  # for editors, which have no credential
        "GET /api/session",  # how one can sign in
        "POST /api/session",  # the credential is in the body
        "DELETE /api/session",  # a browser forgets its cookie
        "POST /api/session/refresh",  # the credential is in the cookie
        "GET /api/session/begin",  # off to the issuer
        "GET /api/session/callback",  # the issuer's code is the proof
    }


def test_every_permission_opens_something() -> None:
    opened = {operation.permission for operation in OPERATIONS}
    assert opened | LATER == PERMISSIONS
    assert not opened & LATER, "what is there now is no longer to come"


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
@pytest.mark.parametrize("operation", [o for o in OPERATIONS if not o.open_to_all], ids=_name)
def test_the_door_asks_for_the_permission(houses: dict[str, HouseOf], role: str, operation: Operation) -> None:
    answer = houses[role].call(operation.method, _path(operation), {} if operation.takes_body else None)
    permitted = operation.open_to_all or (role in ROLES and operation.permission in ROLES[role].permissions)
    assert (answer.status == 403) == (not permitted)
    if not permitted:
        assert answer.code == "forbidden"


def test_while_authentication_is_off_everybody_is_an_administrator(house: House) -> None:
    made = house.make(owner="somebody")
    assert (made["owner"], made["tenant"]) == ("somebody", "default")
    assert house.make()["owner"] == "anonymous"
    house.authenticator = chain.choose("jwt", {})
    assert house.call("GET", "/api/v1/schedules").code == "unauthorized"


def test_another_owners_schedule_is_not_found(house: House) -> None:
    theirs = house.make(owner="bob")["id"]
    user = HouseOf("user")
    user.services = house.services
    path = f"/api/v1/schedules/{theirs}"
    for method, suffix in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", ":pause"), ("GET", "/executions")):
        assert user.call(method, path + suffix, {} if method in ("PATCH", "POST") else None).code == "not_found"
    assert user.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s", "owner": "bob"}).status == 403
    assert user.call("GET", "/api/v1/schedules").json["items"] == []
