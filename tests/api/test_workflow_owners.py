"""Workflows and runs of other owners and tenants: what is hidden looks missing; who is asked at a gate sees its run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.callers import Everybody, who
from tests.kit.house import House
from tests.kit.workflow_calls import ALL, GATE, LINE, RUNS, TRIGGER, edges, publish, settle, start


def act(house: House, subject: str, role: str = "user", tenant: str = "default") -> House:
    house.authenticator = Everybody(who(subject, role, tenant=tenant))
    return house


CALLS: list[tuple[str, str, Any]] = [
    ("GET", f"{ALL}/w", None),
    ("PUT", f"{ALL}/w", LINE),
    ("DELETE", f"{ALL}/w", None),
    ("GET", f"{ALL}/w/versions/1", None),
    ("POST", f"{ALL}/w:start", {}),
    ("POST", f"{ALL}:test", {"workflow": "w"}),
    ("GET", f"{ALL}/w:export", None),
    ("GET", f"{RUNS}/r", None),
    ("GET", f"{RUNS}/r/events", None),
    ("POST", f"{RUNS}/r:cancel", {}),
    ("POST", f"{RUNS}/r:redrive", {}),
    ("POST", f"{RUNS}/r/nodes/g:approve", {"nonce": "x"}),
    ("POST", f"{RUNS}/r/nodes/g:reject", {"nonce": "x"}),
    ("POST", f"{RUNS}/r/nodes/g:complete", {}),
    ("POST", f"{RUNS}/r/nodes/g:fail", {"error": "x"}),
]


@pytest.fixture
def house() -> House:
    """Bob's workflow, and a run of it that waits for Ann or Bob."""
    made = act(House(), "bob")
    publish(made, nodes=[TRIGGER, GATE], edges=edges(("t", "g")))
    start(made, run_id="r")
    return made


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
@pytest.mark.parametrize("who_asks", [("eve", "user", "default"), ("bob", "user", "other"), ("ada", "admin", "other")])
def test_what_another_has_looks_missing(
    house: House, who_asks: tuple[str, str, str], method: str, path: str, body: Any
) -> None:
    answer = act(house, *who_asks).call(method, path, body)
    assert (answer.status, answer.code) == (404, "not_found")
    run = act(house, "bob").call("GET", f"{RUNS}/r").json
    assert (run["state"], run["events"]) == ("waiting", 5)


def test_lists_show_ones_own(house: House) -> None:
    assert act(house, "eve").call("GET", ALL).json["items"] == []
    assert house.call("GET", RUNS).json["items"] == []
    assert len(act(house, "vic", "viewer").call("GET", RUNS).json["items"]) == 1
    assert act(house, "ada", "admin", "other").call("GET", RUNS).json["items"] == []


def test_who_started_a_run_may_not_decide_and_who_is_asked_may(house: House) -> None:
    shown = house.call("GET", f"{RUNS}/r").json["nodes"]["g"]["approval"]
    assert "nonce" not in shown, "bob may not decide, so he is not told the nonce"
    nonce = act(house, "ann").call("GET", f"{RUNS}/r").json["nodes"]["g"]["approval"]["nonce"]
    path = f"{RUNS}/r/nodes/g:approve"
    refused = act(house, "bob").call("POST", path, {"nonce": nonce})
    assert (refused.status, refused.code) == (403, "self_approval")
    assert act(house, "opal", "operator").call("POST", path, {"nonce": nonce}).status == 403
    assert act(house, "ann", "viewer").call("POST", path, {"nonce": nonce}).status == 403
    done = act(house, "ann").call("POST", path, {"nonce": nonce})
    assert (done.status, done.json["state"]) == (200, "completed")
    settle(house)
