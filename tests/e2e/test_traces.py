"""Traces of the real service at a collector: one from the call to the webhook, and a linked root for a rate."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver
from tests.kit.collector import Spanned, collecting

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_collector_gets_the_whole_way_of_a_trigger_and_a_linked_root_for_a_rate(
    new_server: Callable[..., DevServer], receiver: Receiver
) -> None:
    with collecting() as collector:
        template = "https://traces.example/{trace_id}"
        server = new_server(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "CHRONO_TRACE_URL_TEMPLATE": template})
        server.start()
        _, made = server.call(
            "POST", "/api/v1/schedules", {"type": "CRON", "expr": "0 0 1 1 *", "target": receiver.target()}
        )
        assert isinstance(made, dict)
        traceparent = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        status, fired = server.call("POST", f"/api/v1/schedules/{made['id']}:trigger", None, traceparent)
        assert (status, isinstance(fired, dict)) == (202, True)

        def way() -> list[Spanned]:
            found = [span for span in collector.spans if span.trace_id == TRACE]
            return found if len(found) >= 4 else []

        spans = {span.name: span for span in wait_for("the spans of the trigger", way)}
        api, queue = spans["POST /api/v1/schedules/{schedule_id}:trigger"], spans["send work"]
        deliver, post = spans["deliver"], spans["POST"]
        assert [api.parent_id, queue.parent_id, deliver.parent_id, post.parent_id] == [
            CALLER, api.span_id, queue.span_id, deliver.span_id,
        ]  # fmt: skip
        assert post.attributes["http.response.status_code"] == 204
        [came] = receiver.of(made)
        assert came.headers["traceparent"] == came.event["traceparent"] == f"00-{TRACE}-{post.span_id}-01"
        assert api.resource["service.name"] == "chronowatch"
        assert api.resource["service.instance.id"] != post.resource["service.instance.id"]
        _, shown = server.call("GET", f"/api/v1/executions/{fired['execution_id']}")  # type: ignore[index]
        assert isinstance(shown, dict)
        assert (shown["trace_id"], shown["trace_url"]) == (TRACE, f"https://traces.example/{TRACE}")

        _, rate = server.call(
            "POST",
            "/api/v1/schedules",
            {"type": "RATE", "expr": "rate:1s", "target": receiver.target()},
            {"traceparent": f"00-{TRACE[::-1]}-{CALLER}-01"},
        )
        assert isinstance(rate, dict)

        def roots() -> list[Spanned]:
            return [s for s in collector.spans if s.attributes.get("chronowatch.schedule_id") == rate["id"]]

        root = wait_for("a firing of the rate", roots)[0]

        def creations() -> list[Spanned]:
            return [s for s in collector.spans if s.trace_id == TRACE[::-1] and s.kind == 2]

        # The server sends its spans by itself: they may come after the worker's.
        [creation] = wait_for("the call that made the rate", creations)
        assert (root.parent_id, root.links) == ("", [(TRACE[::-1], creation.span_id, "creation")])
        assert root.trace_id not in (TRACE, TRACE[::-1])
        assert root.trace_id in {each.headers["traceparent"].split("-")[1] for each in receiver.of(rate)}
