"""Metrics over HTTP, as Prometheus reads them."""

from __future__ import annotations

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.telemetry import exposition
from chalicelib.usecases.metrics import MetricReader


class Metrics:
    """The handler, around one reader for the process."""

    def __init__(self) -> None:
        self._reader = MetricReader()

    def get(self, call: Call[Body, Query]) -> Reply:
        """All metrics."""
        measured = self._reader.measure(call.services, call.caller)
        openmetrics = exposition.wants_openmetrics(call.headers.get("accept"))
        text = exposition.render(measured, openmetrics=openmetrics)
        return Reply(200, text, {"Vary": "Accept"}, exposition.OPENMETRICS if openmetrics else exposition.TEXT)


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path="/metrics",
            summary="Metrics, in Prometheus's text format",
            tag="operations",
            permission="cluster:read",
            free=True,
            ops=True,
            handler=Metrics().get,
            answers={200: "text/plain"},
            errors=(503,),
            description="Counts are of all processes and of all tenants together. With `Accept: "
            "application/openmetrics-text` the answer is OpenMetrics 1.0, whose histograms have exemplars with trace "
            "ids. `name` of a lease is one of the caller's tenant; the others are `__other__`.",
        )
    ]
