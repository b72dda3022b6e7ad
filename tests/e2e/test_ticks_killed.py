"""Ticks through ``kill -9``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.bus import BusEar
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.tick_history import NANOS, TYPE, check_seconds, history, once_each

NewServer = Callable[..., DevServer]


def test_a_killed_producer_leaves_no_hole_in_the_history(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    wait_for("the first ticks", lambda: len(history(server, "second")) > 2)
    for _ in range(3):
        worker = server.pids()["worker"]
        os.kill(worker, signal.SIGKILL)
        wait_for("another worker", lambda killed=worker: server.pids().get("worker") not in (None, killed), 30)
        time.sleep(1.5)

    def newest_is_fresh() -> bool:
        return time.time_ns() - history(server, "second")[-1]["timestamp"] < 2 * NANOS

    # What the killed worker had received is its own for a while: readers see the numbers once the next ones are opened.
    wait_for("a tick of this second", newest_is_fresh, 30)
    check_seconds(history(server, "second"), 1)


@pytest.mark.long
@pytest.mark.slow
def test_what_a_killed_worker_had_in_hand_is_published_after_all_under_the_same_ids(
    new_server: NewServer, aws: str
) -> None:
    server = new_server(env={"AWS_ENDPOINT_URL": aws})
    server.start()
    ear = BusEar(server.endpoint, TYPE)
    begin = wait_for("the first ticks", lambda: history(server, "second"))[-1]["sequence"] + 3
    wait_for("a tick on the bus", lambda: any(t["sequence"] >= begin for t in once_each(ear.heard())))
    server.kill_all()
    time.sleep(3)
    server.start()
    # Messages that were received stay hidden for as long as their function may run, a minute.
    wait_for("seventy ticks", lambda: len([t for t in once_each(ear.heard()) if t["sequence"] >= begin]) >= 100, 180)
    time.sleep(2)
    ear.close()
    ticks = [t for t in once_each(ear.heard()) if t["sequence"] >= begin]
    check_seconds(ticks, begin)
    assert history(server, "second", begin - 1)[: len(ticks)] == ticks
