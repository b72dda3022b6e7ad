"""A hundred calls by REST, by gRPC and by Connect: answers, errors, pages, roles and tenants are the same.

Each face has a house of its own, in which all calls are made in one order. So a call may change what later ones find.
What REST is asked is written here by itself, and is not what the product makes of a message.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from chalicelib.api.rpc.methods import BY_PATH, Method
from chalicelib.core.errors import Unauthorized
from chalicelib.core.security.caller import Caller
from chalicelib.grpc_server.server import GrpcServer
from chalicelib.ports.identity import Credentials
from tests.grpc.faces import Said, by_connect, by_grpc, by_web
from tests.kit.callers import who
from tests.kit.house import House

# What differs from call to call, and from house to house.
MOVES = {"version", "hlc_physical_nanos", "hlc_logical", "hlc", "traceparent", "trace_id", "next_page_token"}
CODES = {
    400: "invalid_argument", 401: "unauthenticated", 403: "permission_denied", 404: "not_found",
    409: "failed_precondition", 412: "failed_precondition", 413: "resource_exhausted", 422: "invalid_argument",
}  # fmt: skip
OF_CODE = {"name_taken": "already_exists", "conflict": "aborted"}
Rest = tuple[str, str, Any, str]
Ask = Callable[["Face", "Case", dict[str, Any], dict[str, str]], Said]


def _one(noun: str, method: str = "GET", verb: str = "") -> Callable[[dict[str, Any]], Rest]:
    def asked(given: dict[str, Any]) -> Rest:
        path = f"/api/v1/{noun}/{quote(given['id'], safe='')}{verb}"
        return method, path, {} if method == "POST" else None, ""

    return asked


def _list(noun: str) -> Callable[[dict[str, Any]], Rest]:
    return lambda given: ("GET", f"/api/v1/{noun}", None, urlencode(given))


def _lease(verb: str) -> Callable[[dict[str, Any]], Rest]:
    return lambda given: ("POST", f"/api/v1/leases:{verb}", given, "")


def _create(given: dict[str, Any]) -> Rest:
    known = {"enabled": False, **given}
    if "payload" in known:
        known["payload"] = json.loads(base64.b64decode(known["payload"]))
    return "POST", "/api/v1/schedules", known, ""


REST: dict[str, Callable[[dict[str, Any]], Rest]] = {
    "TimeService.Now": lambda _: ("GET", "/api/v1/time/now", None, ""),
    "ScheduleService.Create": _create,
    "ScheduleService.Get": _one("schedules"),
    "ScheduleService.List": _list("schedules"),
    "ScheduleService.Pause": _one("schedules", "POST", ":pause"),
    "ScheduleService.Resume": _one("schedules", "POST", ":resume"),
    "ScheduleService.Delete": _one("schedules", "DELETE"),
    "LeaseService.Acquire": _lease("acquire"),
    "LeaseService.Renew": _lease("renew"),
    "LeaseService.Release": _lease("release"),
    "ExecutionService.Get": _one("executions"),
    "ExecutionService.List": _list("executions"),
    "ExecutionService.Retry": _one("executions", "POST", ":retry"),
    "ExecutionService.Cancel": _one("executions", "POST", ":cancel"),
}


# All of a schedule that no other case gives.
WHOLE: dict[str, Any] = {
    "type": "CRON", "expr": "0 9 * * *", "start_at_unix_ms": 4_000_000_000_000, "end_at_unix_ms": 4_100_000_000_000,
    "max_runs": 7, "overlap": "queue", "catch_up_window_ms": 5000, "jitter_ms": 250, "dst_gap": "skip",
    "dst_overlap": "twice", "timeout_ms": 9000, "tags": ["a", "b"], "pause_after_failures": 3,
    "exclude": ["* 9 1 1 *", {"from_unix_ms": 4_050_000_000_000, "to_unix_ms": 4_050_000_000_001}],
    "retry_policy": {"max_attempts": 2, "backoff": "fixed", "base_ms": 10, "max_ms": 20, "jitter": False},
    "monitor": {"window_ms": 60_000},
}  # fmt: skip


class Case(NamedTuple):
    """One call, who makes it, and under which name its id is known later (``$name`` stands for it)."""

    name: str
    given: dict[str, Any]
    asks: str = "admin"
    known_as: str = ""


def _cases() -> Iterator[Case]:
    rate = {"type": "RATE", "expr": "rate:5s"}
    held = {"name": "job", "holder_id": "a"}
    url = {"type": "webhook", "url": "https://example.com/", "headers": {"x": "y"}}
    yield Case("TimeService.Now", {})
    for number, more in enumerate(
        (
            {"enabled": True, "name": "first", "payload": base64.b64encode(b'{"deep":[1,2.5,null]}').decode()},
            {"enabled": True, "target": url, "sla_ms": 250},
            {"timezone": "Europe/Paris", "shard_key": "k"},
            {"enabled": True, "owner": "ann"},
            {"enabled": True, **WHOLE},
            {"catch_up_window_ms": 0},
        )
    ):
        yield Case("ScheduleService.Create", {**rate, **more}, known_as=f"s{number}")
    for wrong in (
        {"name": "first"}, {"type": "CRON", "expr": "61 * * * *"}, {"type": "NEVER"}, {"expr": ""}, {"sla_ms": -4},
        {"timezone": "Mars/Base"}, {"owner": "x" * 300}, {"shard_key": "x" * 300}, {"name": "a b\x00"},
        {"target": {"type": "nowhere"}}, {"target": {"type": "webhook"}}, {"target": {**url, "url": "http://10.0.0.1"}},
        {"overlap": "never"}, {"jitter_ms": -1}, {"tags": ["x" * 500]}, {"retry_policy": {"attempts": 3}},
        {"exclude": [7]}, {"dst_gap": "never"}, {"timeout_ms": -5}, {"max_runs": -1}, {"catch_up_window_ms": -1},
        {"type": "RATE", "expr": "rate:0s"}, {"type": "RRULE", "expr": "FREQ=NEVER"}, {"expr": "x" * 5000},
    ):  # fmt: skip
        yield Case("ScheduleService.Create", {**rate, **wrong})
    for of in ("$s0", "$s1", "$s2", "$s3", "nothing", "no/such:id", "01KB0E5T0QJ8Z3V7M4N2X9YRSC", "%", "é"):
        yield Case("ScheduleService.Get", {"id": of})
    for page in ({}, {"limit": 2}, {"limit": 1}, {"limit": -1}, {"limit": 100_000}, {"page_token": "made up"}):
        yield Case("ScheduleService.List", page)
    yield Case("ScheduleService.List", {"limit": 2, "page_token": "$token"})
    for verb in ("Pause", "Resume"):
        yield Case(f"ScheduleService.{verb}", {"id": "$s0"})
        yield Case(f"ScheduleService.{verb}", {"id": "$s0"})
        yield Case(f"ScheduleService.{verb}", {"id": "nothing"})
    yield Case("LeaseService.Acquire", {**held, "ttl_ms": 60_000})
    yield Case("LeaseService.Acquire", {**held, "ttl_ms": 60_000})
    for wrong in ({"holder_id": "b"}, {"ttl_ms": -1}, {"ttl_ms": 2_000_000_000}, {"name": ""}, {"holder_id": ""}):
        yield Case("LeaseService.Acquire", {**held, "ttl_ms": 60_000, **wrong})
    for wrong in ({}, {"fencing_token": 999}, {"holder_id": "b"}, {"name": "free"}, {"ttl_ms": -1}):
        yield Case("LeaseService.Renew", {**held, "ttl_ms": 60_000, "fencing_token": 1, **wrong})
    for wrong in ({"fencing_token": 999}, {"holder_id": "b"}, {"name": "free"}, {}, {}):
        yield Case("LeaseService.Release", {**held, "fencing_token": 1, **wrong})
    for of in ("$e0", "nothing", "a/b"):
        yield Case("ExecutionService.Get", {"id": of})
    for page in ({}, {"limit": 1}, {"state": "pending"}, {"state": "no such"}, {"schedule_id": "$s0"}, {"limit": -1}):
        yield Case("ExecutionService.List", page)
    for verb in ("Retry", "Cancel", "Cancel", "Retry"):
        yield Case(f"ExecutionService.{verb}", {"id": "$e0"})
    for asks in ("reader", "stranger", "nobody", "wrong"):
        yield Case("TimeService.Now", {}, asks)
        yield Case("ScheduleService.Create", rate, asks)
        yield Case("ScheduleService.Get", {"id": "$s0"}, asks)
        yield Case("ScheduleService.List", {}, asks)
        yield Case("ScheduleService.Delete", {"id": "$s0"}, asks)
        yield Case("LeaseService.Acquire", {**held, "ttl_ms": 1_000}, asks)
        yield Case("ExecutionService.List", {}, asks)
        yield Case("ExecutionService.Cancel", {"id": "$e0"}, asks)
    yield Case("ScheduleService.Delete", {"id": "$s0"})
    yield Case("ScheduleService.Delete", {"id": "$s0"})
    yield Case("ScheduleService.Get", {"id": "$s0"})


class ByName:
    """Takes a caller's name for its credentials."""

    _known: Mapping[str, Caller] = {
        "Bearer admin": who("ann", "admin"),
        "Bearer reader": who("rob", "viewer"),
        "Bearer stranger": who("sue", "admin", tenant="other"),
    }

    def authenticate(self, credentials: Credentials) -> Caller:
        caller = self._known.get(credentials.authorization or "")
        if caller is None:
            raise Unauthorized("such credentials are not taken")
        return caller

    def is_open(self) -> bool:
        return False

    def still_holds(self, _caller: Caller) -> bool:
        return True


