"""Whatever is sent: no 5xx, and every error a problem document of the one shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.api.http.routes import table
from chalicelib.api.leases.schemas import AcquireBody
from chalicelib.api.schedules.schemas import NewSchedule
from tests.kit.house import RATE, Answer, House

OPERATIONS = table().operations
PROBLEM = {"type", "title", "status", "detail", "code", "trace_id"}
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
KNOWN = sorted(
    {
        *NewSchedule.__struct_fields__,
        *AcquireBody.__struct_fields__,
        *["note", "reason", "result", "error", "count", "after_unix_ms", "url", "bus", "fencing_token"],
    }
)
TEMPTING = st.sampled_from(
    [
        *["rate:5s", "delay:1ms", "* * * * *", "0 0 29 2 *", "P1M", "R5/2026-12-01T10:00:00Z/PT5M", "@yearly"],
        *["at:2026-12-25T10:00:00Z", "at:9999-12-31T23:59:59Z", "RRULE:FREQ=DAILY", "BEGIN:VCALENDAR", "L", "5#5"],
        *["Europe/Berlin", "UTC", "CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE", "webhook", "eventbridge", "fixed"],
        *[0, 1, -1, 2**53, 2**63, 253_402_300_799_999, 1_795_252_800_000],
    ]
)
VALUES = TEMPTING | JSON
FIELDS = st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=6)
TARGETS = st.fixed_dictionaries({"type": TEMPTING}, optional={"url": VALUES, "headers": VALUES, "timeout_ms": VALUES})


def check(answer: Answer) -> None:
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json
        assert PROBLEM <= set(problem) <= PROBLEM | {"errors"}
        assert problem["status"] == answer.status
        assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1]
        assert ("errors" in problem) == (answer.status == 422)
        assert all(set(error) == {"field", "message"} for error in problem.get("errors", ()))


def paths(house: House) -> dict[str, str]:
    if not hasattr(house, "known_paths"):
        execution_id = house.fire()
        house.known_paths = {  # type: ignore[attr-defined]
            o.path: o.path.replace("{schedule_id}", execution_id[:26])
            .replace("{job_id}", execution_id[:26])
            .replace("{execution_id}", execution_id)
            .replace("{name}", "a%3Ab")
            .replace("{frequency}", "second")
            for o in OPERATIONS
        }
    return house.known_paths  # type: ignore[attr-defined,no-any-return]


@QUICK
@given(st.sampled_from(OPERATIONS), FIELDS, st.booleans(), TARGETS, st.booleans())
def test_bodies(
    shared: House, operation: Any, fields: dict[str, Any], right: bool, target: Any, targeted: bool
) -> None:
    if operation.method == "DELETE" or operation.path == "/health":
        return
    body = (RATE if right else {}) | fields | ({"target": target} if targeted else {})
    check(shared.call(operation.method, paths(shared)[operation.path], body))


@QUICK
@given(
    st.sampled_from([o for o in OPERATIONS if o.takes_body]), st.binary() | JSON.map(lambda v: json.dumps(v).encode())
)
def test_raw_bodies(shared: House, operation: Any, raw: bytes) -> None:
    check(shared.call(operation.method, paths(shared)[operation.path], raw=raw))


@QUICK
@given(st.sampled_from(["CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE"]), st.text(max_size=40), TEMPTING, TEMPTING)
def test_expressions(shared: House, kind: str, expr: str, first: Any, second: Any) -> None:
    for text in (expr, f"{first}{expr}", f"{first} {second}"):
        check(shared.call("POST", "/api/v1/schedules:preview", {"type": kind, "expr": text, "count": 3}))


@QUICK
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE"]),
    st.text(alphabet=st.characters(codec="latin-1", exclude_characters="?"), max_size=40),
    st.text(alphabet=st.characters(codec="latin-1"), max_size=40),
    st.booleans(),
)
def test_paths_and_queries(shared: House, method: str, tail: str, query: str, encoded: bool) -> None:
    for base in (
        "/",
        "/api/v1/schedules",
        "/api/v1/schedules/",
        "/api/v1/executions/",
        "/api/v1/leases/",
        "/api/v1/time/",
    ):
        path = base + (quote(tail) if encoded else tail)
        answer = shared.call(method, path, query=quote(query, safe="=&") if encoded else query)
        if method == "HEAD" and answer.status >= 400:
            assert answer.body == b""
        else:
            check(answer)


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *["if-match", "if-none-match", "idempotency-key", "traceparent", "x-chrono-hlc", "content-type"],
                *["authorization", "accept", "cookie", "x-forwarded-for", "host", "accept-encoding"],
            ]
        ),
        st.text(alphabet=st.characters(codec="latin-1"), max_size=80),
    ),
    st.sampled_from(OPERATIONS),
)
def test_headers(shared: House, headers: dict[str, str], operation: Any) -> None:
    if operation.method == "DELETE" or operation.path == "/health":
        return
    body = RATE if operation.takes_body else None
    check(shared.call(operation.method, paths(shared)[operation.path], body, headers=headers))
