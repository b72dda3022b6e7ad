"""What happens after the firing, on the real dev server: retries, time-outs, error classes, overlap, cancel, outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from tests.e2e.dev_server import DevServer, free_port, wait_for
from tests.e2e.scripted import Scripted

RATE_MS = 1_000


def fire(server: DevServer, target: dict[str, object], **fields: object) -> str:
    """A schedule that fires by hand only, fired once; the execution's id."""
    schedule = server.create(type="RATE", expr="rate:1h", target=target, **fields)
    status, answer = server.call("POST", f"/api/v1/schedules/{schedule['id']}:trigger", {})
    assert status == 202, answer
    return str(answer["execution_id"])


def execution(server: DevServer, execution_id: str) -> dict[str, Any]:
    status, found = server.call("GET", f"/api/v1/executions/{execution_id}")
    assert status == 200, found
    return dict(found)


def over(server: DevServer, execution_id: str, timeout_s: float = 20.0) -> dict[str, Any]:
    """The execution once it is over."""
    final = ("completed", "failed", "timeout", "cancelled", "skipped", "missed")

    def look() -> dict[str, Any] | None:
        found = execution(server, execution_id)
        return found if found["delivery_state"] in final else None

    found = wait_for(f"{execution_id} to end", look, timeout_s)
    assert found is not None
    return found


def test_a_receiver_that_fails_twice_gets_three_attempts_with_growing_waits(
    server: DevServer, scripted: Callable[..., Scripted]
) -> None:
    hook = scripted(lambda call: (503 if call.number < 3 else 200, 0.0, {}))
    done = over(server, fire(server, hook.target()))
    waits = [later.at_ms - earlier.at_ms for earlier, later in pairwise(hook.calls)]
    print("attempts", [a["outcome"] for a in done["attempts"]], "waits", [round(w) for w in waits])
    assert done["delivery_state"] == "completed"
    assert [(a["outcome"], a.get("http_status")) for a in done["attempts"]] == [
        ("failed", 503),
        ("failed", 503),
        ("completed", 200),
    ]
    assert 800 <= waits[0] <= 1_200
    assert 1_600 <= waits[1] <= 2_400
    assert [c.event["attempt"] for c in hook.calls] == [1, 2, 3]
    tokens = [c.event["fencingtoken"] for c in hook.calls]
    assert tokens == sorted(set(tokens))


def test_a_receiver_that_hangs_is_timed_out_and_asked_again(
    server: DevServer, scripted: Callable[..., Scripted]
) -> None:
    hook = scripted(lambda call: (200, 30.0 if call.number == 1 else 0.0, {}))
    done = over(server, fire(server, hook.target(timeout_ms=1_500)))
    first, second = done["attempts"]
    print([(a["outcome"], a.get("error_type"), a["finished_unix_ms"] - a["started_unix_ms"]) for a in done["attempts"]])
    assert (first["outcome"], first["error_type"], second["outcome"]) == ("timeout", "timeout", "completed")
    assert 1_400 <= first["finished_unix_ms"] - first["started_unix_ms"] <= 2_500
    assert wait_for("the connection to be closed", lambda: hook.calls[0].hung_up)


def test_errors_are_told_apart(server: DevServer, scripted: Callable[..., Scripted]) -> None:
    hook = scripted(lambda _: (500, 0.0, {}))
    policy = {"max_attempts": 1}
    urls = {
        "dns_error": "http://no-such-host.invalid/",
        "connection_error": f"http://127.0.0.1:{free_port()}/",
        "http_error": str(hook.target()["url"]),
    }
    ids = {kind: fire(server, {"type": "webhook", "url": url}, retry_policy=policy) for kind, url in urls.items()}
    found = {kind: over(server, execution_id, 30.0) for kind, execution_id in ids.items()}
    print({kind: (done["delivery_state"], done["attempts"][0].get("error")) for kind, done in found.items()})
    assert {kind: done["attempts"][0].get("error_type") for kind, done in found.items()} == {k: k for k in urls}
    assert {done["delivery_state"] for done in found.values()} == {"failed"}


def test_overlap_with_a_target_of_three_seconds_on_a_rate_of_one(
    server: DevServer, scripted: Callable[..., Scripted]
) -> None:
    policies = ("allow", "forbid", "replace", "queue")
    hooks = {policy: scripted(lambda _: (200, 3.0, {})) for policy in policies}
    made = {
        policy: server.create(type="RATE", expr="rate:1s", overlap=policy, max_runs=9, target=hooks[policy].target())
        for policy in policies
    }
    ended = {
        policy: wait_for(f"{policy} to be over", lambda p=policy: _all_over(server, made[p]["id"], 9), 40.0)
        for policy in policies
    }
    for policy in policies:
        states = [ended[policy][at]["delivery_state"] for at in sorted(ended[policy])]
        began = [round((c.at_ms - made[policy]["created_at_unix_ms"]) / 1000, 2) for c in hooks[policy].calls]
        print(policy, states, "began", began, "at most", _most_at_once(hooks[policy]), "at once")
    assert _most_at_once(hooks["allow"]) >= 3
    for policy in ("forbid", "queue"):
        assert _most_at_once(hooks[policy]) == 1
        states = {found["delivery_state"] for found in ended[policy].values()}
        assert states == {"completed", "skipped"}
    states = [ended["replace"][at]["delivery_state"] for at in sorted(ended["replace"])]
    assert states == ["cancelled"] * 8 + ["completed"]
    assert all(call.hung_up for call in hooks["replace"].calls[:-1])
    starts = [call.at_ms for call in hooks["queue"].calls]
    assert all(3_000 <= later - earlier <= 4_000 for earlier, later in pairwise(starts))


