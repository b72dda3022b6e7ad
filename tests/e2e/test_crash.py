"""``kill -9`` in the middle of deliveries, and several servers over one emulator: nothing lost, nothing doubled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

NewServer = Callable[..., DevServer]

# An attempt whose worker was killed is protected for its lease, and found by the reconcile after that; messages that
# were received are hidden for as long as their function may run.
RECOVERY_S = 150.0
RUNS = 12


@pytest.mark.long
@pytest.mark.slow
def test_each_owed_instant_succeeds_once_although_everything_but_aws_was_killed(
    new_server: NewServer, aws: str, receiver: Receiver
) -> None:
    server = new_server(env={"AWS_ENDPOINT_URL": aws})
    server.start()
    receiver.delay_s = 0.5  # so that deliveries are under way whenever the kill comes
    beats = [
        server.create(
            type="RATE",
            expr="rate:1s",
            max_runs=RUNS,
            target=receiver.target(),
            catch_up_window_ms=600_000,
            retry_policy={"max_attempts": 10, "backoff": "fixed", "base_ms": 100, "max_ms": 100, "jitter": False},
        )
        for _ in range(4)
    ]
    wait_for("deliveries under way", lambda: all(len(receiver.of(beat)) >= 3 for beat in beats))
    server.kill_all()
    server.start()
    for beat in beats:
        owed = {beat["created_at_unix_ms"] + 1000 * run for run in range(1, RUNS + 1)}
        done = wait_for("every instant to be over", _all_over(server, beat, owed), RECOVERY_S)
        assert {instant: e["delivery_state"] for instant, e in done.items()} == dict.fromkeys(owed, "completed")
        for execution in done.values():
            assert Counter(attempt["outcome"] for attempt in execution["attempts"])["completed"] == 1
        assert set(receiver.counts(beat)) == owed


def _all_over(
    server: DevServer, beat: dict[str, Any], owed: set[int]
) -> Callable[[], dict[int, dict[str, Any]] | None]:
    def look() -> dict[int, dict[str, Any]] | None:
        time.sleep(0.5)
        found = server.executions(beat["id"])
        over = all(e["delivery_state"] not in ("pending", "in_progress") for e in found.values())
        return found if over and set(found) >= owed else None

    return look


def test_two_servers_over_one_emulator_double_nothing(new_server: NewServer, receiver: Receiver) -> None:
    first = new_server()
    first.start()
    second = new_server(env={"AWS_ENDPOINT_URL": first.endpoint})
    second.start()
    assert "emulator" not in second.pids()
    beats = [
        server.create(type="RATE", expr="rate:1s", target=receiver.target()) for server in (first, second) for _ in "ab"
    ]
    wait_for("five firings of each", lambda: all(len(receiver.counts(beat)) >= 5 for beat in beats))
    for beat in beats:
        assert set(receiver.counts(beat).values()) == {1}
        shown = [server.call("GET", f"/api/v1/schedules/{beat['id']}")[0] for server in (first, second)]
        assert shown == [200, 200]
    last = {beat["id"]: max(receiver.counts(beat)) for beat in beats}
    second.stop()
    wait_for("the other to go on", lambda: all(max(receiver.counts(b)) > last[b["id"]] + 3000 for b in beats), 40)
