"""Whatever a subject holds, ``:evaluate`` answers: every operator on every field, with values of every kind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.rules import operators
from tests.kit.house import House

OPERANDS: dict[str, Any] = {
    "eq": "x",
    "ne": 1,
    "in": ["a", 1, True],
    "not_in": ["x"],
    "contains": "p",
    "starts_with": "h",
    "ends_with": "x",
    "regex_matches": "^a+$",
    "exists": None,
    "absent": None,
    "gt": 1,
    "ge": 1,
    "lt": 1,
    "le": 2,
    "between": [1, 2],
    "cidr_contains": "10.0.0.0/8",
    "host_in": ["*.a.example", "::1"],
    "url_scheme": "https",
    "cron_interval_at_least": "5m",
    "runs_within_window": {"from": "22:00", "to": "06:00", "timezone": "Asia/Tokyo"},
    "timezone_in": ["UTC", "Europe/*"],
}
FIELDS = ("name", "target.url", "tags", "timezone", "owner", "retry_policy.max_attempts", "target.headers", "exclude")
MATCHES: tuple[dict[str, Any], ...] = (
    {"tag": ["production", "x"]},
    {"owner": "anonymous"},
    {"type": "CRON", "target": "webhook"},
    {"name_prefix": ["a", "b"]},
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["https://A.b/", "http://[::1]/", "https:\\\\x", "://", "http://10.1.2.3/", "UTC", "rate:5s", "0 9 * * *"]
    ),
    st.just([1, "a", None, {}, ["b"]]),
    st.just({"a": {"b": [1]}}),
)
TARGET = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["webhook", "sqs", "log", 1, None]), "url": ODD, "headers": ODD}
)
NAMES = ("name", "expr", "timezone", "tags", "owner", "monitor", "retry_policy", "payload", "exclude", "id", "ttl_ms")
SUBJECT = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*NAMES, "start_at_unix_ms", "action", "holder_id", "tenant", "weird"), ODD),
        "type": st.one_of(ODD, st.sampled_from(["CRON", "RATE", "AT", "DELAY", "RRULE", "ISO8601"])),
        "target": st.one_of(ODD, TARGET),
    },
)
ACTIONS = st.sampled_from(["schedules:create", "firing", "leases:acquire"])


@pytest.fixture(scope="module")
def ruled() -> House:
    """A house with a policy of each operator on each field."""
    made = House()
    number = 0
    for operator, value in OPERANDS.items():
        for field in ("expr",) if operator in operators.ON_RECURRENCE else FIELDS:
            number += 1
            leaf = {"field": field, "operator": operator} | ({} if value is None else {"value": value})
            rule = {"name": "r", "condition": leaf, "action": "deny", "message": "m", "required": bool(number % 2)}
            body = {"name": f"p{number}", "match": MATCHES[number % len(MATCHES)], "rules": [rule]}
            answer = made.call("POST", "/api/v1/policies", body)
            assert answer.status == 201, answer.body
    return made


def test_every_operator_is_tried() -> None:
    assert set(OPERANDS) == set(operators.OPERATORS)


@given(SUBJECT, ACTIONS)
def test_any_subject_is_judged(ruled: House, subject: dict[str, Any], action: str) -> None:
    answer = ruled.call("POST", "/api/v1/policies:evaluate", {"subject": subject, "action": action})
    assert answer.status == 200, answer.body
    denies = any(v["action"] == "deny" for v in answer.json["violations"])
    assert answer.json["decision"] == ("deny" if denies else "allow")