def _all_over(server: DevServer, schedule_id: str, count: int) -> dict[int, dict[str, Any]] | None:
    found = server.executions(schedule_id)
    done = [e for e in found.values() if e["delivery_state"] not in ("pending", "in_progress")]
    return found if len(done) == count else None


def _most_at_once(hook: Scripted) -> int:
    edges = [(call.at_ms, 1) for call in hook.calls] + [(call.ended_ms or 0.0, -1) for call in hook.calls]
    at_once = most = 0
    for _, change in sorted(edges):
        at_once += change
        most = max(most, at_once)
    return most


def test_a_running_delivery_is_cancelled_and_its_connection_closed(
    server: DevServer, scripted: Callable[..., Scripted]
) -> None:
    hook = scripted(lambda _: (200, 20.0, {}))
    running = fire(server, hook.target())
    wait_for("it to run", lambda: execution(server, running)["delivery_state"] == "in_progress")
    status, answer = server.call("POST", f"/api/v1/executions/{running}:cancel", {"reason": "enough"})
    assert (status, answer["delivery_state"]) == (200, "cancelled")
    wait_for("the connection to be closed", lambda: hook.calls[0].hung_up, 10.0)
    noted = wait_for("the note", lambda: execution(server, running)["attempts"][0].get("late_answer"))
    done = execution(server, running)
    print(done["delivery_state"], done["history"][-1], noted)
    assert noted["outcome"] == "closed"
    assert (done["delivery_state"], done["history"][-1]["reason"]) == ("cancelled", "enough")
    assert len(hook.calls) == 1


def test_a_target_that_accepted_is_told_of_the_cancel_and_its_late_report_is_noted(
    server: DevServer, scripted: Callable[..., Scripted]
) -> None:
    hook = scripted(lambda _: (202, 0.0, {"X-Chrono-Async": "true"}))
    running = fire(server, hook.target())
    wait_for("it to be accepted", lambda: execution(server, running)["delivery_state"] == "in_progress")
    assert server.call("POST", f"/api/v1/executions/{running}:cancel", {"reason": "obsolete"})[0] == 200
    wait_for("the cancel event", lambda: len(hook.calls) == 2)
    event = hook.calls[1].event
    assert (event["type"], event["data"]["execution_id"]) == ("chronowatch.cancellations.v1", running)
    status, refused = server.call("POST", f"/api/v1/executions/{running}:complete", {"result": {"rows": 1}})
    assert (status, refused["code"]) == (409, "not_accepted")
    done = execution(server, running)
    print(event["type"], event["data"], done["delivery_state"], done["attempts"])
    assert done["attempts"][0]["late_answer"]["outcome"] == "completed"
    assert done["delivery_state"] == "cancelled"
    assert "result" not in done


@pytest.mark.slow
def test_ninety_seconds_without_anybody(
    new_server: Callable[..., DevServer], scripted: Callable[..., Scripted]
) -> None:
    hook = scripted(lambda _: (204, 0.0, {}))
    server = new_server()
    server.start()
    beat = server.create(type="RATE", expr="rate:1s", target=hook.target())
    wait_for("some firings", lambda: len(hook.calls) >= 5)
    server.kill_all_but_the_emulator()
    stopped_ms = time.time() * 1000
    time.sleep(90)  # the silence itself is what is tested
    started_ms = time.time() * 1000
    server.start()
    wait_for("what is late", lambda: _is_caught_up(server, beat["id"], started_ms), 150.0)
    found = server.executions(beat["id"])
    silent = {at: e for at, e in found.items() if stopped_ms < at <= started_ms}
    missed = [at for at, e in silent.items() if e["delivery_state"] == "missed"]
    # What had been claimed before the kill, a message's span at most, is taken up at once: the rest waits for slots.
    claimed_ms = stopped_ms + MESSAGE_SPAN_MS
    paced = [c for c in hook.calls if int(c.event["id"].split("-")[1]) > claimed_ms]
    late = [c.at_ms for c in paced if c.at_ms - int(c.event["id"].split("-")[1]) > 2_000]
    most = max(sum(start <= at < start + 60_000 for at in late) for start in late)
    print(
        len(silent), "instants in the silence:", len(missed), "missed,", len(late), "late,", most, "in a minute at most"
    )
    last = max(found)
    first = min(found)
    assert sorted(found) == list(range(first, last + 1, RATE_MS))
    assert {e["delivery_state"] for e in silent.values()} == {"completed", "missed"}
    delivered = {at: e for at, e in silent.items() if e["delivery_state"] == "completed"}
    assert max(missed) < min(at for at, e in delivered.items() if e["late"] and at > claimed_ms)
    assert all(e["late"] and e["lateness_ms"] > 60_000 for at, e in delivered.items() if at <= claimed_ms)
    ids = [c.event["id"] for c in hook.calls]
    doubled = {i for i in ids if ids.count(i) > 1}
    assert all(int(i.split("-")[1]) < stopped_ms + 3_000 for i in doubled), "only what was under way at the kill"
    assert 45 <= most <= 61  # one a second, and a fence-post


def _is_caught_up(server: DevServer, schedule_id: str, until_ms: float) -> bool:
    found = server.executions(schedule_id)
    open_ = [e for at, e in found.items() if at <= until_ms and e["delivery_state"] in ("pending", "in_progress")]
    return bool(found) and max(found) > until_ms and not open_
