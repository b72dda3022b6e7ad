"""One of two workers stops, again and again: what it had claimed comes at its instant from the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.busy import StallMeter, others_at_work
from tests.e2e.dev_server import DevServer, is_alive, wait_for
from tests.e2e.receiver import Received, Receiver

NewServer = Callable[..., DevServer]

STOPS = 3
BETWEEN_S = 6.0
LEASE_MS = 2_500  # so late it came when its claims were left to their leases
LATE_MOST_MS = 1_000


@pytest.mark.long
@pytest.mark.slow
def test_what_a_stopped_worker_had_claimed_comes_in_time(
    new_server: NewServer, receiver: Receiver, stalls: StallMeter
) -> None:
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
    stopped_ms = int(time.time() * 1000)
    latest_ms = 0.0
    for beat in beats:
        first_ms = min(each.instant_ms for each in receiver.of(beat))
        owed = range(first_ms, stopped_ms, 1000)
        wait_for("all of it", lambda beat=beat, owed=owed: set(owed) <= set(receiver.counts(beat)))  # type: ignore[misc]
        came = [each for each in receiver.of(beat) if each.instant_ms in owed]
        arrived = {each.instant_ms: each.at_ms for each in reversed(came)}
        late = [at_ms - due_ms - stalls.stalled_ms(due_ms, at_ms) for due_ms, at_ms in arrived.items()]
        latest_ms = max(latest_ms, *late)
        steady = [each for each in came if not _may_be_lost(each, stalls)]
        # Left to its lease, a claim is lost and comes as attempt 2. Handed back it is no attempt.
        assert [each.event["attempt"] for each in steady] == [1] * len(steady)
        assert len({each.instant_ms for each in steady}) == len(steady), "each once"
    print(f"{STOPS} stops: the latest came {latest_ms:.0f} ms late")
    assert latest_ms <= most_ms


def _may_be_lost(received: Received, stalls: StallMeter) -> bool:
    """Whether the machine stalled while the lease of a claim ran, so that it may have been lost with no fault."""
    return stalls.stalled_ms(received.instant_ms, received.instant_ms + LEASE_MS) > LEASE_MS / 5
