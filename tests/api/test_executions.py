"""Executions as a caller meets them."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.executions.error_fingerprint import fingerprint
from tests.kit.house import House
from tests.kit.machine import NOW_MS

EXECUTIONS = "/api/v1/executions"
FIELDS = [
    *["id", "schedule_id", "firing_time_unix_ms", "delivery_state", "attempt", "attempts", "history"],
    *["fencing_token", "lateness_ms", "late", "trace_id", "owner", "target"],
]


def test_a_pending_one_leaves_out_what_is_not_there(house: House) -> None:
    execution_id = house.fire(owner="ada", target={"type": "webhook", "url": "http://127.0.0.1/"})
    shown = house.call("GET", f"{EXECUTIONS}/{execution_id}").json
    assert list(shown) == FIELDS
    assert shown["target"] == {"type": "webhook"}
    assert (shown["delivery_state"], shown["attempt"], shown["attempts"]) == ("pending", 0, [])
    assert (shown["owner"], shown["lateness_ms"], shown["late"]) == ("ada", None, False)
    assert len(shown["trace_id"]) == 32


def test_a_failed_one_tells_what_happened(house: House) -> None:
    execution_id = house.fire()
    house.clock.advance(5)
    house.end(execution_id, "failed")
    shown = house.call("GET", f"{EXECUTIONS}/{execution_id}").json
    assert list(shown) == [*FIELDS, "error", "error_fingerprint"]
    assert (shown["error"], shown["error_fingerprint"]) == ("HTTP 500", fingerprint("HTTP 500"))
    assert shown["attempts"] == [
        {
            "number": 1,
            "started_unix_ms": NOW_MS + 5,
            "finished_unix_ms": NOW_MS + 5,
            "outcome": "failed",
            "http_status": 500,
            "error_type": "http_error",
            "error": "HTTP 500",
            "answer": {"headers": {"content-type": "text/plain"}, "body": "out of order", "truncated": False},
        }
    ]
    assert shown["history"] == [
        {"from": "pending", "to": "in_progress", "at_unix_ms": NOW_MS + 5},
        {"from": "in_progress", "to": "failed", "at_unix_ms": NOW_MS + 5, "reason": "http_error"},
    ]
    assert (shown["fencing_token"], shown["lateness_ms"], shown["late"]) == (1, 5, False)


def test_complete_embeds_its_result(house: House) -> None:
    execution_id = house.fire()
    house.accept(execution_id)
    house.clock.advance(1)
    done = house.call("POST", f"{EXECUTIONS}/{execution_id}:complete", {"result": {"rows": [12]}})
    assert done.status == 200, done.body
    assert (done.json["delivery_state"], done.json["result"]) == ("completed", {"rows": [12]})
    assert house.call("GET", f"{EXECUTIONS}/{execution_id}").json == done.json


def test_fail_and_heartbeat(house: House) -> None:
    execution_id = house.fire(retry_policy={"max_attempts": 1})
    house.accept(execution_id)
    beat = house.call("POST", f"{EXECUTIONS}/{execution_id}:heartbeat")
    assert (beat.status, beat.json["delivery_state"]) == (200, "in_progress")
    failed = house.call("POST", f"{EXECUTIONS}/{execution_id}:fail", {"error": "disk full"})
    assert (failed.status, failed.json["delivery_state"], failed.json["error"]) == (200, "failed", "disk full")


def test_retry(house: House) -> None:
    execution_id = house.fire()
    pending = house.call("POST", f"{EXECUTIONS}/{execution_id}:retry")
    assert (pending.status, pending.code) == (409, "not_retryable")
    house.end(execution_id, "failed")
    again = house.call("POST", f"{EXECUTIONS}/{execution_id}:retry")
    assert (again.status, again.json["delivery_state"], again.json["attempt"]) == (200, "pending", 1)


def test_cancel(house: House) -> None:
    execution_id = house.fire()
    cancelled = house.call("POST", f"{EXECUTIONS}/{execution_id}:cancel", {"reason": "obsolete"})
    assert (cancelled.status, cancelled.json["delivery_state"]) == (200, "cancelled")
    assert cancelled.json["history"][-1]["reason"] == "obsolete"
    again = house.call("POST", f"{EXECUTIONS}/{execution_id}:cancel")
    assert (again.status, again.code) == (409, "not_cancellable")


@pytest.mark.parametrize("verb", ["retry", "cancel", "complete", "fail", "heartbeat"])
def test_if_match(house: House, verb: str) -> None:
    execution_id = house.fire(retry_policy={"max_attempts": 1})
    if verb == "retry":
        house.end(execution_id, "failed")
    else:
        house.accept(execution_id)
    path, body = f"{EXECUTIONS}/{execution_id}", {"error": "x"} if verb == "fail" else None
    before = house.call("GET", path)
    version = before.headers["ETag"].strip('"')
    for wrong in ('"0"', f'W/"{version}"', '"a", "b"', ""):
        refused = house.call("POST", f"{path}:{verb}", body, headers={"If-Match": wrong})
        assert (refused.status, refused.code) == (412, "precondition_failed"), wrong
    assert house.call("GET", path).json == before.json
    done = house.call("POST", f"{path}:{verb}", body, headers={"If-Match": f'"a", "{version}"'})
    assert (done.status, done.headers["ETag"] == before.headers["ETag"]) == (200, False)
    stale = house.call("POST", f"{path}:{verb}", body, headers={"If-Match": before.headers["ETag"]})
    assert stale.status == 412


@pytest.mark.parametrize("verb", ["complete", "fail", "heartbeat"])
def test_only_what_the_target_accepted_is_reported_on(house: House, verb: str) -> None:
    body = {"error": "x"} if verb == "fail" else None
    refused = house.call("POST", f"{EXECUTIONS}/{house.fire()}:{verb}", body)
    assert (refused.status, refused.code) == (409, "not_accepted")


def test_lists(house: House) -> None:
    first = house.fire(owner="ada")
    house.clock.advance(1000)
    second = house.fire(owner="bob")
    house.end(second, "completed")

    def ids(query: str = "", path: str = EXECUTIONS) -> list[str]:
        answer = house.call("GET", path, query=query)
        assert answer.status == 200, answer.body
        return [item["id"] for item in answer.json["items"]]

    assert ids() == [second, first]
    assert ids("owner=ada") == [first]
    assert ids("state=completed") == [second]
    assert ids(f"schedule_id={first[:26]}") == [first]
    assert ids(f"from_unix_ms={NOW_MS + 1000}") == [second]
    assert ids(f"to_unix_ms={NOW_MS}") == [first]
    assert ids(path=f"/api/v1/schedules/{second[:26]}/executions") == [second]
    assert ids("state=failed", f"/api/v1/schedules/{second[:26]}/executions") == []
    page = house.call("GET", EXECUTIONS, query="limit=1").json
    assert [item["id"] for item in page["items"]] == [second]
    assert ids(f"limit=1&page_token={page['next_page_token']}") == [first]


def test_those_of_a_deleted_schedule_stay_readable(house: House) -> None:
    execution_id = house.fire()
    schedule_id = execution_id[:26]
    house.call("DELETE", f"/api/v1/schedules/{schedule_id}")
    assert house.call("GET", f"{EXECUTIONS}/{execution_id}").status == 200
    listed = house.call("GET", f"/api/v1/schedules/{schedule_id}/executions")
    assert [item["id"] for item in listed.json["items"]] == [execution_id]


def test_a_schedule_without_any_is_told_from_one_that_never_was(house: House) -> None:
    made = house.make()
    assert house.call("GET", f"/api/v1/schedules/{made['id']}/executions").json["items"] == []
    assert house.call("GET", f"/api/v1/schedules/{'0' * 26}/executions").status == 404


@pytest.mark.parametrize("reference", ["x", "a-b-c", "0" * 26 + "-x", "é-1", "x" * 5000, "0" * 26 + "-1", "-", "-1-m"])
def test_what_cannot_be_an_id_is_not_found(house: House, reference: str) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("POST", ":cancel", None),
        ("POST", ":fail", {"error": "x"}),
    ]
    for method, suffix, body in calls:
        assert house.call(method, f"{EXECUTIONS}/{reference}{suffix}", body).code == "not_found"
