"""Backpressure on the real dev server: one owner's herd beside another's firings, and limits that hold."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import pytest

from chalicelib.core.instants import to_rfc3339
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.paced_receiver import PacedReceiver

HERD = 1_000
BATCH = 100
BESIDE = 20  # firings of the other owner: one at the herd's instant, the others every 50 ms after it
EVERY_MS = 50
MOST_LATER_MS = 100  # how much later a herd may make another owner's firings, on a machine that does nothing else
LIMITED = 12  # firings to each of two destinations under a limit of two
SLOW_MS = 150


@pytest.fixture
def new_receiver() -> Iterator[Callable[[int], PacedReceiver]]:
    """Makes receivers that end with the test."""
    made: list[PacedReceiver] = []

    def make(delay_ms: int) -> PacedReceiver:
        made.append(PacedReceiver(delay_ms))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


def create_all(server: DevServer, owner: str, target: dict[str, str], instants: Sequence[int]) -> list[str]:
    """AT schedules, one for each instant; their ids."""
    ids, one = [], {"type": "AT", "owner": owner, "target": target}
    for start in range(0, len(instants), BATCH):
        new = [
            {"op": "create", "schedule": {**one, "expr": f"at:{to_rfc3339(at_ms)}"}}
            for at_ms in instants[start : start + BATCH]
        ]
        status, answer = server.call("POST", "/api/v1/schedules:batch", {"operations": new})
        assert status == 200, answer
        ids += [item["id"] for item in answer["items"]]
    return ids


def lateness(told: dict[str, Any], ids: Sequence[str]) -> list[float]:
    """How long after its instant each firing arrived, in the order of instants."""
    wanted = set(ids)
    found = [(int(event.split("-")[1]), at_ms) for event, at_ms in told["arrived"] if event.split("-")[0] in wanted]
    return [at_ms - instant for instant, at_ms in sorted(found)]


def arrived(receiver: PacedReceiver, count: int, timeout_s: float) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = receiver.told()
        return told if len(told["arrived"]) >= count else None

    found = wait_for(f"{count} firings", look, timeout_s)
    assert found is not None
    return found


def others_at_work() -> float:
    """How many processes of others wait for each core: so much slower than alone everything is."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def test_a_herd_of_one_owner_does_not_delay_another(
    new_server: Callable[..., DevServer], new_receiver: Callable[[int], PacedReceiver]
) -> None:
    most_later_ms = MOST_LATER_MS * (1 + others_at_work())
    server, slow, other = new_server(), new_receiver(50), new_receiver(0)
    server.start()

    def beside(from_ms: int) -> list[str]:
        return create_all(server, "bee", other.target(), [from_ms + EVERY_MS * n for n in range(BESIDE)])

    alone = beside(int(time.time() * 1000) + 9_000)
    told = arrived(other, BESIDE, 20)
    without = lateness(told, alone)
    at_ms = int(time.time() * 1000) + 30_000
    herd = create_all(server, "ann", slow.target(), [at_ms] * HERD)
    with_herd = beside(at_ms)
    assert time.time() * 1000 < at_ms - 7_000, "the herd was not created in time"
    time.sleep(max(0.0, at_ms / 1000 + 2 - time.time()))
    told = arrived(other, 2 * BESIDE, 20)
    beside_herd = lateness(told, with_herd)
    herd_ms = lateness(arrived(slow, HERD, 30), herd)
    print(
        f"\nbeside nothing: median {median(without):.1f} ms, max {max(without):.1f} ms\n"
        f"beside a herd of {HERD}: median {median(beside_herd):.1f} ms, max {max(beside_herd):.1f} ms: "
        f"{[round(late_ms) for late_ms in beside_herd]}\nthe herd's last: {max(herd_ms):.0f} ms"
    )
    assert len(beside_herd) == BESIDE
    assert max(beside_herd) - median(without) <= most_later_ms
    time.sleep(1)
    counts = Counter(event for event, _ in slow.told()["arrived"] + other.told()["arrived"])
    assert set(counts.values()) == {1}
    assert len(counts) == HERD + 2 * BESIDE


@pytest.mark.parametrize("setting", ["CHRONO_MAX_INFLIGHT_PER_TARGET", "CHRONO_MAX_INFLIGHT_PER_OWNER"])
def test_a_limit_of_two_is_never_three(
    setting: str, new_server: Callable[..., DevServer], new_receiver: Callable[[int], PacedReceiver]
) -> None:
    server, slow = new_server(env={setting: "2"}), new_receiver(SLOW_MS)
    server.start()
    at_ms = int(time.time() * 1000) + 8_000
    one = slow.target()
    # Two names of one receiver are two destinations: an owner's limit holds over both.
    other = one if setting.endswith("TARGET") else {**one, "url": one["url"].replace("127.0.0.1", "localhost")}
    ids = [i for target in (one, other) for i in create_all(server, "ann", target, [at_ms] * LIMITED)]
    assert time.time() * 1000 < at_ms - 2_000, "they were not created in time"
    told = arrived(slow, 2 * LIMITED, 30)
    time.sleep(1)
    told = slow.told()
    assert told["most_at_once"] == 2
    assert sorted(event.split("-")[0] for event, _ in told["arrived"]) == sorted(ids)
    late_ms = lateness(told, ids)
    print(f"\n{setting}=2: {2 * LIMITED} firings of {SLOW_MS} ms, the last began after {late_ms[-1]:.0f} ms")
    assert late_ms[-1] >= (LIMITED - 1) * SLOW_MS
    runs = [server.executions(i)[at_ms] for i in ids]
    assert {(run["delivery_state"], run["attempt"]) for run in runs} == {("completed", 1)}
