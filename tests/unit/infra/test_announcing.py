"""What the functions that send the service's own events get where the default target takes those off the bus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from infra import announcing
from infra.announcing import ANNOUNCERS, statements, takes_events
from infra.build import Build
from infra.layers import ALL
from infra.package import PackageFailed, check_settings
from infra.state import state
from tests.tidy.sources import ROOT, product

EMIT = "chalicelib.engine.events.emit"

REDIS = {"type": "redis", "url": "rediss://r.example:6379/0", "stream": "s", "secret_ref": "secretsmanager:writer"}
KAFKA = {
    "type": "kafka",
    "brokers": ["k.example:9092"],
    "topic": "t",
    "security": {"protocol": "SASL_SSL", "secret_ref": "ssm:/kafka/writer"},
}
QUEUE = {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/events"}
TOPIC = {"type": "sns", "topic_arn": "arn:aws:sns:eu-west-1:123456789012:events"}
CALLED: dict[str, object] = {"type": "grpc", "address": "g.example:443", "method": "/a.B/C"}


def layers(target: dict[str, Any] | None, function: str) -> list[str]:
    return [layer.name for layer in Build(state("prod"), default_target=target).layers_of(function)]


@pytest.mark.parametrize("target", [REDIS, KAFKA, {"type": "nats"}, {"type": "rabbitmq"}, {"type": "mqtt"}])
def test_the_layer_of_a_broker_reaches_those_that_announce_and_no_other(target: dict[str, Any]) -> None:
    for function in ALL:
        wanted = sorted({*layers(None, function), *(["brokers"] if function in ANNOUNCERS else [])})
        assert sorted(layers(target, function)) == wanted


@pytest.mark.parametrize("target", [None, {"type": "eventbridge"}, CALLED, {"type": "log"}, QUEUE])
def test_a_stage_without_a_broker_gets_no_layer_more(target: dict[str, Any] | None) -> None:
    assert {name: layers(target, name) for name in ALL} == {name: layers(None, name) for name in ALL}
    assert all("brokers" not in layers(target, name) for name in ANNOUNCERS)


# Where each of them runs. Workflow may send to targets of every kind, and has all layers of clients.
SENDERS = {
    "chalicelib/workers/feed.py": "Feed",
    "chalicelib/engine/monitors.py": "Reconcile",
    "chalicelib/engine/heartbeats.py": "Workflow",
    "chalicelib/engine/workflows/late_runs.py": "Workflow",
}


def test_all_that_announce_are_known() -> None:
    calling = {source.path for source in product() if any(n == EMIT for n, _ in source.imports())}
    assert calling == set(SENDERS)
    assert set(SENDERS.values()) == {*ANNOUNCERS, "Workflow"}
    assert {"brokers", "grpc"} <= set(layers(None, "Workflow"))


def granted(tmp_path: Path, target: dict[str, Any] | None) -> dict[str, list[dict[str, Any]]]:
    """What each policy has more than before."""
    folder = tmp_path / ".chalice"
    shutil.copytree(ROOT / ".chalice", folder)
    announcing.grant(folder, target)
    found = {}
    for path in folder.glob("policy-*.json"):
        before = json.loads((ROOT / ".chalice" / path.name).read_text())["Statement"]
        after = json.loads(path.read_text())["Statement"]
        assert after[: len(before)] == before
        found[path.stem.removeprefix("policy-")] = after[len(before) :]
    return found


@pytest.mark.parametrize(
    ("target", "rights"),
    [
        (
            REDIS,
            [
                ("secretsmanager:GetSecretValue ssm:GetParameter", ["arn:aws:secretsmanager:*:*:secret:writer-*"]),
                ("kms:Decrypt", ["*"]),
            ],
        ),
        (
            KAFKA,
            [
                ("secretsmanager:GetSecretValue ssm:GetParameter", ["arn:aws:ssm:*:*:parameter/kafka/writer"]),
                ("kms:Decrypt", ["*"]),
            ],
        ),
        ({**REDIS, "secret_ref": "vault:kv/data/redis"}, []),
        ({**REDIS, "secret_ref": None}, []),
        (QUEUE, [("sqs:SendMessage", ["arn:aws:sqs:*:123456789012:events"])]),
        (TOPIC, [("sns:Publish", [TOPIC["topic_arn"]])]),
        ({"type": "log"}, []),
        (CALLED, []),
        (None, []),
    ],
)
def test_those_that_announce_may_reach_that_one_target_and_no_other_function_may(
    tmp_path: Path, target: dict[str, Any] | None, rights: list[tuple[str, list[str]]]
) -> None:
    found = granted(tmp_path, target)
    for name, more in found.items():
        wanted = rights if name.title() in ANNOUNCERS else []
        assert [(" ".join(each["Action"]), each["Resource"]) for each in more] == wanted
        assert all("Condition" in each for each in more if each["Resource"] == ["*"])
        assert len({each["Sid"] for each in more}) == len(more)


@pytest.mark.parametrize("name", ANNOUNCERS)
def test_those_that_announce_may_write_to_the_bus(name: str) -> None:
    policy = json.loads((ROOT / ".chalice" / f"policy-{name.lower()}.json").read_text())
    (events,) = [each for each in policy["Statement"] if each["Sid"] == "Events"]
    assert events["Action"] == ["events:PutEvents"]


def test_the_target_is_read_from_the_stage_and_judged() -> None:
    def stage(target: dict[str, Any]) -> dict[str, Any]:
        variables = {"CHRONO_STAGE": "prod", "CHRONO_AUTH": "apikey", "CHRONO_DEFAULT_TARGET": json.dumps(target)}
        return {"stages": {"prod": {"environment_variables": variables}}}

    found = check_settings("prod", stage({"type": "redis", "url": "redis://r.example:6379", "stream": "s"}))
    assert found == {"type": "redis", "url": "redis://r.example:6379", "stream": "s"}
    assert takes_events(found)
    assert statements(found) == []
    with pytest.raises(PackageFailed, match=r"CHRONO_DEFAULT_TARGET: target\.stream is required"):
        check_settings("prod", stage({"type": "redis", "url": "redis://r.example:6379"}))
