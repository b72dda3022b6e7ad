"""Firings as lines of the log: whole, in order, and told apart from the service's own lines."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

from chalicelib.adapters.aws.telemetry import JsonLines, Metric, emf_lines
from chalicelib.adapters.targets.log import LogSender
from chalicelib.core.targets import cloudevent
from chalicelib.ports.target import Delivery, Outcome

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def delivery(number: int, payload_json: str = '{"text":"é€"}') -> Delivery:
    execution_id = f"01KB0000000000000000000000-{number}"
    event = cloudevent.build(
        execution_id=execution_id,
        schedule_id="01KB0000000000000000000000",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=number,
        traceparent=TRACE,
        hlc="1795252805000412000.0",
        payload_json=payload_json,
    )
    return Delivery(
        execution_id=execution_id,
        tenant="default",
        schedule_id="01KB0000000000000000000000",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=number,
        target={"type": "log"},
        event=event,
        traceparent=TRACE,
        timeout_ms=30_000,
    )


def test_each_firing_is_its_cloudevent_on_a_line_of_its_own() -> None:
    stream = io.BytesIO()
    several = [delivery(n) for n in range(3)]
    assert LogSender(stream).dispatch(several) == [Outcome("completed")] * 3
    assert stream.getvalue().split(b"\n") == [*(each.event for each in several), b""]


def test_an_event_with_line_breaks_is_one_line_all_the_same() -> None:
    stream = io.BytesIO()
    LogSender(stream).dispatch([delivery(1, '{\r\n"text":\n"a\\nb",\r"n":1.10}')])
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["data"] == {"text": "a\nb", "n": 1.1}
    assert b"1.10" in line


def test_a_line_of_a_firing_has_no_field_that_tells_the_services_own_lines() -> None:
    record = logging.LogRecord("chalicelib", logging.INFO, "", 1, "swept", None, None)
    own = [JsonLines().format(record), *emf_lines([Metric("Late", "Count", [1.0])], 0)]
    fields = set(json.loads(delivery(1).event))
    assert "specversion" in fields
    for line in own:
        assert "specversion" not in json.loads(line)
    assert not fields & {"level", "msg", "_aws"}


def test_a_log_that_cannot_be_written_fails_and_may_be_tried_again() -> None:
    stream = io.BytesIO()
    stream.close()
    outcomes = LogSender(stream).dispatch([delivery(1), delivery(2)])
    assert [(o.kind, o.error_type, o.permanent) for o in outcomes] == [("failed", "internal_error", False)] * 2
    assert "the log cannot be written" in str(outcomes[0].error)
    assert "é" not in str(outcomes[0].error)


PROCESS = """
from chalicelib import bootstrap, settings
from chalicelib.ports.target import Delivery
sender = bootstrap.build(settings.load({})).targets["log"]
sender.dispatch([Delivery("e-1", "t", "s", 1, 1, 1, {"type": "log"}, '{"a":"é"}'.encode(), "", 1000)])
"""


def test_a_process_writes_to_its_standard_output_whatever_its_locale() -> None:
    env = {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run([sys.executable, "-c", PROCESS], env=env, capture_output=True, check=True)
    assert ran.stdout == '{"a":"é"}\n'.encode()
