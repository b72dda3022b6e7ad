"""Jobs over many executions: by their calls, and after deaths."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.bulk_job import BULK_SLICE
from chalicelib.usecases import bulk_jobs
from chalicelib.workers import reconcile
from tests.kit.callers import Everybody, who
from tests.kit.conformance import conforms
from tests.kit.house import House
from tests.kit.services import with_stores

BULK = "/api/v1/executions:bulk"
JOB = "/api/v1/bulk-jobs/{bulk_id}"
DOCUMENT = House().call("GET", "/api/v1/openapi.json").json


@pytest.fixture
def house() -> House:
    return House()


def fire(house: House, outcome: str, count: int = 1, **schedule: Any) -> list[str]:
    made = []
    for _ in range(count):
        execution_id = house.fire(**schedule)
        if outcome != "pending":
            house.end(execution_id, outcome)
        house.clock.advance(1)
        made.append(execution_id)
    return made


def start(house: House, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = house.call("POST", BULK, {"action": "retry", "filter": {"state": "failed"}} | body)
    assert answer.status == status, answer.body
    conforms(DOCUMENT, BULK, "post", answer)
    found: dict[str, Any] = answer.json
    return found


def look(house: House, job_id: str) -> dict[str, Any]:
    answer = house.call("GET", JOB.format(bulk_id=job_id))
    conforms(DOCUMENT, JOB, "get", answer)
    return {name: answer.json[name] for name in ("state", "matched", "done", "failed")}


def test_all_that_match_are_retried_and_the_rest_is_left_alone(house: House) -> None:
    failed = fire(house, "failed", BULK_SLICE + 5)
    good = fire(house, "completed", 3)
    begun = start(house)
    assert begun["matched"] == BULK_SLICE + 5
    assert look(house, begun["job_id"])["state"] == "running"
    house.clock.advance(1)
    assert look(house, begun["job_id"]) == {"state": "completed", "matched": 25, "done": 25, "failed": 0}
    assert {house.execution(i).state for i in failed} == {"pending"}
    assert {house.execution(i).state for i in good} == {"completed"}


def test_what_cannot_be_done_counts_as_failed(house: House) -> None:
    fire(house, "failed")
    fire(house, "completed")
    job_id = start(house, filter={"owner": "anonymous"})["job_id"]
    house.clock.advance(1)
    assert look(house, job_id) == {"state": "completed", "matched": 2, "done": 1, "failed": 1}


def test_pending_ones_are_cancelled(house: House) -> None:
    (waiting,) = fire(house, "pending")
    job_id = start(house, action="cancel", filter={"state": "pending"})["job_id"]
    house.clock.advance(1)
    assert look(house, job_id)["done"] == 1
    assert house.execution(waiting).state == "cancelled"


def test_a_dry_run_only_counts(house: House) -> None:
    (failed,) = fire(house, "failed")
    assert start(house, 200, dry_run=True) == {"matched": 1}
    house.clock.advance(1)
    assert house.execution(failed).state == "failed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, "filter"),
        ({"filter": {"color": "red"}}, "filter.color"),
        ({"filter": {"from_unix_ms": 2, "to_unix_ms": 1}}, "filter.to_unix_ms"),
        ({"action": "delete"}, "action"),
    ],
)
def test_wrong_bodies_are_refused(house: House, body: dict[str, Any], field: str) -> None:
    answer = house.call("POST", BULK, {"action": "retry", "filter": {"state": "failed"}} | body)
    assert answer.fields == [field]


def test_a_cancelled_job_does_no_more(house: House) -> None:
    failed = fire(house, "failed", 2)
    job_id = start(house)["job_id"]
    answer = house.call("POST", JOB.format(bulk_id=job_id) + ":cancel")
    conforms(DOCUMENT, JOB + ":cancel", "post", answer)
    house.clock.advance(1)
    assert look(house, job_id) == {"state": "cancelled", "matched": 2, "done": 0, "failed": 0}
    assert {house.execution(i).state for i in failed} == {"failed"}
    assert house.call("POST", JOB.format(bulk_id=job_id) + ":cancel").json["state"] == "cancelled"


def test_a_caller_does_to_its_own_only_and_sees_its_own_jobs(house: House) -> None:
    (mine,), (theirs,) = fire(house, "failed", owner="ann"), fire(house, "failed", owner="bob")
    house.authenticator = Everybody(who("ann", "user"))
    begun = start(house)
    house.clock.advance(1)
    assert begun["matched"] == 1
    assert look(house, begun["job_id"])["done"] == 1
    assert (house.execution(mine).state, house.execution(theirs).state) == ("pending", "failed")
    house.authenticator = Everybody(who("bob", "user"))
    for method, verb in (("GET", ""), ("POST", ":cancel")):
        assert house.call(method, JOB.format(bulk_id=begun["job_id"]) + verb).status == 404
    house.authenticator = Everybody(who("eve", "viewer"))
    assert house.call("POST", BULK, {"action": "retry", "filter": {"state": "failed"}}).status == 403
    assert house.call("POST", JOB.format(bulk_id=begun["job_id"]) + ":cancel").status == 403
    assert house.call("GET", JOB.format(bulk_id="no such")).status == 404


class DiesOnSave:
    """A store of jobs whose process dies as it writes its first slice down."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def save(self, job: Any, expected_rev: int) -> bool:
        if expected_rev:
            raise SystemExit
        return bool(self._inner.save(job, expected_rev))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_reconcile_goes_on_with_what_died_and_counts_each_once(house: House) -> None:
    failed = fire(house, "failed", BULK_SLICE + 1)
    job_id = start(house)["job_id"]
    dying: Any = DiesOnSave(house.services.stores.bulk_jobs)
    with pytest.raises(SystemExit):
        bulk_jobs.work(with_stores(house.services, bulk_jobs=dying), "default", job_id)
    assert sum(house.execution(i).state == "pending" for i in failed) == BULK_SLICE
    attempts = {i: len(house.execution(i).history) for i in failed}
    house.services = replace(house.services, process=house.services.process)
    reconcile.run(house.services)
    assert look(house, job_id) == {"state": "completed", "matched": 21, "done": 21, "failed": 0}
    again = {i: len(house.execution(i).history) for i in failed}
    assert sum(again[i] - attempts[i] for i in failed) == 1, "nothing is done twice"


def entries(house: House) -> list[tuple[str, str, str, str]]:
    found = house.call("GET", "/api/v1/audit", query="limit=100").json["items"]
    return [(e["action"], e["resource"], e["actor"], e["detail"]) for e in reversed(found)]


def test_a_job_and_each_execution_that_it_changed_are_entries_of_the_audit(house: House) -> None:
    failed = fire(house, "failed", 2)
    fire(house, "completed")
    before = len(entries(house))
    start(house, 200, dry_run=True)
    job_id = start(house, filter={"from_unix_ms": 0})["job_id"]
    house.clock.advance(1)
    assert look(house, job_id) == {"state": "completed", "matched": 3, "done": 2, "failed": 1}
    own, *each = entries(house)[before:]
    assert own == ("executions:bulk", f"bulk-jobs/{job_id}", "anonymous", "")
    retried = [("executions:retry", f"executions/{one}", "anonymous", f"job {job_id}") for one in failed]
    assert sorted(each) == sorted(retried)
    assert house.services.stores.audit.intents("~", 10) == []
