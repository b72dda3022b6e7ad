"""The edge and the API around every call: traces, stamps, credentials, methods, failures, threads, connections."""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any

import pytest
from chalice.config import Config
from chalice.local import LocalGateway
from msgspec.structs import replace

from chalicelib.adapters.identity import chain
from chalicelib.api.http import connection
from chalicelib.api.http.edge import Asked
from chalicelib.api.http.problem import too_large
from chalicelib.core.clock import hlc
from chalicelib.core.errors import CapacityExhausted, Forbidden, TooMany, TooSlow
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.engine.shards import HeldShard, stamp_swept
from chalicelib.functions.api import serve
from tests.kit.house import RATE, House
from tests.kit.machine import NOW_MS
from tests.kit.services import with_stores

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_callers_trace_is_continued(house: House) -> None:
    for path, status in (("/api/v1/time/now", 200), ("/nowhere", 404)):
        answer = house.call("GET", path, headers={"traceparent": TRACEPARENT})
        assert answer.status == status
        version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
        assert (version, trace_id, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
        assert span_id != "00f067aa0ba902b7"


def test_without_one_each_call_starts_its_own(house: House) -> None:
    traces = [
        house.call("GET", "/api/v1/time/now", headers=h).headers["traceparent"] for h in ({}, {"traceparent": "x"})
    ]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
    assert traces[0] != traces[1]


def test_stamps_grow_past_the_callers(house: House) -> None:
    sent = hlc.Stamp(NOW_MS * 1_000_000 + 300_000_000, 7)
    got = [hlc.parse(house.call("GET", "/nowhere").headers["X-Chrono-HLC"])]
    answer = house.call("GET", "/api/v1/time/now", headers={"X-Chrono-HLC": str(sent)})
    got += [hlc.Stamp(answer.json["hlc_physical_nanos"], answer.json["hlc_logical"])]
    got += [hlc.parse(answer.headers["X-Chrono-HLC"])]
    assert got == sorted(set(got))
    assert got[1] > sent


def test_a_stamp_from_a_far_future_is_refused_and_nothing_done(house: House) -> None:
    nines = house.call("GET", "/api/v1/schedules", headers={"X-Chrono-HLC": "9" * 19 + ".0"})
    assert (nines.status, nines.code) == (422, "clock_skew")
    far = hlc.Stamp((NOW_MS + 521) * 1_000_000, 0)
    answer = house.call("POST", "/api/v1/schedules", RATE, headers={"X-Chrono-HLC": str(far)})
    assert (answer.status, answer.code) == (422, "clock_skew")
    assert hlc.parse(answer.headers["X-Chrono-HLC"]) < far
    assert house.call("GET", "/api/v1/schedules").json["items"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/schedules"), ("POST", "/api/v1/schedules"), ("GET", "/health"), ("GET", "/docs"), ("GET", "/x")],
)
def test_without_credentials_nothing_is_answered(house: House, method: str, path: str) -> None:
    house.authenticator = chain.choose("deny", {})
    for method_ in (method, "OPTIONS", "PURGE"):
        answer = house.call(method_, path, RATE, headers={"Authorization": "Bearer x"})
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_head_is_get_without_its_body(house: House) -> None:
    path = f"/api/v1/schedules/{house.make()['id']}"
    got, head = house.call("GET", path), house.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert (head.headers["ETag"], head.headers["Content-Length"]) == (got.headers["ETag"], str(len(got.body)))


def test_options_tells_the_methods_and_gives_no_cross_origin_leave(house: House) -> None:
    answer = house.call("OPTIONS", f"/api/v1/schedules/{'0' * 26}", headers={"Origin": "https://elsewhere.example"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Allow"] == "DELETE, GET, PATCH, HEAD, OPTIONS"
    assert house.call("OPTIONS", f"/api/v1/schedules/{'0' * 26}:pause").headers["Allow"] == "POST, OPTIONS"
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("error", "status", "code", "header"),
    [
        (TooMany("slow down", retry_after_s=7), 429, "too_many_requests", ("Retry-After", "7")),
        (Forbidden("not yours"), 403, "forbidden", None),
        (CapacityExhausted("full"), 507, "capacity_exhausted", None),
    ],
)
def test_errors_become_problems(
    house: House, error: Exception, status: int, code: str, header: tuple[str, str] | None
) -> None:
    house.services = with_stores(house.services, schedules=Raising(error))
    answer = house.call("GET", "/api/v1/schedules")
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["type"] == f"urn:chronowatch:error:{code}"
    if header:
        assert answer.headers[header[0]] == header[1]


class Raising:
    """A port of which every method raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise self._error

        return fail


def test_what_nobody_expected_is_told_in_general_and_logged_without_its_words(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.services = with_stores(house.services, schedules=Raising(RuntimeError("secret payload")))
    with caplog.at_level(logging.ERROR, "chronowatch.api"):
        answer = house.call("GET", "/api/v1/schedules")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    [record] = caplog.records
    assert record.__dict__["trace_id"] == answer.json["trace_id"]
    assert "RuntimeError" in record.getMessage()
    assert "test_edge.py" in record.getMessage()
    assert "secret" not in caplog.text


def test_the_application_leaves_the_log_to_the_process(house: House) -> None:
    """Chalice would give its logger a handler of its own: plain text, without a time or a trace."""
    ours = house.app.log
    assert (ours.handlers, ours.propagate, ours.level) == ([], True, logging.NOTSET)


def test_services_that_cannot_be_made_are_a_problem_too(house: House) -> None:
    def broken() -> Any:
        raise RuntimeError("no such region")

    house.app.http_api._services = broken
    status, headers, body = house.edge.handle("GET", "/api/v1/schedules", "", {})
    assert (status, json.loads(body)["code"]) == (500, "internal_error")
    assert headers["traceparent"]


def test_the_gateway_alone_answers_alike(house: House) -> None:
    """On Lambda there is no edge: Chalice's own handler must give the same answers."""
    gateway = LocalGateway(house.app, Config())

    def call(method: str, path: str, body: bytes = b"") -> tuple[int, Any, dict[str, str]]:
        answer = gateway.handle_request(method, path, {"content-type": "application/json"}, body)
        return answer["statusCode"], json.loads(answer["body"]), answer["headers"]

    status, made, headers = call("POST", "/api/v1/schedules", json.dumps(RATE).encode())
    assert status == 201
    assert call("GET", f"/api/v1/schedules/{made['id']}")[1] == made
    assert call("POST", f"/api/v1/schedules/{made['id']}%3Apause")[1]["state"] == "paused"
    status, problem, headers = call("PUT", f"/api/v1/schedules/{made['id']}:pause")
    assert (status, problem["code"], headers["Allow"]) == (405, "method_not_allowed", "POST")
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Chrono-HLC"]
    assert call("POST", "/api/v1/schedules", b"{")[0] == 400
    assert call("POST", "/api/v1/schedules", b" " * (BODY_MAX_BYTES + 1))[0] == 413
    status, problem, _ = call("GET", f"/api/v1/schedules/{made['id']}:nothing")
    assert (status, problem["code"]) == (404, "not_found")


def test_what_the_gateway_of_aws_hands_on(house: House) -> None:
    parent = f"00-{'1' * 32}-{'2' * 16}-01"
    lease = {"name": "a/b", "holder_id": "h", "ttl_ms": 10_000}
    assert house.call("POST", "/api/v1/leases:acquire", lease).status == 200

    def call(method: str, route: str, params: dict[str, str] | None) -> tuple[int, Any, dict[str, str]]:
        event = {
            "requestContext": {"httpMethod": method, "resourcePath": route, "path": "/api/not/looked/at"},
            "headers": {"traceparent": parent},
            "multiValueHeaders": {"traceparent": [parent]},
            "pathParameters": params,
            "multiValueQueryStringParameters": None,
            "stageVariables": None,
            "isBase64Encoded": False,
            "body": None,
        }
        answer = serve(house.app, event, None)
        return answer["statusCode"], json.loads(answer["body"] or "null"), answer["headers"]

    one = "/api/v1/leases/{name}"
    for route, params in ((one, {"name": "a%2Fb"}), ("/{proxy+}", {"proxy": "api/v1/leases/a/b"})):
        status, shown, headers = call("GET", route, params)
        assert status == 200, shown
        assert (shown["name"], headers["traceparent"][3:35]) == ("a/b", "1" * 32)
        assert call("HEAD", route, params)[0] == 200
        status, problem, headers = call("DELETE", route, params)
        assert (status, problem["code"], headers["Allow"]) == (405, "method_not_allowed", "GET")
        assert call("OPTIONS", route, params)[2]["Allow"] == "GET, OPTIONS"
    for params in ({"proxy": "nowhere/a/b"}, {"proxy": "api/v1/leases/"}, None):
        status, problem, _ = call("GET", "/{proxy+}" if params else "/", params)
        assert (status, problem["code"], problem["trace_id"]) == (404, "not_found", "1" * 32)


def test_location_holds_the_stage_that_the_caller_used(house: House) -> None:
    event = {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/api/v1/schedules",
            "path": "/api/api/v1/schedules",
        },
        "headers": {"Content-Type": "application/json"},
        "pathParameters": None,
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": json.dumps(RATE),
    }
    answer = house.app(event, None)
    made = json.loads(answer["body"])
    assert answer["headers"]["Location"] == f"/api/api/v1/schedules/{made['id']}"


def test_threads_do_not_see_each_others_requests(house: House) -> None:
    wrong: list[tuple[int, int]] = []
    barrier = threading.Barrier(16)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(40):
            name = f"t{number}-{turn}"
            got = house.call("POST", "/api/v1/schedules", RATE | {"name": name}).json["name"]
            if got != name:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def unread() -> bytes:
    raise AssertionError("the body was read")


def test_a_body_is_read_only_where_there_is_something_to_read_it(house: House) -> None:
    assert house.edge.handle("POST", "/nowhere", "", {}, unread)[0] == 404
    assert house.edge.handle("OPTIONS", "/api/v1/schedules", "", {}, unread)[0] == 204


def refused() -> bytes:
    raise too_large()


def test_a_body_that_its_reader_refuses_is_a_problem(house: House) -> None:
    status, headers, body = house.edge.handle("POST", "/api/v1/schedules", "", {}, refused)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert headers["Content-Length"] == str(len(body))


def test_what_was_no_request_is_refused_whoever_asked(house: House) -> None:
    house.settings.auth = "deny"
    status, headers, body = house.edge.refuse(TooSlow("too slow"))
    assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert headers["traceparent"].split("-")[1] == json.loads(body)["trace_id"]
    assert hlc.parse(headers["X-Chrono-HLC"])


def test_a_call_learns_of_its_connection_and_the_next_one_does_not(house: House) -> None:
    seen: list[connection.CallerConnection] = []

    def reading() -> bytes:
        seen.append(connection.current())
        return b""

    known = connection.CallerConnection(address="192.0.2.7", client_certificate=connection.ClientCertificate("CN=ann"))
    house.edge.open(Asked("POST", "/api/v1/schedules", "", {}, reading), known)
    house.edge.handle("POST", "/api/v1/schedules", "", {}, reading)
    assert [c.client_certificate for c in seen] == [known.client_certificate, None]


@pytest.mark.parametrize(
    ("method", "path", "held"),
    [
        ("POST", "/api/v1/leases:acquire", True),
        ("POST", "/api/v1/leases%3aacquire/", True),
        ("GET", "/api/v1/leases:acquire", False),
        ("POST", "/api/v1/leases:renew", False),
        ("POST", "/chronowatch.v1.LeaseService/Acquire", True),
        ("POST", "/chronowatch.v1.LeaseService/Renew", False),
        ("POST", "/chronowatch.v1.Nothing/Here", False),
    ],
)
def test_which_calls_may_be_held_is_known_before_they_begin(house: House, method: str, path: str, held: bool) -> None:
    assert house.edge.may_hold(method, path) is held


def test_health_says_what_is_missing(house: House) -> None:
    before = house.call("GET", "/health")
    assert (before.status, before.code) == (503, "unhealthy")
    assert before.json["checks"]["sweep"] == {"ok": False, "detail": "16 of 16 shards were never swept"}
    assert int(before.headers["Retry-After"]) >= 1

    def sweep(shards: range) -> None:
        assert not stamp_swept(house.services, [HeldShard(shard, 1) for shard in shards])

    sweep(range(15))
    assert house.call("GET", "/health").json["checks"]["sweep"]["detail"] == "1 of 16 shards were never swept"
    sweep(range(16))
    house.clock.advance(180_000)
    healthy = house.call("GET", "/health")
    assert healthy.status == 200
    assert healthy.json["status"] == "ok"
    assert healthy.json["version"]
    assert healthy.json["uptime_ms"] == 180_000
    assert all(check["ok"] for check in healthy.json["checks"].values())
    sweep(range(1, 16))
    house.clock.advance(1)
    stale = house.call("GET", "/health")
    assert (stale.status, stale.json["checks"]["sweep"]["ok"]) == (503, False)
    assert stale.json["checks"]["tables"]["ok"]


def test_health_while_the_tables_are_away(house: House) -> None:
    from chalicelib.core.errors import Unavailable

    house.services = with_stores(house.services, cursors=Raising(Unavailable("no answer from DynamoDB")))
    answer = house.call("GET", "/health")
    assert (answer.status, answer.code) == (503, "unhealthy")
    assert answer.json["checks"]["tables"] == {"ok": False, "detail": "no answer from DynamoDB"}


def test_the_time(house: House) -> None:
    now = house.call("GET", "/api/v1/time/now").json
    assert now["wall_unix_nanos"] == NOW_MS * 1_000_000
    assert (now["tz"], now["iso8601"]) == ("UTC", "2026-11-21T09:20:00.000000000Z")
    assert (now["drift_ms"], now["error_bound_nanos"]) == (0, 20_000_000)
    assert now["clock_id"] == house.services.config.instance
    later = house.call("GET", "/api/v1/time/drift").json
    assert later == {
        "drift_ms": 0,
        "max_drift_ms": 20,
        "within_bound": True,
        "samples": 2,
        "steps": [],
        "error_bound_nanos": 20_000_000,
        "sources": 1,
        "sources_agreeing": 1,
    }


def test_a_step_of_the_wall_clock_shows_as_drift(house: House) -> None:
    house.call("GET", "/api/v1/time/now")
    house.clock.step(-50)
    drift = house.call("GET", "/api/v1/time/drift").json
    assert (drift["drift_ms"], drift["within_bound"]) == (-50, False)
    now = house.call("GET", "/api/v1/time/now").json
    assert (now["drift_ms"], now["error_bound_nanos"]) == (-50, 70_000_000)


def test_the_time_in_the_zone_of_the_deployment(house: House) -> None:
    config = replace(house.services.config, default_timezone="Asia/Kolkata")
    house.services = replace(house.services, config=config)
    now = house.call("GET", "/api/v1/time/now").json
    assert (now["tz"], now["iso8601"]) == ("Asia/Kolkata", "2026-11-21T14:50:00.000000000+05:30")
