"""An outage of a minute and a half: what is late is delivered at the allowed rate, what is too late is missed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.scripted import Scripted

RATE_MS = 1_000


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(500)  # it takes three minutes by itself
def test_ninety_seconds_without_anybody(
    new_server: Callable[..., DevServer], aws: str, scripted: Callable[..., Scripted], stalls: StallMeter
) -> None:
    hook = scripted(lambda _: (204, 0.0, {}))
    server = new_server(env={"AWS_ENDPOINT_URL": aws})
    server.start()
    beat = server.create(type="RATE", expr="rate:1s", target=hook.target())
    wait_for("some firings", lambda: len(hook.calls) >= 5)
    server.kill_all()
    stopped_ms = time.time() * 1000
    time.sleep(90)  # the silence itself is what is tested
    started_ms = time.time() * 1000
    server.start()
    wait_for("what is late", lambda: _is_caught_up(server, beat["id"], int(started_ms)), 150.0)
    found = server.executions(beat["id"])
    silent = {at: e for at, e in found.items() if stopped_ms < at <= started_ms}
    missed = [at for at, e in silent.items() if e["delivery_state"] == "missed"]
    # What had been claimed before the kill, a message's span at most, is taken up at once: the rest waits for slots.
    claimed_ms = stopped_ms + MESSAGE_SPAN_MS
    paced = [c for c in hook.calls if int(c.event["id"].split("-")[1]) > claimed_ms]
    instants = [(c.at_ms, int(c.event["id"].split("-")[1])) for c in paced]
    late = [at_ms for at_ms, due_ms in instants if at_ms - due_ms > 2_000 + stalls.stalled_ms(due_ms, at_ms)]
    most = max(sum(start <= at < start + 60_000 for at in late) for start in late)
    delayed = math.ceil(stalls.stalled_ms(started_ms) / 1000)  # what a stall held up comes at once with what follows
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
    assert 45 <= most <= 61 + delayed  # one a second, and a fence-post


def _is_caught_up(server: DevServer, schedule_id: str, until_ms: int) -> bool:
    found = server.executions(schedule_id)
    open_ = [e for at, e in found.items() if at <= until_ms and e["delivery_state"] in ("pending", "in_progress")]
    if not found or open_ or max(found) <= until_ms:
        return False
    return set(range(min(found), until_ms, RATE_MS)) <= set(found)  # what is claimed alone has no record yet
