"""The target of schedules that name none: what a deployment may say, and what becomes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap, settings
from chalicelib.core.errors import SettingsError
from chalicelib.core.targets import registry
from chalicelib.engine.events import bus_of
from chalicelib.ports.services import Config
from tests.kit.plant import Plant

ROOT = Path(__file__).resolve().parents[4]
KAFKA = {"type": "kafka", "brokers": ["kafka.example:9092"], "topic": "firings"}
WHOLE = registry.normal_target(KAFKA)
T0 = 1_795_252_800_000


def built(env: dict[str, str]) -> Any:
    return bootstrap.build(settings.load(env)).config.default_target


def test_a_schedule_without_a_target_goes_there() -> None:
    found = built({"CHRONO_DEFAULT_TARGET": json.dumps(KAFKA)})
    assert found == WHOLE
    plant = Plant(T0, default_target=found)
    assert plant.get(plant.create(type="RATE", expr="rate:1h")).definition.target == WHOLE
    own = plant.create(type="RATE", expr="rate:1h", target={"type": "log"}, name="own")
    assert plant.get(own).definition.target == {"type": "log"}


def test_without_one_it_is_the_bus_and_on_postgresql_the_log() -> None:
    assert built({}) is None
    assert built({"CHRONO_DB_DSN": "postgresql://u@127.0.0.1/d"}) == {"type": "log"}
    given = {"CHRONO_DB_DSN": "postgresql://u@127.0.0.1/d", "CHRONO_DEFAULT_TARGET": json.dumps(KAFKA)}
    assert built(given) == WHOLE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kafka", "must be JSON such as"),
        ("[]", "must be a target"),
        ('{"topic": "t"}', "must be a target"),
        ('{"type": "fax"}', "target.type must be one of"),
        ('{"type": "kafka", "topic": "a b"}', "target.brokers is required; target.topic must be"),
        ('{"type": "webhook", "url": "http://10.0.0.1/"}', "target.url"),
        ('{"type": "log", "colour": "red"}', "target.colour is not a field"),
    ],
)
def test_a_wrong_one_stops_the_start_with_its_field(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match="CHRONO_DEFAULT_TARGET: ") as found:
        built({"CHRONO_DEFAULT_TARGET": text})
    assert problem in str(found.value)


def test_what_a_deployment_runs_without_is_no_default() -> None:
    queue = json.dumps({"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"})
    with pytest.raises(SettingsError, match="sqs needs a service that this deployment runs without"):
        built({"CHRONO_DB_DSN": "postgresql://u@127.0.0.1/d", "CHRONO_DEFAULT_TARGET": queue})


def test_the_service_s_own_events_go_where_messages_go() -> None:
    webhook = {"type": "webhook", "url": "https://example.com/"}
    assert bus_of(Config()) == {"type": "eventbridge"}
    assert bus_of(Config(default_target=WHOLE)) == WHOLE
    assert bus_of(Config(default_target=webhook)) == {"type": "eventbridge"}
    assert bus_of(Config(default_target=webhook, unoffered=registry.OF_AWS)) == {"type": "log"}
    assert bus_of(Config(default_target={"type": "log"}, unoffered=registry.OF_AWS)) == {"type": "log"}


def test_scripts_dev_refuses_it_before_it_starts_anything(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "localdev.supervisor"],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "CHRONO_DATA_DIR": str(tmp_path),
            "CHRONO_DEFAULT_TARGET": '{"type": "kafka", "topic": "t"}',
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == "scripts/dev: CHRONO_DEFAULT_TARGET: target.brokers is required\n"
    assert list(tmp_path.iterdir()) == []
