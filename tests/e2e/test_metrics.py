"""Metrics of the real service: counted by the worker, shown by the server, and neither lost nor doubled by a kill."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

Samples = dict[str, float]


def scraped(server: DevServer) -> Samples:
    """The sum of each metric's samples, by the parser of Prometheus's own client."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    try:
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
            if sample.exemplar:
                found["exemplars"] = found.get("exemplars", 0) + 1
    return found


def test_each_firing_counts_once_also_when_the_worker_is_killed(
    new_server: Callable[..., DevServer], receiver: Receiver
) -> None:
    server = new_server()
    server.start()
    runs = 12
    _, made = server.call(
        "POST",
        "/api/v1/schedules",
        {"type": "RATE", "expr": "rate:1s", "max_runs": runs, "target": receiver.target()},
    )
    assert isinstance(made, dict)
    seen: list[float] = []

    def counted() -> float:
        seen.append(scraped(server).get("chronowatch_schedule_fire_total", 0))
        return seen[-1]

    wait_for("the first firings to be counted", lambda: counted() >= 2)
    worker = int((server.data_dir / "run" / "worker.pid").read_text())
    os.kill(worker, signal.SIGKILL)  # what it had counted stays, and what it had not is counted after it
    wait_for("all firings to arrive", lambda: len(receiver.counts(made)) == runs, 90)
    wait_for("all firings to be counted", lambda: counted() >= runs, 90)
    wait_for("all to be ended", lambda: scraped(server).get("chronowatch_executions_total", 0) >= runs, 60)
    found = scraped(server)
    assert found["chronowatch_schedule_fire_total"] == found["chronowatch_executions_total"] == runs
    assert found["chronowatch_firing_lateness_ms_count"] == runs
    assert found["exemplars"] > 0
    assert seen == sorted(seen), "a counter went back"
    assert found["chronowatch_schedules_total"] == 1
    assert found["chronowatch_sweep_lag_ms"] < 120_000
