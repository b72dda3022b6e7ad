"""Backpressure on the real dev server: limits that hold. ``test_timing.py`` has the herd beside another's firings."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.dev_server import DevServer
from tests.e2e.herd import arrived, create_all
from tests.e2e.paced_receiver import PacedReceiver

LIMITED = 12  # firings to each of two destinations under a limit of two
SLOW_MS = 150


@pytest.mark.parametrize("setting", ["CHRONO_MAX_INFLIGHT_PER_TARGET", "CHRONO_MAX_INFLIGHT_PER_OWNER"])
def test_a_limit_of_two_is_never_three(
    setting: str, new_server: Callable[..., DevServer], new_receiver: Callable[[int], PacedReceiver]
) -> None:
    server, slow = new_server(env={setting: "2"}), new_receiver(SLOW_MS)
    server.start()
    at_ms = int(time.time() * 1000) + 20_000  # they are made in less than 2 s, but not where the machine stalls
    one = slow.target()
    # Two names of one receiver are two destinations: an owner's limit holds over both.
    other = one if setting.endswith("TARGET") else {**one, "url": one["url"].replace("127.0.0.1", "localhost")}
    ids = [i for target in (one, other) for i in create_all(server, "ann", target, [at_ms] * LIMITED)]
    assert time.time() * 1000 < at_ms - 2_000, "they were not created in time"
    told = arrived(slow, 2 * LIMITED, 45)
    time.sleep(1)
    told = slow.told()
    assert told["most_at_once"] == 2
    assert sorted(event.split("-")[0] for event, _ in told["arrived"]) == sorted(ids)
    last_ms = max(ms for _, ms in told["arrived"]) - at_ms
    print(f"\n{setting}=2: {2 * LIMITED} firings of {SLOW_MS} ms, the last began after {last_ms:.0f} ms")
    assert last_ms >= (LIMITED - 1) * SLOW_MS
    runs = [server.executions(i)[at_ms] for i in ids]
    assert {(run["delivery_state"], run["attempt"]) for run in runs} == {("completed", 1)}
