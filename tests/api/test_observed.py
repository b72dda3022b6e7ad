"""What is said about each call: spans, lines in the log, and where traces can be read."""

from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace

from chalicelib.core.telemetry.span import SERVER
from chalicelib.core.telemetry.telemetry_settings import TelemetrySettings
from tests.kit.house import House
from tests.kit.spans import KeptSpans

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def kept(house: House) -> KeptSpans:
    spans = KeptSpans()
    house.services = replace(house.services, tracer=spans)
    return spans


def test_a_call_has_a_span_below_its_callers(house: House, kept: KeptSpans) -> None:
    made = house.make()
    answer = house.call(
        "POST",
        f"/api/v1/schedules/{made['id']}:trigger",
        query="",
        headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=b"},
    )
    [queue] = kept.named("send work")
    [call] = [span for span in kept.spans if span.context.trace_id == TRACE and span.kind == SERVER]
    assert call.name == "POST /api/v1/schedules/{schedule_id}:trigger"
    assert (call.parent_id, str(call.context)) == (CALLER, answer.headers["traceparent"])
    assert (queue.parent_id, queue.tracestate) == (call.context.span_id, "a=b")
    assert call.attributes["http.response.status_code"] == 202
    assert made["id"] not in repr(call)
    shown = house.call("GET", f"/api/v1/executions/{answer.json['execution_id']}").json
    assert shown["trace_id"] == TRACE
    assert "trace_url" not in shown


def test_the_trace_of_an_execution_has_an_address_where_the_deployment_says_which(house: House) -> None:
    config = replace(house.services.config, trace_url_template="https://traces.example/t/{trace_id}?x=1")
    house.services = replace(house.services, config=config)
    shown = house.call("GET", f"/api/v1/executions/{house.fire()}").json
    assert shown["trace_url"] == f"https://traces.example/t/{shown['trace_id']}?x=1"


def test_a_callers_trace_that_is_not_sampled_makes_no_span(house: House, kept: KeptSpans) -> None:
    house.call("GET", "/api/v1/time/now", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    assert kept.spans == []


def test_calls_are_logged_where_that_is_wanted_by_route_with_their_trace(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chronowatch.requests")
    house.call("GET", "/api/v1/time/now")
    assert caplog.records == []
    house.settings.telemetry = TelemetrySettings(request_log=True)
    answer = house.call("GET", "/api/v1/time/now", query="consistency=local")
    house.call("GET", "/api/v1/executions/01KB0E5T0QJ8Z3V7M4N2X9YRSC-1")
    house.call("GET", "/no/such/route")
    lines = [(record.levelname, record.getMessage().rpartition(" ")[0].rpartition(" ")[0]) for record in caplog.records]
    assert lines == [
        ("INFO", "GET /api/v1/time/now 200"),
        ("WARNING", "GET /api/v1/executions/{execution_id} 404"),
        ("WARNING", "unknown route 404"),
    ]
    assert caplog.records[0].__dict__["trace_id"] == answer.headers["traceparent"].split("-")[1]
