"""Quotas as a caller meets them: headers, the refusal, what is counted and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import http_sfv
import pytest
from msgspec.structs import replace

from chalicelib.api.http import openapi
from chalicelib.api.http.quotas import quota_of
from chalicelib.api.http.routes import table
from chalicelib.core.errors import Unavailable
from chalicelib.core.quotas.shared_bucket import QuotaKey, SharedBucket
from chalicelib.ports.stores.quotas import StoredBucket
from tests.kit.house import RATE, House
from tests.kit.services import with_stores

OPERATIONS = table().operations
PINGS = ("/ping/{ping_id}", "/ping/{ping_id}/{signal_id}", "/badge/{badge_id}")
# No quota counts them. Who sends events is not the caller whose trigger they are for.
FREE = ("/health", "/metrics", "/console", "/console/{release}/{file}", "/ingest/{trigger_id}/{token}", *PINGS)


@pytest.fixture
def limited(house: House) -> House:
    house.services = replace(house.services, config=replace(house.services.config, reads_per_s=20, writes_per_s=4))
    return house


def parsed(headers: Mapping[str, str], name: str) -> tuple[str, dict[str, int]]:
    """The one item of a header that is a list of structured fields, and its parameters."""
    found = http_sfv.List()
    found.parse(headers[name].encode())
    (item,) = found
    return item.value, dict(item.params)


def test_without_quotas_no_answer_names_one(house: House) -> None:
    answer = house.call("GET", "/api/v1/schedules")
    assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers)


def test_answers_say_how_the_caller_stands(limited: House) -> None:
    answer = limited.call("GET", "/api/v1/schedules")
    assert parsed(answer.headers, "RateLimit-Policy") == ("reads", {"q": 20, "w": 1})
    assert parsed(answer.headers, "RateLimit") == ("reads", {"r": 9, "t": 1})
    answer = limited.call("POST", "/api/v1/schedules", RATE)
    assert parsed(answer.headers, "RateLimit-Policy") == ("writes", {"q": 4, "w": 1})


def test_a_refusal_is_the_registered_problem_and_its_retry_after_is_true(limited: House) -> None:
    answers = [limited.call("POST", "/api/v1/schedules", RATE) for _ in range(4)]
    assert [a.status for a in answers] == [201, 201, 429, 429]
    refused = answers[-1]
    assert refused.code == "quota_exceeded"
    assert refused.json["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert refused.json["violated-policies"] == ["writes"]
    assert parsed(refused.headers, "RateLimit") == ("writes", {"r": 0, "t": int(refused.headers["Retry-After"])})
    limited.clock.advance(1000 * int(refused.headers["Retry-After"]))
    assert limited.call("POST", "/api/v1/schedules", RATE).status == 201


def test_errors_are_counted_and_say_how_the_caller_stands_too(limited: House) -> None:
    bad: dict[str, Any] = {"type": "RATE", "expr": "rate:never"}
    answers = [limited.call("POST", "/api/v1/schedules", bad) for _ in range(3)]
    assert [a.status for a in answers] == [422, 422, 429]
    assert parsed(answers[0].headers, "RateLimit") == ("writes", {"r": 1, "t": 1})


def test_health_is_free_and_so_is_what_is_no_operation(limited: House) -> None:
    for _ in range(60):
        assert limited.call("GET", "/health").status in (200, 503)
        assert limited.call("GET", "/nowhere").status == 404
        assert limited.call("DELETE", "/api/v1/schedules").status == 405
    answer = limited.call("GET", "/api/v1/schedules")
    assert parsed(answer.headers, "RateLimit") == ("reads", {"r": 9, "t": 1})
    assert "RateLimit" not in limited.call("GET", "/health").headers


def test_a_held_call_counts_once(limited: House) -> None:
    assert (
        limited.call("POST", "/api/v1/leases:acquire", {"name": "a", "holder_id": "x", "ttl_ms": 60_000}).status == 200
    )
    held = limited.call(
        "POST", "/api/v1/leases:acquire", {"name": "a", "holder_id": "y", "ttl_ms": 1_000, "wait_ms": 900}
    )
    assert (held.status, held.json["acquired"]) == (200, False)
    assert parsed(held.headers, "RateLimit")[1]["r"] == 0


def test_a_store_that_is_away_refuses_nothing_below_the_quota(limited: House) -> None:
    class Away:
        def swap(self, key: QuotaKey, bucket: SharedBucket, expected_rev: int, now_s: int) -> StoredBucket | None:
            raise Unavailable("the table is away")

    limited.services = with_stores(limited.services, quotas=Away())
    answers = [limited.call("GET", "/api/v1/schedules") for _ in range(12)]
    assert [a.status for a in answers] == [200] * 10 + [429] * 2


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: f"{op.method} {op.path}")
def test_every_operation_is_counted_and_documented(operation: Any) -> None:
    document = openapi.document(OPERATIONS)
    described = document["paths"][operation.path][operation.method.lower()]["responses"]
    assert "429" in described
    shown = {name for answer in described.values() for name in answer.get("headers", {})}
    assert ("RateLimit" in shown) is not operation.free
    assert operation.free is (operation.path in FREE)
    assert quota_of(operation) == "reads" or operation.method != "GET"


def test_the_document_shows_the_refusal() -> None:
    refusal = openapi.document(OPERATIONS)["components"]["responses"]["Problem429"]
    assert set(refusal["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert refusal["content"]["application/problem+json"]["example"]["code"] == "quota_exceeded"
