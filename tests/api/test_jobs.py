"""/jobs: Scheduled-DB's words over the same schedules, the limits of a deployment, and what /health counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core import queue_messages
from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.core.executions.journal import AttemptResult, claim, finish
from chalicelib.core.executions.limits import LOG_LINES_MAX
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.schedules.capacity import Used
from chalicelib.core.schedules.limits import PAYLOAD_MAX_BYTES
from chalicelib.core.schedules.schedule import Key, RetryPolicy, State
from chalicelib.engine import capacity
from chalicelib.engine.handoff import new_record
from chalicelib.engine.outcomes import Ended, write_outcomes
from chalicelib.engine.shards import HeldShard, stamp_swept
from chalicelib.ports.stores.logs import LogLine
from chalicelib.ports.work_queue import Outgoing
from chalicelib.usecases.jobs import OTHERS_SCAN_MAX
from tests.kit.house import RATE, House
from tests.kit.machine import NOW_MS

UNICO = {"type": "unico", "timestamp": "2026-11-21T10:00:00Z"}
RECURRENTE = {"type": "recurrente", "cron_expression": "*/5 * * * *"}
AT_MS = 1_795_255_200_000


def make(house: House, body: dict[str, Any] = UNICO, **changes: Any) -> dict[str, Any]:
    answer = house.call("POST", "/jobs", body | changes)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


def state_of(house: House, job_id: str) -> State:
    return house.services.stores.schedules.states([Key("default", job_id)])[Key("default", job_id)]


def fire(house: House, job_id: str, outcome: str = "completed", at_ms: int | None = None, **result: Any) -> str:
    """As if a worker had claimed and delivered the job's instant, by the product's own steps."""
    s = house.services
    at_ms = house.clock.now_ms() if at_ms is None else at_ms
    found = s.stores.schedules.get([Key("default", job_id)])[Key("default", job_id)]
    claimed = found.state.claimed(1, at_ms, at_ms)
    if found.definition.type == "AT":
        claimed = replace(claimed, next_run_ms=None, queued_ms=at_ms)
    assert s.stores.schedules.write_states([(claimed, found.state.rev)]) == [True]
    record = replace(
        claim(new_record(s, found.definition, found.state.shard, at_ms, at_ms), "worker", claimed.fence, at_ms),
        rev=1,
        mends=bool(found.state.outcome),
    )
    assert s.stores.executions.insert([record]) == [True]
    if outcome == "open":
        return record.id
    given = AttemptResult(outcome, permanent=True, **({"http_status": 200} if outcome == "completed" else result))
    ended = finish(record, given, RetryPolicy(), at_ms, at_ms + 5)
    assert write_outcomes(s, [Ended(ended, 1, found.definition)]) == [True]
    return record.id


def run(house: House, job_id: str) -> str:
    """An execution that its target has accepted and works on."""
    answer = house.call("POST", f"/api/v1/schedules/{job_id}:trigger")
    execution_id = str(answer.json["execution_id"])
    state, at_ms = state_of(house, job_id), house.clock.now_ms()
    assert house.services.stores.schedules.write_states([(state.claimed(1, at_ms, at_ms), state.rev)]) == [True]
    house.accept(execution_id)
    return execution_id


def listed(house: House, status: str) -> list[str]:
    answer = house.call("GET", "/jobs", query=f"status={status}")
    assert answer.status == 200, answer.body
    assert all(job["status"] == status for job in answer.json["items"])
    return [job["id"] for job in answer.json["items"]]


def status_of(house: House, job_id: str) -> dict[str, Any]:
    answer = house.call("GET", f"/jobs/{job_id}/status")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


class TestCreate:
    def test_unico_is_an_at_schedule_on_eventbridge(self, house: House) -> None:
        made = make(house, payload={"a": 1.10})
        assert made["id"]
        assert made["type"] == "unico"
        assert made["timestamp"] == "2026-11-21T10:00:00.000Z"
        assert (made["status"], made["next_run_unix_ms"], made["payload"]) == ("pending", AT_MS, {"a": 1.1})
        assert "cron_expression" not in made
        schedule = house.call("GET", f"/api/v1/schedules/{made['id']}").json
        assert (schedule["type"], schedule["target"]) == ("AT", {"type": "eventbridge"})

    def test_the_timestamp_may_carry_an_offset(self, house: House) -> None:
        assert make(house, timestamp="2026-11-21T12:00:00+02:00")["next_run_unix_ms"] == AT_MS

    def test_recurrente_is_a_cron_schedule_with_an_end(self, house: House) -> None:
        made = make(house, RECURRENTE, last_date="2026-11-21T09:30:00Z", webhook_url="https://example.com/hook")
        assert (made["type"], made["cron_expression"]) == ("recurrente", "*/5 * * * *")
        assert (made["last_date"], made["webhook_url"]) == ("2026-11-21T09:30:00.000Z", "https://example.com/hook")
        schedule = house.call("GET", f"/api/v1/schedules/{made['id']}").json
        assert schedule["end_at_unix_ms"] == 1_795_253_400_000
        assert schedule["target"] == {
            "type": "webhook",
            "url": "https://example.com/hook",
            "method": "POST",
            "timeout_ms": 30_000,
        }

    def test_location_etag_and_idempotency(self, house: House) -> None:
        first = house.call("POST", "/jobs", UNICO, headers={"Idempotency-Key": "k"})
        again = house.call("POST", "/jobs", UNICO, headers={"Idempotency-Key": "k"})
        assert first.headers["Location"] == f"/jobs/{first.json['id']}"
        assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
        assert first.headers["ETag"] == f'"{first.json["version"]}"'
        assert len(house.call("GET", "/jobs").json["items"]) == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"type": "unico"}, "timestamp"),
            (UNICO | {"timestamp": "2026-11-21T09:19:59.999Z"}, "timestamp"),
            (UNICO | {"cron_expression": "* * * * *"}, "cron_expression"),
            (UNICO | {"last_date": "2026-12-01T00:00:00Z"}, "last_date"),
            ({"type": "recurrente"}, "cron_expression"),
            (RECURRENTE | {"timestamp": "2026-12-01T00:00:00Z"}, "timestamp"),
            (RECURRENTE | {"cron_expression": "0 0 30 2 *"}, "cron_expression"),
            (RECURRENTE | {"last_date": "2026-11-21T09:00:00Z"}, "last_date"),
            (RECURRENTE | {"webhook_url": "http://169.254.169.254/"}, "webhook_url"),
            (UNICO | {"name": "x"}, "name"),
        ],
    )
    def test_what_is_wrong_is_named_in_the_callers_words(self, house: House, body: Any, field: str) -> None:
        assert house.call("POST", "/jobs", body).fields == [field]
        assert house.call("GET", "/jobs").json["items"] == []

    def test_a_payload_over_the_limit(self, house: House) -> None:
        answer = house.call("POST", "/jobs", UNICO | {"payload": "x" * PAYLOAD_MAX_BYTES})
        assert (answer.status, answer.code) == (413, "payload_too_large")

    def test_settings_decide_what_is_left_out(self, house: House) -> None:
        config = replace(house.services.config, webhook_timeout_ms=2000, attempt_timeout_ms=9000, max_attempts=7)
        house.services = replace(house.services, config=config)
        made = make(house, webhook_url="https://example.com/")
        schedule = house.call("GET", f"/api/v1/schedules/{made['id']}").json
        assert schedule["target"]["timeout_ms"] == 2000
        assert (schedule["timeout_ms"], schedule["retry_policy"]["max_attempts"]) == (9000, 7)
        assert house.make()["timeout_ms"] == 9000


class TestStatus:
    def test_before_during_and_after_a_run(self, house: House) -> None:
        job_id = make(house)["id"]
        assert status_of(house, job_id) == {
            "job_id": job_id,
            "status": "pending",
            "attempt_count": 0,
            "next_run_unix_ms": AT_MS,
        }
        assert (listed(house, "pending"), listed(house, "completed")) == ([job_id], [])
        house.clock.sleep_until(AT_MS)
        fire(house, job_id)
        assert status_of(house, job_id)["status"] == "completed"
        assert (listed(house, "pending"), listed(house, "completed")) == ([], [job_id])

    def test_a_run_that_takes_its_time_is_in_progress(self, house: House) -> None:
        job_id = make(house, RECURRENTE)["id"]
        other = make(house)["id"]
        house.clock.advance(1)
        run(house, job_id)
        assert status_of(house, job_id)["status"] == "in_progress"
        assert listed(house, "in_progress") == [job_id]
        assert listed(house, "pending") == [other]

    @pytest.mark.parametrize(("outcome", "status"), [("failed", "failed"), ("timeout", "timeout")])
    def test_a_bad_end_is_found_by_its_status_and_told(self, house: House, outcome: str, status: str) -> None:
        job_id = make(house)["id"]
        make(house)
        house.clock.sleep_until(AT_MS)
        fire(house, job_id, outcome, error_type="connection_error", error="refused")
        assert status_of(house, job_id) == {
            "job_id": job_id,
            "status": status,
            "attempt_count": 1,
            "last_execution_unix_ms": AT_MS,
            "error_type": "connection_error",
            "error": "refused",
        }
        assert listed(house, status) == [job_id]
        assert listed(house, "completed") == []

    def test_the_last_execution_decides(self, house: House) -> None:
        job_id = make(house, RECURRENTE)["id"]
        for n, (outcome, status) in enumerate(
            [("failed", "failed"), ("completed", "completed"), ("timeout", "timeout"), ("failed", "failed")]
        ):
            house.clock.sleep_until(NOW_MS + (n + 1) * 300_000)
            fire(house, job_id, outcome, error_type="http_error", error="HTTP 500")
            assert status_of(house, job_id)["status"] == status
            assert listed(house, status) == [job_id]
            others = {"failed", "completed", "timeout", "cancelled", "pending"} - {status}
            assert {other: listed(house, other) for other in others} == {other: [] for other in others}

    def test_an_older_execution_that_ends_later_changes_nothing(self, house: House) -> None:
        job_id = make(house, RECURRENTE)["id"]
        slow_ms, quick_ms = NOW_MS + 300_000, NOW_MS + 600_000
        house.clock.sleep_until(slow_ms)
        slow = fire(house, job_id, "open")
        house.clock.sleep_until(quick_ms)
        fire(house, job_id, "completed")
        was = house.execution(slow)
        ended = finish(was, AttemptResult("failed", permanent=True), RetryPolicy(), slow_ms, quick_ms + 9)
        definition = house.services.stores.schedules.definitions([Key("default", job_id)])[Key("default", job_id)]
        assert write_outcomes(house.services, [Ended(ended, was.rev, definition)]) == [True]
        assert status_of(house, job_id)["status"] == "completed"
        assert (listed(house, "failed"), listed(house, "completed")) == ([], [job_id])

    def test_a_retry_takes_the_mark_away(self, house: House) -> None:
        job_id = make(house)["id"]
        house.clock.sleep_until(AT_MS)
        execution_id = fire(house, job_id, "failed", error_type="http_error", error="x")
        assert house.call("POST", f"/api/v1/executions/{execution_id}:retry").status == 200
        assert status_of(house, job_id)["status"] == "pending"
        assert (listed(house, "failed"), listed(house, "pending")) == ([], [job_id])
        was, s = house.execution(execution_id), house.services
        begun = replace(claim(was, "worker", 9, AT_MS), mends=bool(state_of(house, job_id).outcome))
        done = finish(begun, AttemptResult("completed", http_status=200), RetryPolicy(), AT_MS, AT_MS + 9)
        definition = s.stores.schedules.get([Key("default", job_id)])[Key("default", job_id)].definition
        assert write_outcomes(s, [Ended(done, was.rev, definition)]) == [True]
        assert (listed(house, "failed"), listed(house, "completed")) == ([], [job_id])

    def test_every_schedule_is_a_job(self, house: House) -> None:
        schedule_id = house.make(name="beat")["id"]
        job = house.call("GET", f"/jobs/{schedule_id}").json
        assert (job["type"], job["schedule_type"], job["expr"]) == ("recurrente", "RATE", "rate:5s")
        assert "cron_expression" not in job
        assert listed(house, "pending") == [schedule_id]

    def test_lists_are_paged_newest_first(self, house: House) -> None:
        ids = [make(house)["id"] for _ in range(7)]
        for query in ("", "status=pending"):
            found: list[str] = []
            token = ""
            while True:
                answer = house.call("GET", "/jobs", query=f"limit=3&{query}{token}")
                found += [job["id"] for job in answer.json["items"]]
                if answer.json["next_page_token"] is None:
                    break
                token = f"&page_token={answer.json['next_page_token']}"
            assert found == ids[::-1]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
    def test_jobs_that_wait_to_run_again_come_after_those_that_never_ran(self, house: House, limit: int) -> None:
        again = [make(house)["id"] for _ in range(2)]
        never = [make(house, timestamp="2026-11-22T10:00:00Z")["id"] for _ in range(3)]
        house.clock.sleep_until(AT_MS)
        for job_id in again:
            failed = fire(house, job_id, "failed", error_type="http_error", error="x")
            assert house.call("POST", f"/api/v1/executions/{failed}:retry").status == 200
        found: list[str] = []
        pages, token = 0, ""
        while True:
            answer = house.call("GET", "/jobs", query=f"limit={limit}&status=pending{token}")
            found += [job["id"] for job in answer.json["items"]]
            pages += 1
            if answer.json["next_page_token"] is None:
                break
            token = f"&page_token={answer.json['next_page_token']}"
        assert found == never[::-1] + again[::-1]
        assert pages == -(-5 // limit)

    def test_running_jobs_are_paged(self, house: House) -> None:
        ids = [make(house, RECURRENTE)["id"] for _ in range(5)]
        house.clock.advance(1)
        for job_id in ids:
            run(house, job_id)
        first = house.call("GET", "/jobs", query="status=in_progress&limit=3").json
        rest = house.call(
            "GET", "/jobs", query=f"status=in_progress&limit=3&page_token={first['next_page_token']}"
        ).json
        assert [j["id"] for j in first["items"] + rest["items"]] == ids[::-1]
        assert rest["next_page_token"] is None

    @pytest.mark.parametrize("ends", [["completed"] * 4, ["completed", "failed", "timeout", "cancelled"]])
    def test_running_jobs_are_found_whatever_became_of_their_runs_before(self, house: House, ends: list[str]) -> None:
        ids = [make(house, RECURRENTE)["id"] for _ in ends]
        never = make(house)["id"]
        for job_id, end in zip(ids, ends, strict=True):
            house.clock.advance(1)
            fire(house, job_id, end)
            house.clock.advance(10)
            run(house, job_id)
        assert listed(house, "in_progress") == ids[::-1]
        assert listed(house, "pending") == [never]

    def test_a_page_of_running_jobs_looks_at_a_bounded_number_and_goes_on(self, house: House) -> None:
        running = make(house, RECURRENTE)["id"]
        house.clock.advance(1)
        run(house, running)
        for _ in range(OTHERS_SCAN_MAX * PAGE_MAX_ITEMS):
            fire(house, make(house, RECURRENTE)["id"])
        first = house.call("GET", "/jobs", query="status=in_progress").json
        assert first["items"] == []
        token = first["next_page_token"]
        rest = house.call("GET", "/jobs", query=f"status=in_progress&page_token={token}").json
        assert ([job["id"] for job in rest["items"]], rest["next_page_token"]) == ([running], None)

    def test_executions_of_a_job(self, house: House) -> None:
        job_id = make(house)["id"]
        assert house.call("GET", f"/jobs/{job_id}/executions").json == {"items": [], "next_page_token": None}
        house.clock.sleep_until(AT_MS)
        execution_id = fire(house, job_id)
        found = house.call("GET", f"/jobs/{job_id}/executions").json["items"]
        assert [(e["id"], e["delivery_state"]) for e in found] == [(execution_id, "completed")]

    @pytest.mark.parametrize("path", ["", "/status", "/executions"])
    @pytest.mark.parametrize("job_id", ["0" * 26, "x", "01kb0e5t0qj8z3v7m4n2x9yrsc"])
    def test_a_job_that_is_none(self, house: House, path: str, job_id: str) -> None:
        assert house.call("GET", f"/jobs/{job_id}{path}").code == "not_found"


class TestDelete:
    def test_gone_without_a_body(self, house: House) -> None:
        job_id = make(house)["id"]
        answer = house.call("DELETE", f"/jobs/{job_id}")
        assert (answer.status, answer.body) == (204, b"")
        assert house.call("GET", f"/jobs/{job_id}").status == 404
        assert house.call("DELETE", f"/jobs/{job_id}").status == 404
        assert listed(house, "pending") == []

    def test_if_match(self, house: House) -> None:
        made = make(house)
        path = f"/jobs/{made['id']}"
        assert house.call("DELETE", path, headers={"If-Match": '"01KB0E5T0QJ8Z3V7M4N2X9YRSC"'}).status == 412
        assert house.call("DELETE", path, headers={"If-Match": f'"{made["version"]}"'}).status == 204


class TestCancel:
    def test_a_pending_job_never_fires(self, house: House) -> None:
        job_id = make(house)["id"]
        answer = house.call("POST", f"/jobs/{job_id}/cancel", {"reason": "obsolete"})
        assert answer.status == 200
        assert (answer.json["status"], answer.json["reason"]) == ("cancelled", "obsolete")
        assert "next_run_unix_ms" not in answer.json
        assert (listed(house, "cancelled"), listed(house, "pending")) == ([job_id], [])
        assert house.call("GET", f"/api/v1/schedules/{job_id}").json["state"] == "paused"
        assert house.call("POST", f"/jobs/{job_id}/cancel").code == "not_cancellable"

    def test_without_a_body(self, house: House) -> None:
        assert house.call("POST", f"/jobs/{make(house)['id']}/cancel").json["status"] == "cancelled"

    def test_a_running_job_and_its_late_answer(self, house: House) -> None:
        job_id = make(house, RECURRENTE)["id"]
        house.clock.advance(1)
        execution_id = run(house, job_id)
        assert house.call("POST", f"/jobs/{job_id}/cancel", {"reason": "stop"}).json["status"] == "cancelled"
        execution = house.call("GET", f"/api/v1/executions/{execution_id}").json
        assert execution["delivery_state"] == "cancelled"
        assert execution["history"][-1]["reason"] == "stop"
        assert house.call("POST", f"/api/v1/executions/{execution_id}:complete").code == "not_accepted"
        assert listed(house, "cancelled") == [job_id]
        assert listed(house, "in_progress") == []

    @pytest.mark.parametrize("outcome", ["completed", "failed"])
    def test_what_is_over_cannot_be(self, house: House, outcome: str) -> None:
        job_id = make(house)["id"]
        house.clock.sleep_until(AT_MS)
        fire(house, job_id, outcome, error_type="http_error", error="x")
        answer = house.call("POST", f"/jobs/{job_id}/cancel")
        assert (answer.status, answer.code) == (409, "not_cancellable")
        assert status_of(house, job_id)["status"] == outcome

    def test_a_recurring_job_between_its_runs(self, house: House) -> None:
        job_id = make(house, RECURRENTE)["id"]
        house.clock.advance(300_000)
        fire(house, job_id)
        assert house.call("POST", f"/jobs/{job_id}/cancel").json["status"] == "cancelled"
        assert listed(house, "cancelled") == [job_id]

    def test_resuming_takes_it_up_again(self, house: House) -> None:
        job_id = make(house)["id"]
        house.call("POST", f"/jobs/{job_id}/cancel")
        assert house.call("POST", f"/api/v1/schedules/{job_id}:resume").status == 200
        assert status_of(house, job_id)["status"] == "pending"
        assert (listed(house, "cancelled"), listed(house, "pending")) == ([], [job_id])


class Watched:
    """A queue that remembers what was sent."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.sent: list[queue_messages.Message] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, messages: Sequence[Outgoing]) -> None:
        self.sent += [outgoing.message for outgoing in messages]
        self._inner.send(messages)


