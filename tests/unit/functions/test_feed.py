from __future__ import annotations

import itertools
import json

import pytest
from msgspec.structs import replace

from chalicelib import bootstrap
from chalicelib.adapters.aws.telemetry import VALUES_MAX, Metric, emf_lines
from chalicelib.adapters.dynamodb.documents import encode_execution, execution_sk, partition
from chalicelib.core.executions.execution import Execution
from chalicelib.functions import feed
from chalicelib.workers.feed import tally
from tests.kit.plant import Plant

BASE = Execution(
    tenant="default",
    schedule_id="01HZZZZZZZZZZZZZZZZZZZZZZZ",
    firing_ms=1_000_000,
    shard=3,
    version="v",
    owner="anonymous",
    target_type="webhook",
    sla_ms=100,
    created_ms=999_000,
)
PENDING = BASE
DONE = replace(BASE, state="completed", first_started_ms=1_000_004, firing_ms=1_000_000)
LATE = replace(BASE, state="failed", first_started_ms=1_000_500)
MISSED = replace(BASE, state="missed")
EXECUTIONS_ARN = "arn:aws:dynamodb:a:b:table/chronowatch-x-executions/stream/1"
_sequences = itertools.count(1)


def _record(execution: Execution) -> dict[str, object]:
    image = {
        "pk": {"S": partition(execution.tenant, execution.schedule_id)},
        "sk": {"S": execution_sk(execution.key)},
        "doc": {"S": encode_execution(execution)},
    }
    return {
        "eventName": "MODIFY",
        "dynamodb": {"NewImage": image, "SequenceNumber": str(next(_sequences))},
        "eventSourceARN": EXECUTIONS_ARN,
    }


def test_only_what_ended_is_counted() -> None:
    counted = tally([PENDING, DONE, LATE, MISSED])
    assert counted.ended == {"completed": 1, "failed": 1, "missed": 1}
    assert counted.lateness_ms == (4, 500)
    assert (counted.late, counted.dead_letters) == (1, 1)


def test_a_batch_of_the_stream_becomes_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    removed = {"eventName": "REMOVE", "dynamodb": {}, "eventSourceARN": EXECUTIONS_ARN}
    unreadable = _record(DONE)
    unreadable["dynamodb"]["NewImage"]["doc"] = {"S": "{"}  # type: ignore[index]
    with bootstrap.override(Plant(1_000_000).services):
        feed.handle(
            {"shardId": "s", "Records": [*map(_record, (PENDING, DONE, LATE, MISSED)), removed, unreadable]}, None
        )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["state"] for line in lines if "state" in line} == {"completed", "failed", "missed"}
    (lateness,) = (line for line in lines if "chronowatch_firing_lateness_ms" in line)
    assert lateness["chronowatch_firing_lateness_ms"] == [4, 500]
    described = lateness["_aws"]["CloudWatchMetrics"][0]
    assert described["Namespace"] == "ChronoWatch"
    assert described["Metrics"] == [{"Name": "chronowatch_firing_lateness_ms", "Unit": "Milliseconds"}]


def test_nothing_that_ended_is_no_metric(capsys: pytest.CaptureFixture[str]) -> None:
    with bootstrap.override(Plant(1_000_000).services):
        feed.handle({"shardId": "s", "Records": [_record(PENDING)]}, None)
    assert capsys.readouterr().out == ""


def test_many_values_take_several_lines() -> None:
    lines = emf_lines([Metric("m", "Count", range(VALUES_MAX + 1))], 5)
    assert [len(json.loads(line)["m"]) for line in lines] == [VALUES_MAX, 1]
