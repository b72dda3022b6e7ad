"""Policies on the real dev server: what one denies is refused, and a firing that was on its way is not sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.scripted import Scripted

HTTPS = {
    "name": "https",
    "condition": {"field": "webhook.url", "operator": "starts_with", "value": "https://"},
    "action": "deny",
    "message": "use HTTPS",
}
POLICY = "/api/v1/policies/https-only"


@pytest.fixture
def policy(server: DevServer) -> Iterator[Callable[[], int]]:
    """Makes the policy, and says when that was answered (unix milliseconds)."""

    def make() -> int:
        assert server.call("PUT", POLICY, {"rules": [HTTPS]})[0] == 201
        return time.time_ns() // 1_000_000

    yield make
    server.call("DELETE", POLICY)


def test_a_policy_made_after_the_schedule_stops_every_firing_after_its_answer(
    server: DevServer, scripted: Callable[..., Scripted], policy: Callable[[], int]
) -> None:
    hook = scripted(lambda _: (200, 0.0, {}))
    beat = server.create(type="RATE", expr="rate:1s", target=hook.target())["id"]
    wait_for("the first firings", lambda: len(hook.calls) >= 2, 30.0)
    answered_ms = policy()

    def rejected() -> list[int]:
        found = server.executions(beat)
        return [at for at, e in found.items() if e["delivery_state"] == "failed" and at > answered_ms]

    wait_for("three to be rejected", lambda: len(rejected()) >= 3, 30.0)
    # Those of before may have been under way: after a stall of the machine that is more than one.
    assert not [c for c in hook.calls if int(c.event["id"].split("-")[1]) > answered_ms]
    for at, one in server.executions(beat).items():
        if answered_ms < at <= max(rejected()):
            assert one["attempts"][-1]["error_type"] == "rejected"
            assert one["error"] == "policy https-only, rule https: use HTTPS"
    _, ledger = server.call("GET", f"/api/v1/schedules/{beat}/ledger")
    assert any("https-only" in (line.get("reason") or "") for line in ledger["items"])
    status, refused = server.call("POST", f"/api/v1/schedules/{beat}:trigger")
    assert (status, refused["code"], refused["violations"][0]["policy"]) == (403, "policy_denied", "https-only")
    assert server.call("DELETE", POLICY)[0] == 200
    calls = len(hook.calls)
    wait_for("firings to go on", lambda: len(hook.calls) > calls, 30.0)
    server.call("DELETE", f"/api/v1/schedules/{beat}")