def limit(house: House, jobs: int | None = None, memory: int | None = None) -> None:
    config = replace(house.services.config, job_limit=jobs, memory_limit_bytes=memory)
    house.services = replace(house.services, config=config)


class TestCapacity:
    def test_the_eleventh_of_ten_is_refused_and_nothing_is_written(self, house: House) -> None:
        limit(house, 10)
        for _ in range(5):
            make(house)
            house.make()
        queue = Watched(house.services.queue)
        house.services = replace(house.services, queue=queue)
        for path, body in (("/jobs", UNICO), ("/api/v1/schedules", RATE | {"name": "n"})):
            answer = house.call("POST", path, body)
            assert (answer.status, answer.code) == (507, "capacity_exhausted")
        assert len(house.call("GET", "/jobs").json["items"]) == 10
        assert queue.sent == []
        assert house.services.stores.schedules.named("default", [("anonymous", "n")]) == {}
        assert capacity.used(house.services).jobs == 10

    def test_a_refused_call_leaves_its_idempotency_key_free(self, house: House) -> None:
        limit(house, 1)
        kept = make(house)["id"]
        assert house.call("POST", "/jobs", UNICO, headers={"Idempotency-Key": "k"}).status == 507
        house.call("DELETE", f"/jobs/{kept}")
        assert house.call("POST", "/jobs", UNICO, headers={"Idempotency-Key": "k"}).status == 201

    def test_deleting_and_cancelling_make_room(self, house: House) -> None:
        limit(house, 2)
        a, b = make(house)["id"], make(house)["id"]
        assert house.call("POST", "/jobs", UNICO).status == 507
        house.call("DELETE", f"/jobs/{a}")
        house.call("POST", f"/jobs/{b}/cancel")
        assert capacity.used(house.services) == Used(0, 0)
        assert [house.call("POST", "/jobs", UNICO).status for _ in range(3)] == [201, 201, 507]
        assert house.call("POST", f"/api/v1/schedules/{b}:resume").code == "capacity_exhausted"
        assert status_of(house, b)["status"] == "cancelled"

    def test_what_has_completed_makes_room_when_it_is_needed(self, house: House) -> None:
        limit(house, 1)
        soon = make(house, timestamp="2026-11-21T09:20:05Z")["id"]
        assert house.call("POST", "/jobs", UNICO).status == 507
        house.clock.advance(5000)
        fire(house, soon)
        assert house.call("POST", "/jobs", UNICO).status == 201
        assert state_of(house, soon).counted == -1
        assert capacity.used(house.services).jobs == 1

    def test_bringing_a_completed_one_back_needs_room(self, house: House) -> None:
        limit(house, 1)
        soon = make(house, timestamp="2026-11-21T09:20:05Z")["id"]
        house.clock.advance(5000)
        fire(house, soon)
        house.clock.advance(1)
        other = make(house)["id"]
        path, later = f"/api/v1/schedules/{soon}", {"expr": "at:2026-11-22T10:00:00Z"}
        assert house.call("PATCH", path, later).code == "capacity_exhausted"
        assert house.call("PATCH", path, {"name": "kept"}).status == 200, "it still has nothing to do"
        house.call("DELETE", f"/jobs/{other}")
        assert house.call("PATCH", path, later).status == 200
        assert capacity.used(house.services).jobs == 1

    def test_memory_is_what_schedules_weigh(self, house: House) -> None:
        limit(house, memory=64 * 1024)
        made = make(house, payload="x" * 40_000)
        answer = house.call("POST", "/jobs", UNICO | {"payload": "x" * 40_000})
        assert (answer.status, answer.code) == (507, "capacity_exhausted")
        assert house.call("PATCH", f"/api/v1/schedules/{made['id']}", {"payload": "x" * 65_000}).status == 507
        assert house.call("PATCH", f"/api/v1/schedules/{made['id']}", {"payload": "x"}).status == 200
        make(house, payload="x" * 40_000)
        used = capacity.used(house.services)
        assert used.jobs == 2
        assert 42_000 < used.weight_bytes < 64 * 1024

    def test_pausing_and_naming_change_no_count(self, house: House) -> None:
        limit(house, 3)
        schedule_id = house.make()["id"]
        before = capacity.used(house.services)
        for verb in (":pause", ":resume"):
            assert house.call("POST", f"/api/v1/schedules/{schedule_id}{verb}").status == 200
        assert capacity.used(house.services) == before

    def test_schedules_from_before_there_was_a_limit_count_too(self, house: House) -> None:
        old = [house.make()["id"] for _ in range(3)]
        limit(house, 4)
        assert [house.call("POST", "/jobs", UNICO).status for _ in range(2)] == [201, 507]
        house.call("DELETE", f"/jobs/{old[0]}")
        assert house.call("POST", "/jobs", UNICO).status == 201
        assert capacity.used(house.services).jobs == 4


