from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.api.http.connection import CallerConnection, EventSource
from chalicelib.api.http.edge import Asked
from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.changes.limits import CHANGES_TAIL_POLL_MS, FEED_HEARTBEAT_MS
from chalicelib.workers import changes
from tests.kit.callers import Everybody, who
from tests.kit.conformance import conforms
from tests.kit.house import Answer, House

TASKS = "/api/tasks"
STREAM = TASKS + "/subscribe"
DOCUMENT = House().call("GET", "/api/v1/openapi.json").json


def ask(house: House, **asked: Any) -> Answer:
    answer = house.call("GET", TASKS, query="&".join(f"{name}={value}" for name, value in asked.items()))
    conforms(DOCUMENT, TASKS, "get", answer)
    return answer


def ids(answer: Answer) -> list[str]:
    return [item["id"] for item in answer.json["items"]]


def run(house: House, outcome: str, took_ms: int = 0, **schedule: Any) -> str:
    """A task that has ended."""
    task_id = house.fire(**schedule)
    house.clock.advance(took_ms)
    house.end(task_id, outcome)
    house.clock.advance(10)
    return task_id


def test_a_task_is_an_execution_under_the_name_of_its_schedule(house: House) -> None:
    task_id = run(house, "completed", name="beat")
    named = house.execution(task_id)
    (item,) = ask(house).json["items"]
    assert (item["id"], item["name"], item["status"], item["owner"]) == (task_id, "beat", "completed", "anonymous")
    assert (item["created_at_unix_ms"], item["trace_id"]) == (named.created_ms, named.trace_id)
    assert "trace_url" not in item


def test_the_list_is_filtered(house: House) -> None:
    good, bad = run(house, "completed", name="invoice"), run(house, "failed", name="inventory")
    other = run(house, "failed", name="report")
    assert ids(ask(house)) == [other, bad, good]
    assert ids(ask(house, status="failed")) == [other, bad]
    assert ids(ask(house, name="invoice")) == [good]
    assert ids(ask(house, name="inv*")) == [bad, good]
    assert ids(ask(house, name="inv*", status="failed")) == [bad]
    assert ids(ask(house, name="inv")) == []
    assert ids(ask(house, id=good)) == [good]
    assert ids(ask(house, id=good[:26])) == [good]
    assert ids(ask(house, owner="nobody")) == []
    assert ask(house, status="unheard").fields == ["status"]
    assert ask(house, sort="color").fields == ["sort"]


@pytest.mark.parametrize(
    "sort", ["name", "-name", "duration_ms", "-duration_ms", "status", "-id", "-created_at_unix_ms"]
)
def test_a_sorted_list_is_in_order_page_by_page(house: House, sort: str) -> None:
    made = [
        run(house, o, took, name=n) for o, took, n in (("failed", 5, "b"), ("completed", 3, "a"), ("failed", 9, "c"))
    ]
    made.append(house.fire())
    found: list[Any] = []
    token: str | None = ""
    while token is not None:
        answer = ask(house, sort=sort, limit=2, **({"page_token": token} if token else {})).json
        found += answer["items"]
        token = answer["next_page_token"]
        house.clock.advance(1)
        made.append(run(house, "completed", 1, name=f"later-{len(made)}"))
    field = sort.removeprefix("-")
    values = [(item.get(field) is not None, item.get(field) or 0) for item in found]
    assert values == sorted(values, reverse=sort.startswith("-"), key=lambda v: (v[0], v[1] if v[0] else 0))
    assert sorted(item["id"] for item in found) == sorted(made[:4])


def test_a_task_whole_has_its_history_logs_and_payload(house: House) -> None:
    house.services = replace(
        house.services, config=replace(house.services.config, trace_url_template="https://t.example/{trace_id}")
    )
    task_id = run(house, "failed", 40, name="beat", payload={"a": 1})
    house.call("POST", f"/api/v1/executions/{task_id}/logs", {"message": "half"})
    answer = house.call("GET", f"{TASKS}/{task_id}")
    conforms(DOCUMENT, TASKS + "/{task_id}", "get", answer)
    found = answer.json
    assert (found["payload"], found["error"], found["more_logs"]) == ({"a": 1}, "HTTP 500", False)
    assert [line["message"] for line in found["logs"]] == ["half"]
    assert [(s["from"], s["to"], s["duration_ms"]) for s in found["history"]][-1][:2] == ("in_progress", "failed")
    assert sum(s["duration_ms"] for s in found["history"]) == 40
    assert found["attempts"][0]["http_status"] == 500
    said = {"headers": {"content-type": "text/plain"}, "body": "out of order", "truncated": False}
    assert found["attempts"][0]["answer"] == said
    assert house.call("GET", f"/api/v1/executions/{task_id}").json["attempts"][0]["answer"] == said
    [listed] = house.call("GET", "/api/v1/executions").json["items"]
    assert "answer" not in listed["attempts"][0]
    assert found["trace_url"] == f"https://t.example/{found['trace_id']}"
    assert house.call("GET", f"/api/v1/executions/{task_id}").json["trace_url"] == found["trace_url"]


