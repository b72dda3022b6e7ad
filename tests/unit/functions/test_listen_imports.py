"""Clients of brokers are imported by the process that listens, and by the first trigger that needs one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = ("confluent_kafka", "nats", "pika", "paho", "redis", "grpc")
PLAY = """
import sys
from chalicelib import settings
{play}
print(*[name for name in {clients} if name in sys.modules])
"""
KAFKA = """
from chalicelib.adapters.sources.listed_sources import ListedSources
from chalicelib.adapters.sources.source_parts import SourceParts
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.ports.event_sources import SourceProblem
lent = TargetParts(client=lambda _: object, now_ms=int, monotonic_s=float, webhook_allow=(), event_bus="bus")
rules = TriggerRules(source={"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t"})
try:
    ListedSources(SourceParts(lent, "test")).open(Trigger(tenant="default", id="t", name="t", rules=rules))
except SourceProblem as problem:
    assert "loopback" in str(problem), problem
import confluent_kafka
"""


def imported(play: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PLAY.format(play=play, clients=CLIENTS)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CHRONO_CONFIG": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    "play",
    [
        "import app\nfrom chalicelib import bootstrap\nbootstrap.services()",
        "import localdev.worker\nlocaldev.worker.prepare(False)",
        "import localdev.listen\nlocaldev.listen.prepare(False)",
    ],
    ids=["functions", "worker", "listener"],
)
def test_nobody_imports_a_client_of_a_broker_at_its_start(play: str) -> None:
    assert imported(play) == ""


def test_a_client_that_is_imported_is_found() -> None:
    assert imported(KAFKA) == "confluent_kafka"