class TestHealth:
    def well(self, house: House) -> None:
        every = [HeldShard(shard, 1) for shard in range(house.services.config.shards)]
        assert not stamp_swept(house.services, every)

    def test_numbers(self, house: House) -> None:
        limit(house, 5, 1 << 20)
        job_id = make(house, RECURRENTE)["id"]
        house.clock.sleep_until(NOW_MS + 300_000)
        fire(house, job_id)
        self.well(house)
        found = house.call("GET", "/health").json
        assert (found["status"], found["role"]) == ("ok", "api")
        assert found["zone_data"] == house.services.config.zone_data
        assert found["jobs"] == {"count": 1, "limit": 5}
        used = capacity.used(house.services).weight_bytes
        assert found["memory"] == {
            "used_bytes": used,
            "limit_bytes": 1 << 20,
            "utilization_percent": round(100 * used / (1 << 20), 2),
        }
        assert found["executions"] == {"total": 1, "failed": 0, "failure_ratio": 0.0}

    def test_without_limits(self, house: House) -> None:
        self.well(house)
        found = house.call("GET", "/health").json
        assert found["jobs"] == {"count": 0, "limit": None}
        assert found["memory"] == {"used_bytes": 0, "limit_bytes": None, "utilization_percent": 0.0}

    @pytest.mark.parametrize(("failed", "status"), [(0, "ok"), (1, "ok"), (2, "degraded")])
    def test_degraded_above_the_threshold(self, house: House, failed: int, status: str) -> None:
        for n in range(10):
            job_id = make(house, RECURRENTE)["id"]
            fire(house, job_id, "failed" if n < failed else "completed", NOW_MS - 1000 * n)
        self.well(house)
        found = house.call("GET", "/health").json
        assert (found["status"], found["executions"]) == (
            status,
            {"total": 10, "failed": failed, "failure_ratio": failed / 10},
        )

    def test_what_is_over_an_hour_ago_no_longer_counts(self, house: House) -> None:
        fire(house, make(house, RECURRENTE)["id"], "failed")
        house.clock.advance(3_700_000)
        self.well(house)
        assert house.call("GET", "/health").json["executions"]["failed"] == 0


