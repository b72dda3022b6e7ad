"""What happens after the firing, on the real dev server: error classes and cancel."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.fired import execution, fire, over
from tests.e2e.scripted import Scripted
from tests.kit.ports import free_port


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
    # A call that takes long is in progress too, before its answer: only a report shows that the target has accepted.
    wait_for("it to be accepted", lambda: server.call("POST", f"/api/v1/executions/{running}:heartbeat")[0] == 200)
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