class Face:
    """A house that is asked by one face, and what it has said that later calls name."""

    def __init__(self, ask: Ask) -> None:
        self.house = House()
        self.house.authenticator = ByName()
        self._ask = ask
        self.known: dict[str, str] = {"token": "none"}

    def headers(self, asks: str) -> dict[str, str]:
        return {} if asks == "nobody" else {"authorization": f"Bearer {asks}"}

    def say(self, case: Case) -> Said:
        """What is answered, with names in the place of ids."""
        text = json.dumps(case.given)
        for name, of in self.known.items():
            text = text.replace(f'"${name}"', json.dumps(of))
        said = self._ask(self, case, json.loads(text), self.headers(case.asks))
        if said.message is None:
            return said
        if case.name == "ScheduleService.Create":
            self.known[case.known_as or f"other-{len(self.known)}"] = said.message["id"]
        if case.known_as == "s0":
            fired = self.house.call(
                "POST", f"/api/v1/schedules/{self.known['s0']}:trigger", headers=self.headers("admin")
            )
            self.known["e0"] = fired.json["execution_id"]
        self.known["token"] = said.message.get("next_page_token") or self.known["token"]
        shown = json.dumps(_steady(said.message), sort_keys=True)
        for name, of in sorted(self.known.items(), key=lambda each: -len(each[1])):
            shown = shown.replace(of, f"${name}")
        return Said(json.loads(shown))


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(inner) for name, inner in value.items() if name not in MOVES}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def _method(case: Case) -> Method:
    return BY_PATH[f"/chronowatch.v1.{case.name.replace('.', '/')}"]