class TestJoin:
    def test_a_node_is_kept_by_its_lease(self, house: House) -> None:
        body = {"node_id": "worker-7", "address": "10.0.0.7:7000"}
        first = house.call("POST", "/join", body)
        assert first.status == 200
        assert first.json == body | {
            "fencing_token": 1,
            "expires_at_unix_ms": NOW_MS + NODE_JOIN_TTL_MS,
        }
        [shown] = house.call("GET", "/debug/cluster").json["nodes"]
        assert (shown["node_id"], shown["address"]) == ("worker-7", "10.0.0.7:7000")
        house.clock.advance(NODE_JOIN_TTL_MS - 1)
        again = house.call("POST", "/join", body | {"address": "10.0.0.8:7000"}).json
        assert house.call("GET", "/debug/cluster").json["nodes"][0]["address"] == "10.0.0.8:7000"
        assert (again["fencing_token"], again["address"]) == (1, "10.0.0.8:7000")
        house.clock.advance(NODE_JOIN_TTL_MS + 1)
        assert house.call("GET", "/debug/cluster").json["nodes"] == []
        assert house.call("POST", "/join", body).json["fencing_token"] == 1

    def test_it_owns_no_shard_and_is_nobodys_lease(self, house: House) -> None:
        house.call("POST", "/join", {"node_id": "n", "address": "a"})
        assert {s["owner"] for s in house.call("GET", "/debug/cluster").json["shards"]} == {None}
        assert house.call("GET", "/api/v1/leases").json["items"] == []


