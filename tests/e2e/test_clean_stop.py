"""One of two workers stops, again and again: what it had claimed comes at its instant from the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.busy import others_at_work
from tests.e2e.dev_server import DevServer, is_alive, wait_for
from tests.e2e.receiver import Receiver

NewServer = Callable[..., DevServer]

STOPS = 3
BETWEEN_S = 6.0
LEASE_MS = 2_500  # so late it came when its claims were left to their leases
LATE_MOST_MS = 1_000


@pytest.mark.long
@pytest.mark.slow
def test_what_a_stopped_worker_had_claimed_comes_in_time(new_server: NewServer, receiver: Receiver) -> None:
    first = new_server()
    first.start()
    second = new_server(env={"AWS_ENDPOINT_URL": first.endpoint})
    second.start()
    beats = [first.create(type="RATE", expr="rate:1s", target=receiver.target()) for _ in range(4)]
    wait_for("firings", lambda: all(len(receiver.of(beat)) >= 3 for beat in beats))
    for _ in range(STOPS):
        time.sleep(BETWEEN_S)
        worker = second.pids()["worker"]
        os.kill(worker, signal.SIGTERM)
        wait_for("the worker's end", lambda pid=worker: not is_alive(pid))
    time.sleep(BETWEEN_S)
    most_ms = min(LATE_MOST_MS * (1 + others_at_work()), LEASE_MS - 100)
    latest_ms = 0.0
    for beat in beats:
        came = {each.instant_ms: each.at_ms for each in reversed(receiver.of(beat))}
        counted = receiver.counts(beat)
        last = max(came) - int(most_ms)
        owed = range(min(came), last, 1000)
        assert set(owed) <= set(came)
        assert all(counted[at] == 1 for at in owed), "each once"
        late = {at: came[at] - at for at in owed}
        latest_ms = max(latest_ms, *late.values())
    print(f"{STOPS} stops: the latest came {latest_ms:.0f} ms late")
    assert latest_ms <= most_ms