@pytest.mark.parametrize("task_id", ["x", "01KB0E5T0QJ8Z3V7M4N2X9YRSC-1"])
def test_what_is_no_task_is_not_found(house: House, task_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        assert house.call(method, f"{TASKS}/{task_id}{path}").status == 404


def test_a_task_is_retried_with_its_own_payload_or_another(house: House) -> None:
    task_id = run(house, "failed", payload={"a": 1})
    answer = house.call("POST", f"{TASKS}/{task_id}/retry")
    conforms(DOCUMENT, TASKS + "/{task_id}/retry", "post", answer)
    assert (answer.status, answer.json["status"]) == (200, "pending")
    assert house.execution(task_id).payload is None
    assert house.call("POST", f"{TASKS}/{task_id}/retry").code == "not_retryable"
    house.end(task_id, "failed")
    assert house.call("POST", f"{TASKS}/{task_id}/retry", {"payload": {"b": 2}}).status == 200
    assert house.execution(task_id).payload == '{"b":2}'
    house.end(task_id, "failed")
    again = house.call("POST", f"/api/v1/executions/{task_id}:retry", {"payload": None})
    assert again.status == 200
    assert house.execution(task_id).payload == "null"
    assert house.call("GET", f"{TASKS}/{task_id}").json["payload"] is None


def test_a_task_is_cancelled_once(house: House) -> None:
    task_id = house.fire()
    answer = house.call("DELETE", f"{TASKS}/{task_id}")
    conforms(DOCUMENT, TASKS + "/{task_id}", "delete", answer)
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert house.call("DELETE", f"{TASKS}/{task_id}").status == 409


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/retry"), ("DELETE", "")])
def test_a_task_that_moved_on_is_neither_retried_nor_cancelled(house: House, method: str, suffix: str) -> None:
    task_id = run(house, "failed") if suffix else house.fire()
    path = f"{TASKS}/{task_id}"
    before = house.call("GET", path)
    assert before.headers["ETag"] == house.call("GET", f"/api/v1/executions/{task_id}").headers["ETag"]
    for wrong in ('"0"', f"W/{before.headers['ETag']}", ""):
        refused = house.call(method, path + suffix, headers={"If-Match": wrong})
        assert (refused.status, refused.code) == (412, "precondition_failed"), wrong
    assert house.call("GET", path).json == before.json
    done = house.call(method, path + suffix, headers={"If-Match": before.headers["ETag"]})
    assert (done.status, done.headers["ETag"]) == (200, house.call("GET", path).headers["ETag"])
    assert house.call(method, path + suffix, headers={"If-Match": before.headers["ETag"]}).status == 412


def test_the_numbers_are_of_a_day_and_of_what_one_may_see(house: House) -> None:
    def numbers() -> dict[str, Any]:
        answer = house.call("GET", TASKS + "/metrics")
        conforms(DOCUMENT, TASKS + "/metrics", "get", answer)
        found: dict[str, Any] = answer.json
        return {name: found[name] for name in ("queued", "active", "failure_percent_24h", "mean_duration_ms_24h")}

    empty = {"queued": 0, "active": 0, "failure_percent_24h": None, "mean_duration_ms_24h": None}
    assert numbers() == empty
    for outcome in ("completed", "completed", "completed", "failed"):
        run(house, outcome)
    house.fire()
    house.accept(house.fire())
    assert numbers() == empty, "the same for five seconds"
    house.clock.advance(5_000)
    assert numbers() == {"queued": 1, "active": 1, "failure_percent_24h": 25.0, "mean_duration_ms_24h": 0.0}
    house.authenticator = Everybody(who("ann", "user"))
    assert numbers() == empty
    house.authenticator = Everybody(who("ann", "admin"))
    house.clock.advance(86_400_000)
    assert numbers() == empty, "of the last 24 hours"


# -- the stream


def record(house: House, *task_ids: str, shard: str = "s") -> None:
    """The tasks as they are now become changes."""
    first = house.services.stores.changes.head("default").last + 1
    found = [house.execution(task_id) for task_id in task_ids]
    arrived = [Arrived(first + n, "default", Change("execution", e.id, 5, e.owner, e)) for n, e in enumerate(found)]
    changes.record(house.services, shard, arrived)


def opened(house: House, query: str = "", **headers: str) -> EventSource:
    asked = Asked("GET", STREAM, query, {"accept": "text/event-stream", **headers}, b"")
    answer = house.edge.open(asked, CallerConnection())
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.source is not None
    return answer.source


def events(text: str) -> list[dict[str, str]]:
    found = []
    for part in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append(fields)
    return found


@pytest.fixture
def live(house: House) -> Iterator[EventSource]:
    source = opened(house)
    assert source.step().piece.startswith(b"retry: 1000\n\n")
    yield source
    source.close()


def read_tail(house: House) -> None:
    """Long enough that the job of the process has looked."""
    house.clock.advance(CHANGES_TAIL_POLL_MS)


def test_a_change_is_an_event_under_its_position(house: House, live: EventSource) -> None:
    read_tail(house)
    assert live.step().piece == b""
    task_id = house.fire(name="beat")
    record(house, task_id)
    read_tail(house)
    (event,) = events(live.step().piece.decode())
    assert event["event"] == "task"
    shown = json.loads(event["data"])
    assert (shown["id"], shown["name"], shown["status"]) == (task_id, "beat", "pending")
    assert event["id"] == house.call("GET", "/api/v1/changes").json["next_after"]


def test_a_subscriber_waits_for_the_bell_and_hears_it(house: House, live: EventSource) -> None:
    read_tail(house)
    step = live.step()
    assert step.wait_s == (FEED_HEARTBEAT_MS - CHANGES_TAIL_POLL_MS) / 1000
    assert step.bell is not None
    assert step.bell.number == step.heard
    record(house, house.fire())
    read_tail(house)
    assert step.bell.number != step.heard


def test_silence_is_a_heartbeat_within_fifteen_seconds(house: House, live: EventSource) -> None:
    read_tail(house)
    live.step()
    house.clock.advance(FEED_HEARTBEAT_MS)
    assert live.step().piece == b": still here\n\n"


@pytest.mark.parametrize("as_header", [True, False])
def test_an_id_goes_on_without_loss_or_repeat(house: House, as_header: bool) -> None:
    made = [house.fire() for _ in range(3)]
    record(house, *made)
    whole = house.call("GET", STREAM, query="last_event_id=" + "0" * 16).body.decode()
    first = events(whole)[0]["id"]
    source = opened(house, **({"last-event-id": first} if as_header else {"query": f"last_event_id={first}"}))
    found = [json.loads(e["data"])["id"] for e in events(source.step().piece.decode())]
    record(house, made[0])
    read_tail(house)
    read_tail(house)
    found += [json.loads(e["data"])["id"] for e in events(source.step().piece.decode())]
    assert found == [made[1], made[2], made[0]]
    source.close()


def test_where_answers_are_whole_it_says_what_there_is(house: House) -> None:
    assert events(house.call("GET", STREAM).body.decode()) == []
    record(house, house.fire(), house.fire())
    answer = house.call("GET", STREAM, headers={"Last-Event-ID": "0" * 16})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert len(events(answer.body.decode())) == 2
    assert house.call("GET", STREAM, headers={"Last-Event-ID": "x"}).fields == ["Last-Event-ID"]
    assert house.call("GET", STREAM, query="last_event_id=x").fields == ["last_event_id"]


def test_an_id_that_is_too_old_is_reset_and_goes_on_from_now(house: House) -> None:
    house.services = replace(house.services, config=replace(house.services.config, changes_retention_ms=1_000))
    record(house, house.fire())
    house.clock.advance(2_000)
    now = house.call("GET", "/api/v1/changes").json["next_after"]
    (event,) = events(house.call("GET", STREAM, query="last_event_id=" + "0" * 16).body.decode())
    assert (event["event"], event["id"]) == ("reset", now)
    assert json.loads(event["data"])["reason"] == "cursor_expired"
    assert "/api/v1/executions" in json.loads(event["data"])["detail"]


def test_one_that_is_too_slow_is_let_go_with_a_reset(house: House, live: EventSource) -> None:
    read_tail(house)
    live.step()
    (tail,) = house.services.process.change_tails.followed().values()
    tail.begin(5_000)  # as if so many had passed
    step = live.step()
    (event,) = events(step.piece.decode())
    assert (event["event"], step.wait_s) == ("reset", None)
    assert "id" not in event, "it may go on from the last id that it has"
    assert json.loads(event["data"])["reason"] == "too_slow"


def test_a_subscriber_hears_of_its_own_only_and_no_more_when_its_right_ends(house: House) -> None:
    mine, theirs = house.fire(owner="ann"), house.fire(owner="bob")
    everybody = house.authenticator = Everybody(who("ann", "user"))  # type: ignore[assignment]
    source = opened(house, f"last_event_id={'0' * 16}")
    record(house, mine, theirs, mine)
    read_tail(house)
    text = source.step().piece.decode()
    assert [json.loads(e["data"])["id"] for e in events(text)] == [mine, mine]
    assert theirs not in text
    everybody.good = False
    step = source.step()
    assert (step.piece, step.wait_s) == (b"", None)
    source.close()


def test_the_process_reads_no_more_when_its_last_subscriber_has_gone(house: House) -> None:
    source = opened(house)
    source.step()
    tails = house.services.process.change_tails
    assert set(tails.followed()) == {"default"}
    source.close()
    assert tails.followed() == {}