class TestLogs:
    def test_lines_in_the_order_of_their_writing(self, house: House) -> None:
        path = f"/api/v1/executions/{house.fire()}/logs"
        assert house.call("GET", path).json == {"items": [], "next_page_token": None}
        first = house.call("POST", path, {"message": "began"})
        assert (first.status, first.json) == (201, {"at_unix_ms": NOW_MS, "level": "info", "message": "began"})
        house.clock.advance(5)
        second = house.call("POST", path, {"message": "ä\n", "level": "error"}).json
        assert house.call("GET", path).json["items"] == [first.json, second]
        page = house.call("GET", path, query="limit=1").json
        rest = house.call("GET", path, query=f"limit=1&page_token={page['next_page_token']}").json
        assert (page["items"], rest["items"]) == ([first.json], [second])

    def test_bounded(self, house: House) -> None:
        execution_id = house.fire()
        path = f"/api/v1/executions/{execution_id}/logs"
        last = LogLine(LOG_LINES_MAX - 1, NOW_MS, "info", "the last but one")
        assert house.services.stores.logs.append(house.execution(execution_id).key, last)
        assert house.call("POST", path, {"message": "x"}).status == 201
        answer = house.call("POST", path, {"message": "x"})
        assert (answer.status, answer.code) == (409, "log_full")

    def test_of_nothing(self, house: House) -> None:
        for method, body in (("GET", None), ("POST", {"message": "x"})):
            assert house.call(method, f"/api/v1/executions/{'0' * 26}-1/logs", body).code == "not_found"

    def test_idempotent(self, house: House) -> None:
        path = f"/api/v1/executions/{house.fire()}/logs"
        for _ in range(2):
            assert house.call("POST", path, {"message": "x"}, headers={"Idempotency-Key": "k"}).status == 201
        assert len(house.call("GET", path).json["items"]) == 1


def test_slot_gap_is_the_span_of_a_message(house: House) -> None:
    # Two minutes in messages of that span. The first is shorter, by schedule: at 10 s that makes one more.
    for gap_ms, messages in ((10_000, 13), (2_000, 60)):
        house.services = replace(house.services, config=replace(house.services.config, slot_gap_ms=gap_ms))
        queue = Watched(house.services.queue)
        house.services = replace(house.services, queue=queue)
        house.make(expr="rate:1s")
        spans = [
            m.firings[-1].due_ms - m.firings[0].due_ms for m in queue.sent if isinstance(m, queue_messages.Firings)
        ]
        assert len(queue.sent) == messages
        assert max(spans) < gap_ms
