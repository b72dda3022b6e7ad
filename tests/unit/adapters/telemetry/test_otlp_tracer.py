"""The exporter against a collector that reads by OpenTelemetry's own messages; and against one that is away."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from chalicelib.adapters.http.client import NoAnswer
from chalicelib.adapters.telemetry import otlp_tracer
from chalicelib.adapters.telemetry.otlp_tracer import BATCH_MAX, WAITING_MAX, OtlpTracer
from chalicelib.core.telemetry.span import CLIENT, Link, Span
from chalicelib.core.telemetry.telemetry_settings import OtlpSettings
from chalicelib.core.trace import TraceContext
from tests.kit.collector import collecting
from tests.tidy.sources import ROOT

TRACE, ONE, TWO = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"
SPAN = Span(
    context=TraceContext(TRACE, ONE, 1),
    parent_id=TWO,
    name="POST",
    kind=CLIENT,
    start_ns=1_795_252_800_000_000_001,
    end_ns=1_795_252_800_000_000_002,
    attributes={"text": "ä", "number": 1 << 40, "share": 0.5, "late": True},
    links=(Link(TRACE, TWO, "creation"),),
    error="timeout",
    tracestate="a=1",
)

PATIENCE_S = 30.0  # in which a busy machine makes a call to itself


def until(what: Callable[[], object]) -> None:
    """What a flush sends may arrive after it: it waits for a moment only."""
    end_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_span_arrives_as_the_protocol_has_it_with_the_headers_of_the_deployment() -> None:
    with collecting() as collector:
        chosen = OtlpSettings(collector.url, {"x-token": "t"}, None, {"service.name": "chronowatch"})
        tracer = otlp_tracer.make(chosen, "1.2.3", "instance", time.monotonic, PATIENCE_S)
        tracer.export([SPAN])
        tracer.flush()
        until(lambda: collector.spans)
        [found] = collector.spans
        assert collector.paths == ["/v1/traces"]
        assert (collector.headers[0]["x-token"], collector.headers[0]["content-type"]) == ("t", "application/json")
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, ONE, TWO)
    assert found.attributes == {"text": "ä", "number": 1 << 40, "share": 0.5, "late": True}
    assert found.links == [(TRACE, TWO, "creation")]
    assert (found.failed, found.tracestate) == (True, "a=1")
    assert (found.start_ns, found.end_ns) == (SPAN.start_ns, SPAN.end_ns)
    assert found.resource == {
        "service.name": "chronowatch", "service.version": "1.2.3", "service.instance.id": "instance",
    }  # fmt: skip
    assert tracer.dropped == 0


def test_a_flush_does_not_let_spans_wait_for_others() -> None:
    sent = threading.Event()

    def send(_: bytes) -> int:
        sent.set()
        return 200

    tracer = OtlpTracer(send, {}, "1", time.monotonic, gather_s=3_600)
    tracer.export([SPAN])
    until(lambda: (tracer.flush(), sent.is_set())[1])


def test_a_collector_that_hangs_holds_up_no_firing_and_what_does_not_fit_is_counted() -> None:
    hanging, called = threading.Event(), threading.Event()

    def send(_: bytes) -> int:
        called.set()
        hanging.wait(60)
        return 200

    tracer = OtlpTracer(send, {}, "1", time.monotonic)
    began_s = time.monotonic()
    tracer.export([SPAN] * BATCH_MAX)
    assert called.wait(PATIENCE_S)
    for _ in range(3):
        tracer.export([SPAN] * (WAITING_MAX // 2))
    tracer.flush()
    assert time.monotonic() - began_s < PATIENCE_S, "far less than it hangs"
    assert tracer.dropped == WAITING_MAX // 2
    hanging.set()


def test_one_that_is_away_is_asked_again_then_the_spans_are_dropped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, over = [], threading.Event()

    def send(body: bytes) -> int:
        calls.append(body)
        if len(calls) == otlp_tracer.SEND_ATTEMPTS:
            over.set()
        raise NoAnswer("127.0.0.1: refused")

    tracer = OtlpTracer(send, {}, "1", time.monotonic)
    with caplog.at_level(logging.WARNING):
        tracer.export([SPAN, SPAN])
        assert over.wait(60)
        tracer.flush()
        until(lambda: tracer.dropped)
    assert tracer.dropped == 2
    assert "takes no spans" in caplog.text


@pytest.mark.parametrize(("status", "calls"), [(400, 1), (503, otlp_tracer.SEND_ATTEMPTS)])
def test_what_a_collector_refuses_for_good_is_not_sent_again(status: int, calls: int) -> None:
    with collecting() as collector:
        collector.status = status
        chosen = OtlpSettings(collector.url, {}, None, {})
        tracer = otlp_tracer.make(chosen, "1", "i", time.monotonic, PATIENCE_S)
        tracer.export([SPAN])
        until(lambda: tracer.dropped)
        assert (len(collector.bodies), tracer.dropped) == (calls, 1)


@pytest.mark.parametrize("function", ["deliver", "sweep", "reconcile", "feed", "api"])
def test_off_costs_no_import_and_on_is_loaded(function: str) -> None:
    program = f"""
import sys
import chalicelib.functions.{function}
from chalicelib import bootstrap
bootstrap.services()
unwanted = ("opentelemetry", "aws_xray_sdk", "prometheus_client", "chalicelib.adapters.telemetry",
            "chalicelib.adapters.http", "chalicelib.core.telemetry.otlp_json")
print(*[m for m in sys.modules if m.startswith(unwanted)])
"""

    def loaded(**more: str) -> list[str]:
        env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "PATH": "/usr/bin:/bin", **more}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    # The session of botocore reads answers with our parser, in whatever function.
    off = [name for name in loaded() if name not in ("chalicelib.adapters.http", "chalicelib.adapters.http.answer")]
    assert off == []
    on = loaded(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert "chalicelib.adapters.telemetry.otlp_tracer" in on
    assert not [name for name in on if name.startswith(("opentelemetry", "aws_xray_sdk"))]
