from __future__ import annotations

import itertools
import json

import pytest
from msgspec.structs import replace

from chalicelib import bootstrap
from chalicelib.adapters.aws import emf
from chalicelib.adapters.aws.telemetry import VALUES_MAX, Metric, emf_lines
from chalicelib.adapters.dynamodb.documents import encode_execution, execution_sk, partition
from chalicelib.core.executions.execution import Execution
from chalicelib.core.telemetry import metric_catalogue
from chalicelib.core.telemetry.counts import Counts
from chalicelib.core.telemetry.exposition import Measured
from chalicelib.engine import metric_counts
from chalicelib.functions import feed, sweep
from chalicelib.ports.services import Services
from chalicelib.workers import feed_counts
from chalicelib.workers.feed import Written
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
    schedule_type="RATE",
)
PENDING = BASE
MINUTE = dict.fromkeys(("version", "id", "account", "region", "time", "source", "detail-type"), "x")
MINUTE |= {"resources": [], "detail": {}}  # type: ignore[dict-item]
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


def emitting(services: Services) -> Services:
    """As on Lambda, where counts leave by the log."""
    return replace(services, config=replace(services.config, counts_kept=False))


def test_what_began_and_what_ended_is_counted() -> None:
    counted = feed_counts.counted(Plant(1_000_000).services, [Written(None, e) for e in (PENDING, DONE, LATE, MISSED)])
    assert counted.counters == {
        "chronowatch_schedule_fire_total\tRATE\t3": 2,
        "chronowatch_executions_total\tcompleted": 1,
        "chronowatch_executions_total\tfailed": 1,
        "chronowatch_executions_total\tmissed": 1,
        "chronowatch_firings_late_total": 1,
        "chronowatch_dead_letter_total": 1,
    }
    assert counted.histograms["chronowatch_firing_lateness_ms"].sum == 504


def test_on_lambda_a_batch_of_the_stream_becomes_metrics_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    removed = {"eventName": "REMOVE", "dynamodb": {}, "eventSourceARN": EXECUTIONS_ARN}
    unreadable = _record(DONE)
    unreadable["dynamodb"]["NewImage"]["doc"] = {"S": "{"}  # type: ignore[index]
    with bootstrap.override(emitting(Plant(1_000_000).services)):
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
    (fired,) = (line for line in lines if "chronowatch_schedule_fire_total" in line)
    assert (fired["type"], fired["shard"], fired["chronowatch_schedule_fire_total"]) == ("RATE", "3", [2])
    assert fired["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["type"]], "a dimension costs money"


def test_nothing_that_began_or_ended_is_no_metric(capsys: pytest.CaptureFixture[str]) -> None:
    with bootstrap.override(emitting(Plant(1_000_000).services)):
        feed.handle({"shardId": "s", "Records": [_record(PENDING)]}, None)


def test_elsewhere_a_batch_is_counted_for_metrics_once_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant = Plant(1_000_000)
    records = [_record(DONE), _record(LATE)]
    for number, record in enumerate(records):
        record["dynamodb"]["SequenceNumber"] = str(98 + 2 * number)  # type: ignore[index]
    with bootstrap.override(plant.services):
        feed.handle({"shardId": "shard-1", "Records": records[:1]}, None)
        feed.handle({"shardId": "shard-1", "Records": records}, None)
    assert capsys.readouterr().out == ""
    found = metric_counts.load(plant.services, metric_counts.FEED)
    assert found.counts.counters["chronowatch_schedule_fire_total\tRATE\t3"] == 2
    assert found.position("1/shard-1").endswith("100")


def test_the_sweep_writes_the_gauges_and_the_api_what_it_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with bootstrap.override(emitting(Plant(1_795_252_800_000).services)):
        bootstrap.services().process.meter.observe(metric_catalogue.TIME_NOW_LATENCY, 1.5)
        sweep.handle(MINUTE, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shown = {metric["Name"] for line in lines for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {
        "chronowatch_sweep_lag_ms", "chronowatch_clock_drift_ms", "chronowatch_oldest_undelivered_ms",
        "chronowatch_time_now_latency_ms",
    } <= shown  # fmt: skip


def test_every_metric_of_the_catalogue_has_a_line_in_the_log() -> None:
    counts, measured = Counts(), Measured()
    for family in metric_catalogue.CATALOGUE:
        labels = tuple("x" for _ in family.labels)
        if family.kind == "counter":
            counts.count(family, labels)
        elif family.kind == "gauge":
            measured.gauge(family, 1, labels)
    raw = {f.name: [1.0] for f in metric_catalogue.CATALOGUE if f.kind == "histogram"}
    names = {metric.name for metric in (*emf.counted(counts, raw), *emf.gauges(measured))}
    assert names == set(metric_catalogue.BY_NAME)


def test_many_values_take_several_lines() -> None:
    lines = emf_lines([Metric("m", "Count", range(VALUES_MAX + 1))], 5)
    assert [len(json.loads(line)["m"]) for line in lines] == [VALUES_MAX, 1]
