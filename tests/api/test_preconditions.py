"""ETag and If-Match, for every operation of the table: so a new one is judged the day it is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.api.http.operations import Operation
from chalicelib.api.http.routes import table
from chalicelib.core.executions.bulk_job import BulkJob
from chalicelib.ports.target import Outcome
from tests.kit.house import RATE, Answer, House
from tests.kit.workflow_calls import ALL, GATE, RUNS, TRIGGER, edges, publish, settle, start
from tests.kit.workflow_play import FakeTarget

OPERATIONS: Final = table().operations
OF_ONE: Final = [o for o in OPERATIONS if "{" in o.path]

# GETs of one thing without an ETag.
NEVER_CHANGES: Final = {
    "/api/v1/workflows/{workflow}/versions/{version}": "a published version never changes",
    "/console/{release}/{file}": "a file of a release never changes",
    "/ping/{ping_id}": "it is a ping, and shows nothing",
    "/ping/{ping_id}/{signal_id}": "it is a ping, and shows nothing",
    "/badge/{badge_id}": "it is a picture of a monitor, which has one",
}
# What changes a thing, and is neither PATCH, DELETE nor a verb: it makes something new of its own.
MAKES: Final = {
    "POST /api/v1/executions/{execution_id}/logs": "a line of a log is added, and the execution stays as it is",
    "POST /api/v1/runs/{run_id}/sessions": "a session is made, and the run stays as it is",
    "POST /ping/{ping_id}": "programs send it, who never read the monitor",
    "POST /ping/{ping_id}/{signal_id}": "programs send it, who never read the monitor",
    "POST /ingest/{trigger_id}/{token}": "senders of events, who never read the trigger",
}
# Each POST that makes a thing and can be sent as its example says. A session of travel is read by its verbs alone.
MAKERS: Final = [
    o for o in OPERATIONS if o.method == "POST" and 201 in o.answers and "{" not in o.path and "session" not in o.path
]
GUARDED: Final = [o for o in OF_ONE if o.method != "GET" and f"{o.method} {o.path}" not in MAKES]
# Bodies of calls whose operation has no example.
BODIES: Final[dict[str, Any]] = {
    "DryRunBody": {},
    "JumpBody": {"position": 1},
    "FailBody": {"error": "x"},
    "FailNodeBody": {"error": "x"},
    "RoleBody": {"permissions": []},
    "BreakpointsBody": [],
}


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


class World:
    """One of each thing, made when it is asked for, in the state that an operation takes."""

    def __init__(self, operation: Operation) -> None:
        self.house = House()
        self.operation = operation
        self.body = BODIES.get(operation.body.__name__, operation.example)
        makers: dict[str, Callable[[], str]] = {
            "schedule_id": lambda: str(self.house.make()["id"]),
            "job_id": lambda: str(self.house.make()["id"]),
            "execution_id": self._execution,
            "task_id": self._execution,
            "bulk_id": self._bulk_job,
            "key_id": lambda: self._made("keys", {"name": "n", "roles": ["viewer"]}),
            "frequency": lambda: "second",
            "role": lambda: self._named("roles", {"permissions": []}),
            "policy": lambda: self._named("policies", {"rules": [_POLICY_RULE]}),
            "subject_id": lambda: "ann",
            "workflow": lambda: str(publish(self.house)["name"]),
            "run_id": self._run,
            "node": lambda: "g" if self.operation.verb in ("approve", "reject") else "j",
            "session_id": self._session,
            "monitor_id": lambda: self._made("monitors", {**RATE, "name": "m", "grace_ms": 60_000}),
            "rule_id": lambda: self._made("notification-rules", _RULE),
            "trigger_id": lambda: self._made("triggers", {"name": "t", "source": {"type": "webhook"}}),
        }
        names = re.findall(r"\{(\w+)\}", operation.path)
        ids = {name: makers[name]() for name in names}
        self.path = operation.path.format(**ids)
        one = operation.path[: operation.path.index("}") + 1].format(**ids)
        self.shown_at = f"{one}:export" if "session_id" in ids else one

    def version(self) -> str:
        return self.house.call("GET", self.shown_at).headers["ETag"]

    def call(self, if_match: str) -> Answer:
        return self.house.call(self.operation.method, self.path, self.body, headers={"If-Match": if_match})

    def _made(self, noun: str, body: dict[str, Any]) -> str:
        answer = self.house.call("POST", f"/api/v1/{noun}", body)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def _named(self, noun: str, body: dict[str, Any]) -> str:
        assert self.house.call("PUT", f"/api/v1/{noun}/own", body).status == 201
        return "own"

    def _execution(self) -> str:
        found = self.house.fire()
        if self.operation.path.endswith("retry"):
            self.house.end(found, "failed")
        elif self.operation.verb in ("complete", "fail", "heartbeat"):
            self.house.accept(found)
        return found

    def _bulk_job(self) -> str:
        job_id = "0" * 26
        job = BulkJob(
            tenant="default",
            id=job_id,
            action="cancel",
            subject="anonymous",
            owner_only=None,
            to_ms=1,
            matched=2,
            created_ms=1,
        )
        assert self.house.services.stores.bulk_jobs.save(job, 0)
        return job_id

    def _run(self) -> str:
        target = FakeTarget()
        target.outcome = Outcome("accepted", 202)
        self.house.services = replace(self.house.services, targets={"webhook": target})
        job = {"id": "j", "type": "job", "target": {"type": "webhook", "url": "https://example.com/"}, "payload": None}
        publish(self.house, nodes=[TRIGGER, GATE, job], edges=edges(("t", "g"), ("t", "j")))
        run_id = start(self.house)
        shown = self.house.call("GET", f"{RUNS}/{run_id}").json
        if self.operation.body.__name__ == "DecisionBody":
            self.body = {"nonce": shown["nodes"]["g"]["approval"]["nonce"]}
        if self.operation.verb == "redrive":
            assert self.house.call("POST", f"{RUNS}/{run_id}:cancel", {}).status == 202
            settle(self.house)
        return run_id

    def _session(self) -> str:
        made = self.house.call("POST", f"{RUNS}/{self._run()}/sessions", {}).json
        if self.operation.verb == "step-forward":
            assert self.house.call("POST", f"/api/v1/sessions/{made['session_id']}:step-backward").status == 200
        return str(made["session_id"])


_POLICY_RULE: Final = {
    "name": "r",
    "condition": {"field": "name", "operator": "eq", "value": "x"},
    "action": "warn",
    "message": "m",
}
_RULE: Final = {"name": "r", "when": ["failed"], "channels": [{"type": "webhook", "url": "https://example.com/a"}]}


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    found: dict[str, Any] = House().call("GET", "/api/v1/openapi.json").json["paths"]
    return found


def test_what_is_excepted_is_there() -> None:
    assert {o.path for o in OF_ONE if o.method == "GET"} >= set(NEVER_CHANGES)
    assert {_name(o) for o in OF_ONE} >= set(MAKES)
    assert len(MAKERS) > 5
    for name in MAKES:
        assert not name.startswith(("PATCH", "DELETE")), name
        assert not re.search(r"\}:\w", name), name


def test_whoever_shows_a_thing_that_changes_documents_its_etag(paths: dict[str, Any]) -> None:
    of_things = [o for o in OF_ONE if o.method == "GET" and o.path.endswith("}") and o.path not in NEVER_CHANGES]
    assert len(of_things) > 14
    without = [o.path for o in of_things if "ETag" not in paths[o.path]["get"]["responses"]["200"]["headers"]]
    assert without == []


def test_whoever_changes_a_thing_documents_if_match(paths: dict[str, Any]) -> None:
    assert len(GUARDED) > 45
    for operation in GUARDED:
        said = paths[operation.path][operation.method.lower()]
        assert {"$ref": "#/components/parameters/IfMatch"} in said["parameters"], _name(operation)
        assert "412" in said["responses"], _name(operation)


@pytest.mark.parametrize("operation", MAKERS, ids=_name)
def test_whoever_makes_a_thing_says_where_it_is(operation: Operation, paths: dict[str, Any]) -> None:
    assert {"Location", "ETag"} <= set(paths[operation.path]["post"]["responses"]["201"]["headers"])
    house = House()
    made = house.call("POST", operation.path, operation.example)
    assert made.status == 201, made.body
    found = house.call("GET", made.headers["Location"])
    assert (found.status, found.headers["ETag"]) == (200, made.headers["ETag"])


@pytest.mark.parametrize("operation", GUARDED, ids=_name)
def test_a_call_that_names_another_version_changes_nothing(operation: Operation, paths: dict[str, Any]) -> None:
    world = World(operation)
    has_version = "{subject_id}" not in operation.path
    before = world.house.call("GET", world.shown_at) if has_version else None
    current = '"0"' if before is None else before.headers["ETag"]
    for stale in ('"stale"', f"W/{current}", '"stale", "older"', ""):
        refused = world.call(stale)
        assert (refused.status, refused.code) == (412, "precondition_failed"), (stale, refused.body)
    if before is not None:
        after = world.house.call("GET", world.shown_at)
        assert (after.json, after.headers["ETag"]) == (before.json, current)
        done = world.call(f'"stale", {current}')
        assert done.status in operation.answers, done.body
        said = paths[operation.path][operation.method.lower()]["responses"][str(done.status)].get("headers", {})
        assert {"ETag", "Location"} & set(done.headers) <= set(said)
        assert World(operation).call("*").status in operation.answers
    else:
        assert world.call("*").status != 412


@pytest.mark.parametrize(
    "path",
    ["/api/v1/roles/{role}", "/api/v1/policies/{policy}", f"{ALL}/{{workflow}}:validate"],
)
def test_a_star_asks_for_a_thing_that_is_there(house: House, path: str) -> None:
    """PUT would make it, and validation does not need it."""
    [operation] = [o for o in OPERATIONS if o.path == path and o.method in ("PUT", "POST")]
    there = World(operation)
    missing = house.call(operation.method, there.path, there.body, headers={"If-Match": "*"})
    assert (missing.status, missing.code) == (412, "precondition_failed")
    assert house.call(operation.method, there.path, there.body).status in operation.answers


def test_a_run_has_a_new_version_with_each_event_of_its_log(house: House) -> None:
    publish(house, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
    one = f"{RUNS}/{start(house)}"
    waiting = house.call("GET", one)
    assert waiting.headers["ETag"] == f'"{waiting.json["events"]}"'
    decision = {"nonce": waiting.json["nodes"]["g"]["approval"]["nonce"]}
    seen = {"If-Match": waiting.headers["ETag"]}
    decided = house.call("POST", f"{one}/nodes/g:reject", decision, headers=seen)
    assert (decided.status, decided.headers["ETag"]) == (200, f'"{decided.json["events"]}"')
    late = house.call("POST", f"{one}/nodes/g:reject", decision, headers=seen)
    assert late.status == 412, "what the caller saw has gone on"
    settle(house)
    ended = house.call("GET", one)
    again = house.call("POST", f"{one}:redrive", {}, headers={"If-Match": ended.headers["ETag"]})
    assert again.status == 202
    assert house.call("POST", f"{one}:redrive", {}, headers={"If-Match": ended.headers["ETag"]}).status == 412


def test_a_stream_of_ticks_keeps_its_version_while_it_ticks(house: House) -> None:
    one = "/api/v1/ticks/second"
    still = house.call("GET", one).headers["ETag"]
    runs = house.call("POST", f"{one}:enable", headers={"If-Match": still})
    assert (runs.status, runs.headers["ETag"] == still) == (200, False)
    house.clock.advance(10_500)
    assert house.call("GET", one).headers["ETag"] == runs.headers["ETag"]
    assert house.call("GET", "/api/v1/ticks/minute").headers["ETag"] == still
    target = {"target": {"type": "webhook", "url": "https://example.com/"}}
    sent = house.call("POST", f"{one}:enable", target, headers={"If-Match": runs.headers["ETag"]})
    assert sent.status == 200
    assert house.call("POST", f"{one}:disable", headers={"If-Match": runs.headers["ETag"]}).status == 412
    assert house.call("GET", "/api/v1/ticks").json["items"][0]["enabled"] is True
    assert house.call("POST", f"{one}:disable", headers={"If-Match": sent.headers["ETag"]}).status == 200


def test_a_session_has_a_new_version_where_it_moves_and_where_it_stops() -> None:
    [step] = [o for o in OPERATIONS if o.path.endswith(":step-backward")]
    world = World(step)
    first = world.version()
    moved = world.call(first)
    assert (moved.status, moved.headers["ETag"]) == (200, world.version())
    assert world.call(first).status == 412
    path = world.path.replace(":step-backward", "/breakpoints")
    stopped = world.house.call("PUT", path, [{"kind": "error"}], headers={"If-Match": moved.headers["ETag"]})
    assert (stopped.status, stopped.headers["ETag"]) == (200, world.version())
    assert world.call(moved.headers["ETag"]).status == 412