def _by_rest(face: Face, case: Case, given: dict[str, Any], headers: dict[str, str]) -> Said:
    method, path, body, query = REST[case.name](given)
    answer = face.house.call(method, path, body, query=query, headers=headers)
    if answer.status >= 400:
        fields = tuple(error["field"] for error in answer.json.get("errors", ()))
        return Said(None, OF_CODE.get(answer.code) or CODES[answer.status], answer.code, fields)
    if case.name == "LeaseService.Release":
        return Said({"id": given["name"]} if answer.json["released"] else {})
    return Said(_as_message(_method(case).response.DESCRIPTOR, answer.json))


def _as_message(of: Descriptor, said: dict[str, Any]) -> dict[str, Any]:
    """What a message would show of an answer: its fields that are no default, 64 bits as text, bytes in base64."""
    shown: dict[str, Any] = {}
    for field in of.fields:
        value = said if field.name == "detail" else said.get(field.name)
        always = field.name == "payload" or (field.has_presence and field.message_type is None)
        if value is None or (not always and value in ("", 0, False, [])):
            continue
        if field.name == "items":
            shown[field.name] = [_as_message(field.message_type, each) for each in value]
        elif field.type == FieldDescriptor.TYPE_INT64:
            shown[field.name] = str(value)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            shown[field.name] = base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()
        else:
            shown[field.name] = value
    return shown


def _by_grpc(address: Callable[[], str]) -> Ask:
    def ask(_face: Face, case: Case, given: dict[str, Any], headers: dict[str, str]) -> Said:
        method = _method(case)
        return by_grpc(address(), method, ParseDict(given, method.request()), headers)

    return ask


def _by_http(speak: Callable[[House, Method, Message, dict[str, str]], Said]) -> Ask:
    def ask(face: Face, case: Case, given: dict[str, Any], headers: dict[str, str]) -> Said:
        method = _method(case)
        return speak(face.house, method, ParseDict(given, method.request()), headers)

    return ask


BY_HTTP = (
    _by_http(partial(by_connect, kind="json")),
    _by_http(partial(by_connect, kind="proto")),
    _by_http(partial(by_web, text=False)),
    _by_http(partial(by_web, text=True)),
)


@pytest.fixture
def faces() -> Iterator[list[Face]]:
    servers: list[GrpcServer] = []
    by_native = Face(_by_grpc(lambda: f"127.0.0.1:{servers[0].port}"))
    servers.append(GrpcServer(by_native.house.edge, "127.0.0.1", 0))
    servers[0].start()
    yield [Face(_by_rest), by_native, *(Face(ask) for ask in BY_HTTP)]
    servers[0].stop()


def test_a_hundred_calls_are_answered_alike_by_every_face(faces: list[Face]) -> None:
    cases = list(_cases())
    assert len(cases) >= 100
    answers: list[Said] = []
    for case in cases:
        rest, *others = (face.say(case) for face in faces)
        for other in others:
            assert other == rest, case
        answers.append(rest)
    # Else all might have been refused alike.
    assert sum(answer.message is not None for answer in answers) > 35
    assert {answer.code for answer in answers} >= set(CODES.values()) - {"resource_exhausted"} | {"already_exists"}
