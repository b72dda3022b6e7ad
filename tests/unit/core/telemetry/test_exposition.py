"""The text of /metrics, judged by the parsers of Prometheus's own client."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from chalicelib.core.telemetry import metric_catalogue
from chalicelib.core.telemetry.counts import Counts, series_of
from chalicelib.core.telemetry.exposition import Measured, render, wants_openmetrics
from chalicelib.core.telemetry.metric_catalogue import CATALOGUE

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def measured() -> Measured:
    found = Measured()
    found.counts.count(metric_catalogue.EXECUTIONS, ("completed",), 3)
    found.counts.count(metric_catalogue.FIRES, ("RATE", "7"))
    found.counts.count(metric_catalogue.DEAD_LETTERS)
    found.counts.observe(metric_catalogue.LATENESS, 1, TRACE, 1_795_252_800_123)
    found.counts.observe(metric_catalogue.LATENESS, 3)
    found.counts.observe(metric_catalogue.LATENESS, 70_000)
    found.gauge(metric_catalogue.LEASES_HELD, 1, ('a"b\\c\nd',))
    found.gauge(metric_catalogue.CLOCK_DRIFT, -0.25)
    return found


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_family_is_there_and_parses(openmetrics: bool) -> None:
    text = render(measured(), openmetrics=openmetrics)
    families = list((parse_openmetrics if openmetrics else parse_text)(text))
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
    assert samples["chronowatch_executions_total", (("state", "completed"),)] == 3
    assert samples["chronowatch_schedule_fire_total", (("shard", "7"), ("type", "RATE"))] == 1
    assert samples["chronowatch_dead_letter_total", ()] == 1
    assert samples["chronowatch_firings_late_total", ()] == 0
    assert samples["chronowatch_lease_held_gauge", (("name", 'a"b\\c\nd'),)] == 1
    assert samples["chronowatch_clock_drift_ms", ()] == -0.25
    assert samples["chronowatch_firing_lateness_ms_bucket", (("le", "1.0"),)] == 1
    assert samples["chronowatch_firing_lateness_ms_bucket", (("le", "5.0"),)] == 2
    assert samples["chronowatch_firing_lateness_ms_bucket", (("le", "+Inf"),)] == 3
    assert samples["chronowatch_firing_lateness_ms_sum", ()] == 70_004
    declared = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name.removesuffix("_total") for name in declared} == {f.name.removesuffix("_total") for f in CATALOGUE}


def test_an_exemplar_leads_to_its_trace_and_only_openmetrics_has_it() -> None:
    families = {family.name: family for family in parse_openmetrics(render(measured(), openmetrics=True))}
    [found] = [s.exemplar for s in families["chronowatch_firing_lateness_ms"].samples if s.exemplar]
    assert (found.labels, found.value, float(found.timestamp)) == ({"trace_id": TRACE}, 1, 1_795_252_800.123)
    assert TRACE not in render(measured(), openmetrics=False)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", True), ("text/plain", False), (None, False)],
)
def test_openmetrics_is_written_where_it_is_asked_for(accept: str | None, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted


def test_without_counts_there_are_gauges_only_and_a_line_that_says_where_the_rest_is() -> None:
    text = render(Measured(counted=False), openmetrics=False)
    assert "chronowatch_executions_total" not in text
    assert "EMF" in text.splitlines()[0]
    list(parse_text(text))


def test_counts_add_up_whatever_their_order() -> None:
    one, two = measured().counts, Counts()
    two.add(one)
    two.add(one)
    assert two.counters["chronowatch_executions_total\tcompleted"] == 6
    assert two.histograms["chronowatch_firing_lateness_ms"].sum == 140_008
    assert one.counters["chronowatch_executions_total\tcompleted"] == 3, "what was added stays as it was"


def test_a_series_that_this_release_does_not_know_is_left_out() -> None:
    found = Measured()
    found.counts.counters["chronowatch_gone_total"] = 1
    found.counts.counters["chronowatch_executions_total\ta\tb"] = 1
    assert series_of("chronowatch_gone_total") is None
    assert 'state="a"' not in render(found, openmetrics=False)


def test_names_of_metrics_are_those_of_the_contract() -> None:
    assert {
        "chronowatch_time_now_latency_ms", "chronowatch_schedules_total", "chronowatch_schedule_fire_total",
        "chronowatch_lease_acquire_total", "chronowatch_lease_held_gauge", "chronowatch_firing_lateness_ms",
        "chronowatch_firings_late_total", "chronowatch_executions_total", "chronowatch_sweep_lag_ms",
        "chronowatch_clock_drift_ms", "chronowatch_dead_letter_total",
    } <= {family.name for family in CATALOGUE}  # fmt: skip
