"""The spans of executions: which traces they belong to, what they link to, and which are kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core import trace
from chalicelib.core.executions import execution_trace
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.telemetry.span import CLIENT, CONSUMER, PRODUCER, Link
from chalicelib.core.trace import TraceContext
from chalicelib.ports.target import Outcome
from chalicelib.usecases import backfill, schedules
from tests.kit.plant import Plant
from tests.kit.spans import KeptSpans

START_MS = 1_795_252_800_000
CALLED = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
TARGET = {"type": "webhook", "url": "http://127.0.0.1:9/secret-path?token=s"}


def plant(**config: Any) -> tuple[Plant, KeptSpans]:
    made, kept = Plant(START_MS, **config), KeptSpans()
    made.services = replace(made.services, tracer=kept)
    return made, kept


def trigger(made: Plant, called: TraceContext = CALLED, **fields: Any) -> str:
    schedule = made.create(type="CRON", expr="0 0 1 1 *", target=TARGET, **fields)
    caller = replace(ANONYMOUS_ADMIN, traceparent=str(called), tracestate="vendor=1")
    return schedules.trigger(made.services, caller, schedule, None, None).id


def test_a_trigger_is_one_trace_from_the_call_through_queue_and_delivery_to_the_target() -> None:
    made, kept = plant()
    execution_id = trigger(made)
    made.run_until(START_MS + 10_000)
    queue, deliver, call = kept.spans
    assert {span.context.trace_id for span in kept.spans} == {CALLED.trace_id}
    assert [span.kind for span in kept.spans] == [PRODUCER, CONSUMER, CLIENT]
    assert (queue.parent_id, deliver.parent_id) == (CALLED.span_id, queue.context.span_id)
    assert call.parent_id == deliver.context.span_id
    [(_, delivery)] = made.hook.sent
    assert delivery.traceparent == str(call.context)
    assert delivery.tracestate == "vendor=1" == call.tracestate
    assert deliver.links == ()
    assert call.attributes["cloudevents.event_id"] == execution_id
    assert "secret" not in repr(kept.spans)
    [record] = made.executions(execution_id.partition("-")[0])
    assert record.trace_id == CALLED.trace_id


def test_a_firing_of_the_grid_is_a_root_that_links_to_the_creation() -> None:
    made, kept = plant()
    caller = replace(ANONYMOUS_ADMIN, traceparent=str(CALLED))
    wanted = schedules.ScheduleRequest(type="RATE", expr="rate:5s", target=TARGET)
    schedules.create(made.services, caller, wanted, made.services.ids.ulid(START_MS))
    made.run_until(START_MS + 11_000)
    first, second = kept.named("deliver")[:2]
    assert first.parent_id == second.parent_id == ""
    assert first.context.trace_id != second.context.trace_id != CALLED.trace_id
    assert first.links == second.links == (Link(CALLED.trace_id, CALLED.span_id, "creation"),)
    assert first.context.trace_id == made.hook.sent[0][1].traceparent.split("-")[1]


def test_what_a_backfill_fires_are_roots_that_link_to_the_backfill() -> None:
    made, kept = plant()
    schedule = made.create(type="RATE", expr="rate:5s", target=TARGET, enabled=False)
    caller = replace(ANONYMOUS_ADMIN, traceparent=str(CALLED._replace(flags=0)))
    assert backfill.backfill(made.services, caller, schedule, START_MS - 10_000, START_MS - 5_000) == 2
    made.run_until(START_MS + 10_000)
    spans = kept.named("deliver")
    assert [span.links for span in spans] == [(Link(CALLED.trace_id, CALLED.span_id, "backfill"),)] * 2
    assert {span.parent_id for span in spans} == {""}
    assert len({CALLED.trace_id, *(span.context.trace_id for span in spans)}) == 3, "each has a trace of its own"
    assert {span.context.flags for span in spans} == {1}, "which is sampled by the service's own share"


def test_a_retry_is_a_child_of_the_attempt_before_and_links_to_it() -> None:
    made, kept = plant()
    made.hook.answer = lambda d: Outcome("completed") if d.attempt == 2 else Outcome("failed", 500, "http_error", "no")
    trigger(made)
    made.run_until(START_MS + 60_000)
    one, two = kept.named("deliver")
    assert (one.error, two.error) == ("http_error", "")
    assert two.parent_id == one.context.span_id
    assert two.links == (Link(CALLED.trace_id, one.context.span_id, "previous_attempt"),)
    assert one.context.trace_id == two.context.trace_id


@pytest.mark.parametrize("bad", ["failed", "late"])
def test_of_what_is_not_sampled_only_failed_and_late_attempts_are_kept(bad: str) -> None:
    made, kept = plant(trace_sample=0.0)
    made.create(type="RATE", expr="rate:5s", target=TARGET)
    made.run_until(START_MS + 11_000)
    assert made.hook.sent
    assert kept.spans == []
    assert {d.traceparent[-2:] for _, d in made.hook.sent} == {"00"}
    if bad == "failed":
        made.hook.answer = lambda _: Outcome("failed", 410, "http_error", permanent=True)
    else:
        made.skip(made.clock.now_ms() + 30_000)
    made.run_until(made.clock.now_ms() + 10_000)
    assert {span.attributes["chronowatch.late"] for span in kept.named("deliver")} == {bad == "late"}
    assert kept.named("POST")


def test_a_caller_who_does_not_sample_is_respected() -> None:
    made, kept = plant()
    trigger(made, CALLED._replace(flags=0))
    made.run_until(START_MS + 10_000)
    assert made.hook.sent[0][1].traceparent.endswith("-00")
    assert kept.spans == []


def test_an_attempt_that_failed_is_logged_with_its_trace_and_without_what_the_target_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, kept = plant()
    made.hook.answer = lambda _: Outcome("failed", 500, "http_error", "a secret", permanent=True)
    execution_id = trigger(made)
    with caplog.at_level(logging.INFO):
        made.run_until(START_MS + 10_000)
    [line] = [record for record in caplog.records if record.getMessage() == "attempt 1 failed: http_error"]
    [span] = kept.named("deliver")
    fields = line.__dict__
    assert (fields["trace_id"], fields["span_id"]) == span.context[:2]
    assert fields["execution_id"] == execution_id
    assert "a secret" not in caplog.text + repr(kept.spans)


def test_half_of_all_new_traces_are_sampled_at_a_half() -> None:
    found = [trace.root_flags(trace.trace_id_of(str(n)), 0.5) for n in range(2_000)]
    assert 900 < sum(found) < 1_100
    assert all(trace.root_flags(trace.trace_id_of(str(n)), 1.0) for n in range(100))
    assert not any(trace.root_flags(trace.trace_id_of(str(n)), 0.0) for n in range(100))


def test_the_spans_of_an_execution_differ() -> None:
    made, _ = plant()
    execution_id = trigger(made)
    [record] = made.executions(execution_id.partition("-")[0])
    spans = [execution_trace.of_attempt(record, 1, 1), execution_trace.of_attempt(record, 2, 1)]
    spans += [execution_trace.of_delivery(record, 1, 1), execution_trace.of_delivery(record, 2, 1)]
    spans += [execution_trace.of_queueing(record, 1)]
    assert len({span.span_id for span in spans}) == len(spans)
